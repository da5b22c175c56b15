"""Where in the recording the words of an answer were said. Pure.

An upload holds stretches of one channel, and what stands where in it is known. So a word's time, which the
recogniser only estimates, has to tell no more than which stretch it was said in; the stretch tells when.
Times of words are the best estimate, those of segments the next best; without any, words are laid out over
the stretches by their length.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice, pairwise
from typing import Literal, NamedTuple

from pipeline.audio.hallucinations import WORD
from pipeline.domain.recording import Chunk, Span, Stretch
from pipeline.domain.transcript import RawSegment, Word

AHEAD = 8  # two lists of the same words are aligned across so many that one of them lacks
UNKNOWN_SECONDS = 0.3  # how long a word takes whose time is not told
NEAR_SECONDS = 0.2
TORN_SECONDS = 0.3  # times of words are wrong by less on a clean line
FASTEST = 30.0  # letters a second; people speak 10 to 20
KNOWN = 0.5  # times of words are used where this share of the words has one
SNAP_SECONDS = 0.8  # the first word of a stretch starts with it, unless it is known to come later
ENDS = re.compile(r"[.!?…][\"'»”)]*$")
PAUSES = re.compile(r"[,;:—–-]$")
Source = Literal["words", "segments", "length"]
# seconds by which a change of stretch may be moved to a pause, by what the times come from
REACH = {"words": 0.4, "segments": 1.5, "length": 3.0}


@dataclass(frozen=True)
class Placed:
    """Words in a row, of one stretch and one segment of the answer; seconds from the recording's start."""

    start: float
    end: float
    text: str
    segment: int  # its place in the answer


class _Token(NamedTuple):
    """A word with its punctuation; seconds from the upload's start."""

    text: str
    segment: int
    start: float = -1.0
    end: float = -1.0

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2

    @property
    def weight(self) -> int:
        return len(self.text) + 1


def place(
    chunk: Chunk,
    segments: Sequence[RawSegment],
    words: Sequence[Word],
    *,
    talk: Sequence[Span],
    other: Sequence[Span],
    timed: bool,
) -> tuple[list[Placed], bool]:
    """The words of an answer in the recording, and whether their order is sure.

    segments: with their texts; timed: whether their times are the recogniser's. talk: of this channel,
    other: of the other one, ascending. Where the other talks in between, a segment is parted.
    """
    tokens = [
        _Token(text, number) for number, segment in enumerate(segments) for text in segment.text.split()
    ]
    source, tokens = _timed(tokens, segments, words, timed=timed)
    stretches = chunk.placed
    ends = _by_time(tokens, stretches, REACH[source])
    if source == "length" or not _can_be_said(tokens, stretches, ends):
        source, ends = "length", _by_length(tokens, stretches)
        tokens = list(_spread_over(tokens, stretches, ends, talk))
    found: list[Placed] = []
    for stretch, start, end in zip(stretches, [0, *ends], [*ends, len(tokens)], strict=True):
        found += _in_recording(tokens[start:end], stretch, talk, other)
    parted = [at for at in ends if 0 < at < len(tokens) and tokens[at - 1].segment == tokens[at].segment]
    sure = len(stretches) == 1 or (
        not _torn(tokens, stretches, ends) if source == "words" else source == "segments" and not parted
    )
    return found, sure


def _timed(
    tokens: list[_Token], segments: Sequence[RawSegment], words: Sequence[Word], *, timed: bool
) -> tuple[Source, list[_Token]]:
    """The tokens with the best times there are, and where these come from."""
    known = list(_matched(tokens, words))
    if tokens and sum(each is not None for each in known) >= KNOWN * len(tokens):
        return "words", _filled(tokens, known)
    if not timed:
        return "length", tokens
    found: list[_Token] = []
    for number, inside in groupby(tokens, key=lambda token: token.segment):
        found += _spread(list(inside), segments[number].start, segments[number].end)
    return "segments", found


