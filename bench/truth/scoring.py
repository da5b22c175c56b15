"""How near a transcript is to what was said: the figures of a recording whose every word is known.

Compared are words: lower case, without punctuation, numbers spelled out, ё as е. The time of a word inside a
line or segment is read off by its place among the words. Figures:

- wer_flat: word errors of the text in the order in which it is told, as a share of the words that were said.
  Lines that overlap in time may be told in either order or word by word interleaved, all others only one
  after the other.
- wer_by_side: the same of each speaker's words apart. Where `flat` lies above it, the order is wrong.
- inserted, lost: words that nobody said; words that nobody told.
- wrong_side: words told of one speaker that only the other one said nearby, in runs of two and more.
- inversions: lines told before an earlier line of the other side, overlapping ones apart.
- start_p50, start_p90, start_max: how far the first words of lines are told from where they were said, s.
- hole_seconds: speech in no segment of its side and in no stretch that the transcript itself calls missing
  or empty; stretches of a second and more, half a second at the edges allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from typing import Any

import jiwer
import numpy as np
from num2words import num2words
from numpy.typing import NDArray

SIDES = {"manager": 0, "speaker_1": 0, "client": 1, "speaker_2": 1}
NEAR_SECONDS = 15.0  # as far from its place a line's words may be told and still count as that line's
EDGE_SECONDS, HOLE_SECONDS = 0.5, 1.0
SIGNS = {"ru": {"%": " процентов ", "$": " долларов "}, "en": {"%": " percent ", "$": " dollars "}}


@dataclass(frozen=True, kw_only=True)
class Line:
    """Something said, or a segment told. side: 0 left, 1 right; None: nobody knows. Times in seconds."""

    start: float
    end: float
    text: str
    side: int | None = None
    lang: str = "en"


@dataclass(frozen=True, kw_only=True)
class Word:
    text: str
    line: int  # its line's place in the list
    first: bool
    time: float
    place: float  # in the order of telling; aligned words keep it


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What was said. mixed: both speakers are in every channel, so that nobody can tell them apart."""

    lines: tuple[Line, ...]
    lang: str | None
    seconds: float
    mixed: bool = False

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Truth:
        """Of the JSON beside a recording."""
        lang = plain["lang"]
        lines = [
            Line(
                start=s["start"],
                end=s["end"],
                text=s["text"],
                side=s["side"],
                lang=s.get("lang") or lang or "en",
            )
            for s in sorted(plain["spans"], key=lambda s: s["start"])
        ]
        seconds = plain.get("seconds") or max((line.end for line in lines), default=0.0)
        return cls(lines=tuple(lines), lang=lang, seconds=seconds, mixed=bool(plain.get("mix")))

    @property
    def speech_seconds(self) -> float:
        return sum(line.end - line.start for line in self.lines)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """See above; shares are per cent, None where a figure has no meaning."""

    words: int
    wer_flat: float | None
    wer_by_side: float | None
    inserted: int
    lost: int
    wrong_side: int | None
    inversions: int | None
    start_p50: float | None
    start_p90: float | None
    start_max: float | None
    hole_seconds: float
    quality: str | None = None
    order: str | None = None

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class _Aligned:
    """One speaker's words said against the words told of him."""

    said: list[Word]
    told: list[Word]
    pairs: list[tuple[int, int]] = field(default_factory=list)  # said, told; equal or taken for one another
    equal: set[tuple[int, int]] = field(default_factory=set)
    inserted: int = 0
    lost: int = 0
    errors: int = 0

    def __post_init__(self) -> None:
        if not self.said or not self.told:
            self.inserted, self.lost = len(self.told), len(self.said)
        else:
            found = jiwer.process_words(
                " ".join(w.text for w in self.said), " ".join(w.text for w in self.told)
            )
            self.inserted, self.lost = found.insertions, found.deletions
            self.errors = found.substitutions
            for part in found.alignments[0]:
                if part.type not in ("equal", "substitute"):
                    continue
                for step in range(part.ref_end_idx - part.ref_start_idx):
                    pair = (part.ref_start_idx + step, part.hyp_start_idx + step)
                    self.pairs.append(pair)
                    if part.type == "equal":
                        self.equal.add(pair)
        self.errors += self.inserted + self.lost


