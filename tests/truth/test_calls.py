"""The short tier of the benchmark: what reaches the CRM is what was said. The others: `make prove`."""

from __future__ import annotations

import pytest

from bench.truth.measuring import Bench
from bench.truth.recordings import Recording
from tests.truth.running import SHORT, bench, holds, known

__all__ = ["bench", "known"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SHORT)
def test_a_call_is_told_as_it_was_said(name: str, bench: Bench, known: dict[str, Recording]) -> None:
    """Words, order, speakers and seconds sent keep the bounds of bench/truth/bounds.py, on a real Whisper."""
    holds(bench, known[name])
