"""What was answered, against what sounds: words that one field of an answer leaves out, speech without words.

Recognisers skip: the end of a piece, a change of language, a quiet sentence. What they leave out is found by
comparing with where somebody talks, which was measured. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from pipeline.audio.hallucinations import plain
from pipeline.audio.placing import Placed, within
from pipeline.domain.recording import Chunk, Span
from pipeline.domain.transcript import RawSegment, Recognition, Segment

HOLE_SECONDS = 2.5  # talk without words for so long is a hole; for less, people breathe and hesitate
EDGE_SECONDS = 1.0  # a word's time may be wrong by so much
FASTEST = 24.0  # letters a second; more of them mean that the times are wrong, not that words are missing
SLOWEST = 1.5  # letters a second; fewer mean that words are missing
THIN_SECONDS = 12.0  # in less talk than this, few words are nothing unusual
MOST_WORDS = 5000  # of an answer, more are not compared
WIDE = 3  # a Chinese, Japanese or Korean sign counts as so many letters
_SIGNS = re.compile("[\u2e80-\U0010ffff]")


def completed(recognition: Recognition, seconds: float) -> tuple[RawSegment, ...]:
    """The segments of an answer with all words of its text, or of its timed words, that they leave out.

    seconds: the upload's length. Nothing that was received is dropped because another field does not say it.
    """
    segments = recognition.segments
    if not segments:
        return (RawSegment(start=0.0, end=0.0, text=recognition.text),)
    timed = " ".join(word.text for word in recognition.words)
    for other in (recognition.text, timed):
        segments = tuple(_with_missing(segments, other.split()[:MOST_WORDS], seconds))
    return segments


def _with_missing(
    segments: Sequence[RawSegment], words: Sequence[str], seconds: float
) -> Iterator[RawSegment]:
    told = [(number, word) for number, segment in enumerate(segments) for word in segment.text.split()]
    told = told[:MOST_WORDS]
    if len(words) <= len(told):  # no word is missing, only spelt otherwise
        yield from segments
        return
    one, other = [plain(word) for _, word in told], [plain(word) for word in words]
    missing: dict[int, list[str]] = {}  # the number of the segment before them -> the words
    for kind, begin, end, first, last in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind == "insert" or (kind == "replace" and last - first > 2 * (end - begin) + 1):
            extra = list(words[first:last]) if kind == "insert" else list(words[first + end - begin : last])
            missing.setdefault(told[end - 1][0] if end else -1, []).extend(extra)
    for number in range(-1, len(segments)):
        if number >= 0:
            yield segments[number]
        if text := " ".join(missing.get(number, ())):
            begins = segments[number].end if number >= 0 else 0.0
            ends = segments[number + 1].start if number + 1 < len(segments) else seconds
            yield RawSegment(start=begins, end=max(begins, ends), text=text)


def holes(chunk: Chunk, placed: Sequence[Placed | Segment], talk: Sequence[Span]) -> list[Span]:
    """Where in a chunk somebody talks and no words are, in stretches of HOLE_SECONDS of talk and more."""
    inside = [span for stretch in chunk.placed for span in _cut(talk, stretch.span)]
    covered = _merged(Span(start=part.start, end=part.end) for part in placed)
    left = without(inside, covered, edge=0.0)
    spoken = math.fsum(span.seconds for span in inside) - math.fsum(span.seconds for span in left)
    if letters(part.text for part in placed) > FASTEST * max(spoken, 0.1):
        return []
    return without(inside, covered)


def without(talk: Sequence[Span], covered: Sequence[Span], *, edge: float = EDGE_SECONDS) -> list[Span]:
    """What of the talk is in none of the covered spans, whose edges are that uncertain; neighbours as one."""
    left: list[Span] = []
    for span in talk:
        at = span.start
        for known in within(covered, span.start - edge, span.end + edge):
            if known.start - edge > at:
                left.append(Span(start=at, end=known.start - edge))
            at = max(at, known.end + edge)
        if at < span.end:
            left.append(Span(start=at, end=span.end))
    if not edge:
        return left
    found: list[tuple[Span, float]] = []
    for span in left:
        if found and not within(covered, found[-1][0].end, span.start):
            whole = Span(start=found[-1][0].start, end=span.end)
            found[-1] = (whole, found[-1][1] + span.seconds)
        else:
            found.append((span, span.seconds))
    return [span for span, seconds in found if seconds >= HOLE_SECONDS]


def thin(recognition: Recognition, chunk: Chunk) -> bool:
    """Whether an answer without times has so few words that some must be missing."""
    if recognition.segments or recognition.words or chunk.sounding_seconds < THIN_SECONDS:
        return False
    return letters([recognition.text]) < SLOWEST * chunk.sounding_seconds


def letters(texts: Iterable[str]) -> int:
    """The length of texts as they are spoken."""
    spoken = "".join(map(plain, texts))
    return len(spoken) + (WIDE - 1) * len(_SIGNS.findall(spoken))


def told_already(parts: Sequence[Segment], before: Sequence[Segment]) -> bool:
    """Whether the words of a stretch that was asked for again stand in the first answer, at another time."""
    words = plain(" ".join(part.text for part in parts)).split()
    known = plain(" ".join(part.text for part in before)).split()
    if len(words) < 4 or len(words) > MOST_WORDS or len(known) > MOST_WORDS:
        return False
    same = SequenceMatcher(None, words, known, autojunk=False).find_longest_match()
    return same.size >= 0.7 * len(words)


def _cut(talk: Sequence[Span], span: Span) -> Iterator[Span]:
    for each in within(talk, span.start, span.end):
        start, end = max(each.start, span.start), min(each.end, span.end)
        if end > start:
            yield replace(each, start=start, end=end)


def _merged(spans: Iterable[Span]) -> list[Span]:
    found: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        if found and span.start <= found[-1].end:
            found[-1] = Span(start=found[-1].start, end=max(found[-1].end, span.end))
        else:
            found.append(span)
    return found