def score(truth: Truth, transcript: Mapping[str, Any]) -> Figures:
    """The figures of a transcript: `{"segments": [{"start", "end", "speaker", "text"}], ...}`."""
    told_lines = [
        Line(start=s["start"], end=s["end"], text=s["text"], side=SIDES.get(s.get("speaker") or ""),
             lang=_nearest(truth, s["start"]))
        for s in transcript.get("segments") or ()
    ]  # fmt: skip
    apart = not truth.mixed and any(line.side is not None for line in told_lines)
    said, told = spelled(truth.lines), spelled(told_lines)
    sides: list[_Aligned] = (
        [_Aligned(_of(said, truth.lines, side), _of(told, told_lines, side)) for side in (0, 1)]
        if apart else [_Aligned(said, told)]
    )  # fmt: skip
    began, kept = _places(sides, truth)
    late = sorted(abs(offset) for _, offset in began.values())
    told_spans = [(line.start, line.end, line.side if apart else None) for line in told_lines]
    told_spans += [
        (span["start"], span["end"], None)
        for name in ("missing", "empty_spans") for span in transcript.get(name) or ()
    ]  # fmt: skip
    return Figures(
        words=len(said),
        wer_flat=_share(flat_errors(truth.lines, said, told), len(said)),
        wer_by_side=_share(sum(side.errors for side in sides), len(said)) if apart else None,
        inserted=sum(side.inserted for side in sides),
        lost=sum(side.lost for side in sides),
        wrong_side=_wrong_side(truth, told_lines, told, kept) if apart else None,
        inversions=_inversions(truth, began) if apart else None,
        start_p50=_quantile(late, 0.5),
        start_p90=_quantile(late, 0.9),
        start_max=_quantile(late, 1.0),
        hole_seconds=round(sum(_uncovered(line, told_spans) for line in truth.lines), 1),
        quality=transcript.get("quality"),
        order=transcript.get("order"),
    )


def words(text: str, lang: str) -> list[str]:
    """What is compared of a text."""
    text = text.lower().replace("ё", "е").replace("-", " ")
    for sign, word in SIGNS.get(lang, SIGNS["en"]).items():
        # the word comes after the number, wherever the sign stands
        text = re.sub(rf"{re.escape(sign)}\s*([\d.,]*\d)", rf"\1{word}", text).replace(sign, word)
    text = re.sub(r"(?<=\d)[\s,](?=\d{3}\b)", "", text)  # 10,000 and 10 000
    text = re.sub(r"\d+", lambda number: f" {num2words(int(number[0]), lang=lang)} ", text).replace("-", " ")
    return re.findall(r"[^\W_]+", text.replace("ё", "е"))


def spelled(lines: Sequence[Line]) -> list[Word]:
    """The words of all lines in the order of the list."""
    found: list[Word] = []
    for number, line in enumerate(lines):
        texts = words(line.text, line.lang)
        for place, text in enumerate(texts):
            time = line.start + place / len(texts) * (line.end - line.start)
            found.append(Word(text=text, line=number, first=place == 0, time=time, place=float(len(found))))
    return found