def _matched(tokens: Sequence[_Token], words: Sequence[Word]) -> Iterator[tuple[float, float] | None]:
    """Per token, its time among the words: both tell the same text, but for a word here and there."""
    parts = [(part, word) for word in words for part in _letters(word.text)]
    at = 0
    for token in tokens:
        found = None
        for letters in _letters(token.text):
            for place in range(at, min(at + AHEAD, len(parts))):
                if parts[place][0] == letters:
                    word = parts[place][1]
                    found = (found[0] if found else word.start, word.end)
                    at = place + 1
                    break
        yield found


def _letters(text: str) -> list[str]:
    return WORD.findall(text.lower().replace("ё", "е"))


def _filled(tokens: list[_Token], known: Sequence[tuple[float, float] | None]) -> list[_Token]:
    """The tokens without a time of their own between those that have one."""
    found: list[_Token] = []
    waiting: list[_Token] = []
    last = 0.0
    for token, time in zip(tokens, known, strict=True):
        if time is None:
            waiting.append(token)
            continue
        start, end = max(last, time[0]), max(last, *time)
        if waiting:
            found += _spread(waiting, max(last, start - UNKNOWN_SECONDS * len(waiting)), start)
        found.append(_Token(token.text, token.segment, start, end))
        waiting, last = [], end
    return found + _spread(waiting, last, last + UNKNOWN_SECONDS * len(waiting))


def _spread(tokens: Sequence[_Token], start: float, end: float) -> list[_Token]:
    """The tokens one after the other from start to end, each as long as it is written."""
    total = sum(token.weight for token in tokens)
    found = []
    passed = 0
    for token in tokens:
        begin = start + (end - start) * passed / total
        passed += token.weight
        found.append(_Token(token.text, token.segment, begin, start + (end - start) * passed / total))
    return found


def _by_time(tokens: Sequence[_Token], stretches: Sequence[Stretch], reach: float) -> list[int]:
    """Where the stretches but the last end among the tokens: at the pause of the text next to the rest."""
    found: list[int] = []
    middles = sorted(token.middle for token in tokens) if len(stretches) > 1 else []
    for before, after in pairwise(stretches):
        rest = (before.at + before.span.seconds + after.at) / 2
        usual = max(bisect_left(middles, rest), found[-1] if found else 0)
        best, least = usual, -reach * _pause(tokens, usual)
        for step in (-1, 1):
            at = usual + step
            while (found[-1] if found else 0) <= at <= len(tokens):
                off = abs(tokens[at if step < 0 else at - 1].middle - rest)
                if off > reach:
                    break
                if off - reach * _pause(tokens, at) < least:
                    best, least = at, off - reach * _pause(tokens, at)
                at += step
        found.append(best)
    return found


def _by_length(tokens: Sequence[_Token], stretches: Sequence[Stretch]) -> list[int]:
    """The same where nothing but the length of text and stretches is known."""
    found: list[int] = []
    left = float(sum(token.weight for token in tokens))
    seconds = sum(stretch.span.seconds for stretch in stretches)
    at = 0
    for stretch in stretches[:-1]:
        wanted = left * stretch.span.seconds / seconds
        rate = max(left / seconds, 0.001)
        best, least, best_passed = at, wanted / rate, 0
        passed = 0
        for end in range(at + 1, len(tokens) + 1):
            passed += tokens[end - 1].weight
            off = abs(passed - wanted) / rate
            reach = min(REACH["length"], 0.5 * stretch.span.seconds + 0.5)
            if passed - wanted > reach * rate:
                break
            cost = off - (reach * _pause(tokens, end) if off <= reach else 0.0)
            if cost < least:
                best, least, best_passed = end, cost, passed
        found.append(best)
        left, seconds, at = left - best_passed, seconds - stretch.span.seconds, best
    return found


def _can_be_said(tokens: Sequence[_Token], stretches: Sequence[Stretch], ends: Sequence[int]) -> bool:
    """Whether each stretch is long enough for its words; else the times are wrong, whoever tells them."""
    return all(
        sum(token.weight for token in tokens[start:end]) <= FASTEST * (stretch.span.seconds + 1.0)
        for stretch, start, end in zip(stretches, [0, *ends], [*ends, len(tokens)], strict=True)
    )


