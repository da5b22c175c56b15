"""Cutting a side at its own turns, for recognisers that give no timestamps. Pure.

A whole side's text without times cannot be interleaved with the other's; a turn's can, by its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.domain.recording import Span

INTERRUPTION_SECONDS = 1.0  # the other side must have spoken this long to part two stretches of talk
SMALLEST_SECONDS = 2.0
PER_MINUTE = 8
PER_CALL = 200


def turns(talk: Sequence[Span], other: Sequence[Span]) -> list[Span]:
    """Stretches of one side's talk, each a turn; shorter ones than 2 s have joined a neighbour."""
    found: list[Span] = []
    for span in talk:
        if found and _spoken(other, found[-1].end, span.start) < INTERRUPTION_SECONDS:
            found[-1] = Span(start=found[-1].start, end=span.end)
        else:
            found.append(span)
    while len(found) > 1:
        index = min(range(len(found)), key=lambda at: found[at].seconds)
        if found[index].seconds >= SMALLEST_SECONDS:
            break
        before = found[index].start - found[index - 1].end if index else math.inf
        after = found[index + 1].start - found[index].end if index + 1 < len(found) else math.inf
        first = index - 1 if before <= after else index
        found[first : first + 2] = [Span(start=found[first].start, end=found[first + 1].end)]
    return found


def most(seconds: float) -> int:
    """How many pieces a call of that length is worth."""
    return min(PER_CALL, PER_MINUTE * math.ceil(seconds / 60))


def joined(channels: Sequence[list[Span]], count: int) -> list[list[Span]]:
    """The turns of all sides as `count` at the most (but one a side): neighbours that make the shortest
    turn join first, so that what is told out of order lies close together all over the call."""
    found = [list(channel) for channel in channels]
    while sum(map(len, found)) > max(count, len(found)):
        channel, at = min(
            ((channel, at) for channel in found for at in range(len(channel) - 1)),
            key=lambda pair: pair[0][pair[1] + 1].end - pair[0][pair[1]].start,
        )
        channel[at : at + 2] = [Span(start=channel[at].start, end=channel[at + 1].end)]
    return found


def _spoken(talk: Sequence[Span], start: float, end: float) -> float:
    return sum(max(0.0, min(span.end, end) - max(span.start, start)) for span in talk)