def flat_errors(lines: Sequence[Line], said: Sequence[Word], told: Sequence[Word]) -> int:
    """The least edit distance between what is told and any order of the two sides that time allows.

    A row of the usual table (said word by word down, told word by word across) per pair of numbers: how
    many words of the left and of the right side are told by then. A word has its turn once no line of the
    other side that ended before its own line began has words left.
    """
    left, right = (_of(said, lines, side) for side in (0, 1))
    numbers: dict[str, int] = {}
    across = np.array([numbers.setdefault(word.text, len(numbers)) for word in told], dtype=np.int64)
    columns = np.arange(len(across) + 1)
    rows: dict[tuple[int, int], NDArray[Any]] = {(0, 0): columns.copy()}
    for _ in range(len(left) + len(right)):
        further: dict[tuple[int, int], NDArray[Any]] = {}
        for (i, j), row in rows.items():
            for own, at, other, other_at, after in (
                (left, i, right, j, (i + 1, j)),
                (right, j, left, i, (i, j + 1)),
            ):
                if at == len(own) or (other_at < len(other) and _before(lines, other[other_at], own[at])):
                    continue
                step = row + 1
                step[1:] = np.minimum(step[1:], row[:-1] + (across != numbers.get(own[at].text, -1)))
                step = np.minimum.accumulate(step - columns) + columns
                further[after] = np.minimum(further[after], step) if after in further else step
        rows = further
    return int(min(row[-1] for row in rows.values()))


def _before(lines: Sequence[Line], one: Word, other: Word) -> bool:
    return lines[one.line].end <= lines[other.line].start


def _of(found: Iterable[Word], lines: Sequence[Line], side: int) -> list[Word]:
    return [word for word in found if lines[word.line].side == side]


def _places(sides: Sequence[_Aligned], truth: Truth) -> tuple[dict[int, tuple[float, float]], set[float]]:
    """By lines of which at least half was heard: where the line begins to be told, and how many seconds off;
    and the places of all words told that were said."""
    began: dict[int, tuple[float, float]] = {}
    heard: dict[int, int] = {}
    sizes: dict[int, int] = {}
    kept: set[float] = set()
    for side in sides:
        for word in side.said:
            sizes[word.line] = sizes.get(word.line, 0) + 1
        for one, other in side.pairs:
            word, as_told = side.said[one], side.told[other]
            began.setdefault(word.line, (as_told.place, as_told.time - word.time))
            if (one, other) in side.equal:
                heard[word.line] = heard.get(word.line, 0) + 1
                kept.add(as_told.place)
    return {n: began[n] for n in began if heard.get(n, 0) * 2 >= sizes[n]}, kept


def _inversions(truth: Truth, began: Mapping[int, tuple[float, float]]) -> int:
    return sum(
        any(
            truth.lines[early].side != truth.lines[late].side
            and truth.lines[early].end <= truth.lines[late].start
            and began[early][0] > began[late][0]
            for early in began
        )
        for late in began
    )


def _wrong_side(truth: Truth, lines: Sequence[Line], told: Sequence[Word], kept: set[float]) -> int:
    total = 0
    for number, line in enumerate(lines):
        if line.side is None:
            continue
        left_over = [word.text for word in told if word.line == number and word.place not in kept]
        near = [
            spoken for spoken in truth.lines
            if spoken.side != line.side
            and spoken.start < line.end + NEAR_SECONDS and spoken.end > line.start - NEAR_SECONDS
        ]  # fmt: skip
        others = [word.text for word in spelled(near)]
        runs = SequenceMatcher(None, left_over, others, autojunk=False).get_matching_blocks()
        total += sum(run.size for run in runs if run.size > 1)
    return total


def _uncovered(line: Line, spans: Sequence[tuple[float, float, int | None]]) -> float:
    at, total = line.start, 0.0
    own = sorted((a - EDGE_SECONDS, b + EDGE_SECONDS) for a, b, side in spans if side in (line.side, None))
    for start, end in [*own, (line.end, line.end)]:
        gap = min(start, line.end) - at
        total += gap if gap >= HOLE_SECONDS else 0.0
        at = max(at, end)
    return total


def _nearest(truth: Truth, seconds: float) -> str:
    """In which language the line nearest to that time was said: how digits are spelled out."""
    if not truth.lines:
        return truth.lang or "en"
    return min(truth.lines, key=lambda line: abs((line.start + line.end) / 2 - seconds)).lang


def _share(errors: int, count: int) -> float | None:
    return round(100 * errors / count, 1) if count else None


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2) if ordered else None
