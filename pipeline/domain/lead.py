"""What a call is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Quality = Literal["high", "medium", "low"]


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One criterion of the rubric as the model judged it."""

    name: str
    met: bool
    weight: float
    quote: str | None = None
    at: float | None = None  # seconds from the recording's start
    explanation: str = ""


@dataclass(frozen=True, kw_only=True)
class Lead:
    """What the call is worth: 0-100, and its band."""

    quality: Quality
    score: int
    reason: str
    criteria: tuple[Criterion, ...] = ()
