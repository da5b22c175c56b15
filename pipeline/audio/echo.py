"""The same words on both sides of a call: one party spoke, the other side's line heard the echo. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

from pipeline.audio.hallucinations import plain
from pipeline.audio.placing import within
from pipeline.domain.recording import Span
from pipeline.domain.transcript import Segment

ALIKE = 0.8  # share of the words that agree
FEWEST_WORDS = 3  # "да, да" is often said by both


def without_echo(channels: Mapping[int, Sequence[Segment]], talk: Sequence[Sequence[Span]]) -> list[Segment]:
    """The segments of both sides without those that repeat the other side's at the same time.

    The side with less talk of its own under the words is the one that heard an echo; where both talk
    alike, nothing is dropped. talk: per side, ascending.
    """
    found = [segment for segments in channels.values() for segment in segments]
    if len(channels) < 2 or len(talk) < 2:
        return found
    dropped: set[int] = set()
    left, right = sorted(channels[0], key=_start), sorted(channels[1], key=_start)
    first = 0
    for one in left:
        while first < len(right) and right[first].end < one.start:
            first += 1
        for other in right[first:]:
            if other.start > one.end:
                break
            if _same(one, other):
                own, its = _share(talk[0], one), _share(talk[1], other)
                if own < its / 2:
                    dropped.add(id(one))
                elif its < own / 2:
                    dropped.add(id(other))
    return [segment for segment in found if id(segment) not in dropped]


def _start(segment: Segment) -> float:
    return segment.start


def _same(one: Segment, other: Segment) -> bool:
    overlap = min(one.end, other.end) - max(one.start, other.start)
    if overlap < 0.5 * min(one.end - one.start, other.end - other.start):
        return False
    words, its = plain(one.text).split(), plain(other.text).split()
    if min(len(words), len(its)) < FEWEST_WORDS:
        return False
    return SequenceMatcher(None, words, its, autojunk=False).ratio() >= ALIKE


def _share(talk: Sequence[Span], segment: Segment) -> float:
    """How much of a segment its side talks."""
    total = sum(
        max(0.0, min(span.end, segment.end) - max(span.start, segment.start))
        for span in within(talk, segment.start, segment.end)
    )
    return total / max(segment.end - segment.start, 0.1)
