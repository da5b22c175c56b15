"""A turn: what a worker does of a queue at one go."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

WAIT_SECONDS = 1  # for word, at a time: then it looks by itself, since word may be lost


class Turn:
    """Claims steps until none is due; then it may wait a while for word of more.

    seconds: after them it claims nothing more, and neither when `stop()` says so. linger_seconds: how long
    after its last step it waits, less than the store's MOST_WAIT_SECONDS. A turn that found nothing at all
    does not: it came for nothing.

    owner: the beginning of its own name, which no other turn has: a message that comes twice makes two turns
    of it, and what one leaves behind is not the other's.
    """

    def __init__(
        self, queue: str, owner: str, *, seconds: float, stop: Callable[[], bool], linger_seconds: float = 0.0
    ) -> None:
        self.queue, self.owner = queue, f"{owner}:{secrets.token_hex(8)}"
        self.done = 0  # steps
        self.listed = False  # at the store, among those to whom word comes
        self._stop, self._end = stop, time.monotonic() + seconds
        self._linger, self._worked = linger_seconds, 0.0

    @property
    def over(self) -> bool:
        """Whether it claims nothing more."""
        return self._stop() or time.monotonic() >= self._end

    @property
    def waits(self) -> bool | None:
        """Whether it waits where nothing is due; None: it never does."""
        if not self._linger:
            return None
        return time.monotonic() + WAIT_SECONDS < min(self._end, self._worked + self._linger)

    def works(self) -> None:
        """It has a step in hand at this moment."""
        self._worked = time.monotonic()
