"""The benchmark of truth beyond its short tier: echo, one channel, crosstalk, lines without a word."""

from __future__ import annotations

import pytest

from bench.truth import recordings
from bench.truth.measuring import Bench
from bench.truth.recordings import Recording
from tests.truth.running import SHORT, bench, holds, known

__all__ = ["bench", "known"]
NAMES = [
    *recordings.corpus(),
    *recordings.CHANGED,
    *(f"{name}-rests" for name in recordings.RESTING),
    *recordings.SILENT,
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in SHORT])
def test_a_call_is_told_as_it_was_said(name: str, bench: Bench, known: dict[str, Recording]) -> None:
    """Words, order, speakers and seconds sent keep the bounds of bench/truth/bounds.py, on a real Whisper."""
    holds(bench, known[name])
