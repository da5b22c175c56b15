"""How often Python looks for garbage in cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Around large imports: what they make stays, so nothing is looked through for garbage, then or later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def collect_seldom() -> None:
    """From now on it looks seldom, and not in what is here by now.

    A request makes some hundred objects and leaves no cycle, and dozens are under way: looked for after each
    700, as by default, all of them were looked through for every few requests. A worker that reads the record
    of a long call makes a hundred thousand, and looked through all of its code for them: a tenth of a second.
    """
    gc.freeze()
    gc.set_threshold(10_000)
