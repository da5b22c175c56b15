"""The same words on both channels of a call: one spoke, the other's line heard the echo. Pure.

Most echoes are told by their level and never sent (see likeness). This is for the words that came through
all the same: they are dropped from the fainter of the two, one by one, so that an answer beside them stays.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from pipeline.audio.hallucinations import plain
from pipeline.domain.recording import Plan
from pipeline.domain.transcript import Segment

FEWEST_WORDS = 3  # "да, да" is often said by both
MOST_WORDS = 500  # of a segment that are compared: nobody says more in half a minute
APART_SECONDS = 1.0  # an echo comes within 0.3 s; where in a segment a word was said is an estimate
FAINTER = 0.5


@dataclass(frozen=True)
class _Said:
    """A word: the place of its segment and its own place in that; when, by its place among the words."""

    text: str
    segment: int
    place: int
    at: float


def without_echo(channels: Mapping[int, Sequence[Segment]], plan: Plan) -> list[Segment]:
    """The segments of both channels without the words that the other one says louder at that time.

    Where both are about as loud, nothing is dropped.
    """
    if len(channels) < 2 or len(plan.talk) < 2:
        return [segment for segments in channels.values() for segment in segments]
    segments = [sorted(channels[number], key=lambda segment: segment.start) for number in (0, 1)]
    words = [sorted(_words(each), key=lambda word: word.at) for each in segments]
    dropped: list[dict[int, set[int]]] = [{}, {}]
    for number, segment in enumerate(segments[0]):
        own = list(_words([segment], number))
        low, high = segment.start - APART_SECONDS, segment.end + APART_SECONDS
        first, last = (bisect_left(words[1], at, key=lambda word: word.at) for at in (low, high))
        for mine, its in _repeated(own[:MOST_WORDS], words[1][first:last][:MOST_WORDS]):
            levels = [_level(plan, channel, each) for channel, each in enumerate((mine, its))]
            for channel, each in enumerate((mine, its)):
                if levels[channel] < FAINTER * levels[1 - channel]:
                    for word in each:
                        dropped[channel].setdefault(word.segment, set()).add(word.place)
    return [
        kept
        for channel in (0, 1)
        for number, segment in enumerate(segments[channel])
        if (kept := _without(segment, dropped[channel].get(number, ())))
    ]


def _words(segments: Sequence[Segment], first: int = 0) -> Iterator[_Said]:
    for number, segment in enumerate(segments, first):
        texts = segment.text.split()
        for place, text in enumerate(texts):
            at = segment.start + (segment.end - segment.start) * (place + 0.5) / len(texts)
            yield _Said(plain(text), number, place, at)


def _repeated(one: list[_Said], other: list[_Said]) -> Iterator[tuple[list[_Said], list[_Said]]]:
    """Runs of words that both have, at about the same time."""
    matcher = SequenceMatcher(
        None, [word.text for word in one], [word.text for word in other], autojunk=False
    )
    for at, its_at, size in matcher.get_matching_blocks():
        mine, its = one[at : at + size], other[its_at : its_at + size]
        if size >= FEWEST_WORDS and abs(_middle(mine) - _middle(its)) <= APART_SECONDS:
            yield mine, its


def _middle(words: Sequence[_Said]) -> float:
    return (words[0].at + words[-1].at) / 2


def _level(plan: Plan, channel: int, words: Sequence[_Said]) -> float:
    """How loud a channel's speaker is under the words: silence counts as none of it."""
    start, end = words[0].at, words[-1].at
    talk = plan.talk[channel]
    levels = plan.levels[channel] if plan.levels else (1,) * len(talk)  # records of before have none
    first = bisect_left(talk, start, key=lambda span: span.end)
    total = 0.0
    for span, level in zip(talk[first:], levels[first:], strict=False):
        if span.start >= end:
            break
        total += level * (min(span.end, end) - max(span.start, start))
    return total / max(end - start, 0.1)


def _without(segment: Segment, places: Collection[int]) -> Segment | None:
    if not places:
        return segment
    texts = segment.text.split()
    kept = [place for place in range(len(texts)) if place not in places]
    if not kept:
        return None
    second = (segment.end - segment.start) / len(texts)
    return replace(
        segment,
        start=round(segment.start + kept[0] * second, 3),
        end=round(segment.start + (kept[-1] + 1) * second, 3),
        text=" ".join(texts[place] for place in kept),
    )