def _torn(tokens: Sequence[_Token], stretches: Sequence[Stretch], ends: Sequence[int]) -> bool:
    """Whether a word inside a sentence reaches from one stretch into another: either may hold it."""
    return any(
        0 < at < len(tokens)
        and not _pause(tokens, at)
        and (
            tokens[at - 1].end > after.at + TORN_SECONDS
            or tokens[at].start < before.at + before.span.seconds - TORN_SECONDS
        )
        for at, (before, after) in zip(ends, pairwise(stretches), strict=True)
    )


def _pause(tokens: Sequence[_Token], at: int) -> float:
    """How much the text pauses before the token of that place: 1 at the end of a sentence, 0 inside one."""
    if not 0 < at < len(tokens):
        return 0.0
    if ENDS.search(tokens[at - 1].text) or tokens[at - 1].segment != tokens[at].segment:
        return 0.8
    return 0.3 if PAUSES.search(tokens[at - 1].text) else 0.0


def _spread_over(
    tokens: Sequence[_Token], stretches: Sequence[Stretch], ends: Sequence[int], talk: Sequence[Span]
) -> Iterator[_Token]:
    for stretch, start, end in zip(stretches, [0, *ends], [*ends, len(tokens)], strict=True):
        sounds = within(talk, stretch.span.start, stretch.span.end) or [stretch.span]
        offset = stretch.at - stretch.span.start
        first, last = max(sounds[0].start, stretch.span.start), min(sounds[-1].end, stretch.span.end)
        yield from _spread(tokens[start:end], first + offset, last + offset)


def _in_recording(
    tokens: Sequence[_Token], stretch: Stretch, talk: Sequence[Span], other: Sequence[Span]
) -> Iterator[Placed]:
    """What was said in a stretch, by segment and parted where the other talks in between."""
    offset = stretch.span.start - stretch.at
    bounds = (stretch.span.start, stretch.span.end)
    moved = [
        _Token(text, segment, _clamped(start + offset, *bounds), _clamped(end + offset, *bounds))
        for text, segment, start, end in tokens
    ]
    sounds = within(talk, *bounds)
    first = True
    for segment, group in groupby(moved, key=lambda token: token.segment):
        for part in _parted(list(group), other):
            start, end = part[0].start, part[-1].end
            if sounds and first and abs(start - sounds[0].start) < SNAP_SECONDS:
                start = sounds[0].start
            start = _onset(sounds, start, end)
            first = False
            yield Placed(start, max(start, end), " ".join(token.text for token in part), segment)


def _parted(tokens: list[_Token], other: Sequence[Span]) -> Iterator[list[_Token]]:
    """The tokens parted where the other one talks meanwhile, at the longest pause there."""
    begun = start = 0
    for span in within(other, tokens[0].start, tokens[-1].end):
        if not tokens[0].start < span.start <= span.end < tokens[-1].end:
            continue
        while start < len(tokens) and tokens[start].start < span.start - NEAR_SECONDS:
            start += 1
        end = start
        while end < len(tokens) and tokens[end - 1].end <= span.end + NEAR_SECONDS:
            end += 1
        at = max(range(max(start, begun + 1), end), key=lambda at: _gap(tokens, at), default=begun)
        if at > begun:
            yield tokens[begun:at]
            begun = at
    yield tokens[begun:]


def _gap(tokens: Sequence[_Token], at: int) -> float:
    return tokens[at].start - tokens[at - 1].end


def _onset(talk: Sequence[Span], start: float, end: float) -> float:
    """When it really starts: recognisers let a segment start in the silence before it."""
    at = bisect_right(talk, start, key=lambda span: span.end)
    return talk[at].start if at < len(talk) and start < talk[at].start < end else start


def _clamped(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def within(spans: Sequence[Span], start: float, end: float) -> list[Span]:
    """Those of ascending spans that overlap [start, end]."""
    at = bisect_left(spans, start, key=lambda span: span.end)
    found = []
    for span in islice(spans, at, None):
        if span.start > end:
            break
        found.append(span)
    return found
