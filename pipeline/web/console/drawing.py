"""Pictures of the console as numbers: what their templates put into SVG. No text, no colour, no I/O."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.archive.calls import WEEK_SECONDS, Call
from pipeline.domain.job import Event
from pipeline.domain.kinds import kind_of
from pipeline.domain.recording import Span
from pipeline.domain.transcript import Speaker

WIDTH = 1000.0  # of every picture; SVG stretches it to the page
LANE = 44.0  # height of a lane
GAP = 8.0
LEAST = 0.6  # what silence is drawn as, so that a lane is seen
UNKNOWN: tuple[Speaker, ...] = ("speaker_1", "speaker_2")  # of two channels, where nobody has a role
PIECES = ("transcribe", "halve")  # kinds of steps that there are several of
POINTS = 500  # of one lane: more than a screen shows apart


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle; from and to are seconds of the recording that it stands for."""

    x: float
    y: float
    width: float
    height: float
    start: float = 0.0
    end: float = 0.0
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class Lanes:
    """A recording drawn: a wave per channel, the turns behind it, and where something is amiss."""

    height: float
    seconds: float
    sides: tuple[Speaker, ...]  # whose channel each lane is; none where one lane holds all
    waves: tuple[tuple[Speaker, str], ...]  # whose, and its path
    turns: tuple[Box, ...]
    amiss: tuple[Box, ...]  # kind: missing (could not be decoded), empty (talk without words)
    ticks: tuple[float, ...]  # seconds


def lanes(call: Call) -> Lanes | None:
    """The picture of a call; None where its length is not known."""
    seconds = call.seconds or max((segment.end for segment in call.segments), default=0.0)
    if not seconds:
        return None
    count = max(len(call.levels), len(call.speakers), 1)
    sides = call.speakers or UNKNOWN[:count]
    tops = [number * (LANE + GAP) for number in range(count)]
    height = tops[-1] + LANE

    def box(span: Span, y: float, tall: float, kind: str) -> Box:
        left, right = (min(max(at / seconds, 0.0), 1.0) * WIDTH for at in (span.start, span.end))
        return Box(
            x=round(left, 1),
            y=y,
            width=round(max(right - left, 1.0), 1),
            height=tall,
            start=span.start,
            end=span.end,
            kind=kind,
        )

    turns = [
        box(Span(start=segment.start, end=segment.end), tops[lane], LANE, segment.speaker or "")
        for segment in call.segments
        for lane in [_lane(segment.speaker, call.speakers, count)]
    ]
    amiss = [box(span, 0.0, height, "missing") for span in call.missing]
    amiss += [box(span, 0.0, height, "empty") for span in call.empty_spans]
    return Lanes(
        height=height,
        seconds=seconds,
        sides=sides if count > 1 else (),
        waves=tuple(
            (who, _wave(level, top + LANE / 2))
            for who, level, top in zip(sides, call.levels, tops, strict=False)
        ),
        turns=tuple(turns),
        amiss=tuple(amiss),
        ticks=tuple(seconds * part / 4 for part in range(5)),
    )


def _lane(speaker: str | None, roles: Sequence[str], count: int) -> int:
    """Where a speaker is drawn: on the own channel, else one above the other as they are numbered."""
    if speaker in roles:
        return min(roles.index(speaker), count - 1)
    digits = (speaker or "").rpartition("_")[2]
    return min(int(digits) - 1 if digits.isdigit() else 0, count - 1)


def _wave(level: Sequence[int], middle: float) -> str:
    """The outline of how loud a channel is, mirrored at its middle; level: 0-100 each."""
    loud = _thinned(level)
    step = WIDTH / max(len(loud), 1)
    half = [max(value / 100 * LANE / 2, LEAST) for value in loud]
    upper = [f"{(at + 0.5) * step:.1f} {middle - tall:.1f}" for at, tall in enumerate(half)]
    lower = [f"{(at + 0.5) * step:.1f} {middle + tall:.1f}" for at, tall in enumerate(half)]
    return "M" + "L".join([*upper, *reversed(lower)]) + "Z"


def _thinned(level: Sequence[int]) -> list[int]:
    """At most POINTS of them, the loudest of those that fall together."""
    if len(level) <= POINTS:
        return list(level)
    edges = [round(at * len(level) / POINTS) for at in range(POINTS + 1)]
    return [max(level[a:b]) for a, b in itertools.pairwise(edges)]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One thing that happened, on the time axis of a job; x, width: of WIDTH."""

    event: Event
    x: float
    width: float


@dataclass(frozen=True, kw_only=True)
class Steps:
    """What happened to a job, drawn: a row per step, in the order in which they ended first."""

    seconds: float
    begins_at: float
    rows: tuple[str, ...]
    bars: tuple[Bar, ...]

    def of(self, row: str) -> list[Bar]:
        """The bars of one row."""
        return [bar for bar in self.bars if _row(bar.event.step) == row]


def _row(step: str) -> str:
    """Pieces have rows of their own; what is done anew by another name has one."""
    return step if kind_of(step) in PIECES else kind_of(step)


def steps(events: Iterable[Event]) -> Steps | None:
    """The picture of a job's events; None without any."""
    told = list(events)
    if not told:
        return None
    first = min(event.at - (event.took or 0.0) for event in told)
    whole = max(max(event.at for event in told) - first, 1e-3)
    rows = list(dict.fromkeys(_row(event.step) for event in told))
    bars = []
    for event in told:
        left = (event.at - (event.took or 0.0) - first) / whole * WIDTH
        wide = max((event.took or 0.0) / whole * WIDTH, 3.0)
        left = min(left, WIDTH - wide)
        bars.append(Bar(event=event, x=round(left, 1), width=round(wide, 1)))
    return Steps(seconds=whole, begins_at=first, rows=tuple(rows), bars=tuple(bars))


@dataclass(frozen=True, kw_only=True)
class Trend:
    """A line over weeks in a box of `width` x `height`. lines: points of polylines, broken where a week is
    without a value; dots: x, y, the moment the week began, value, calls."""

    width: int
    height: int
    lines: tuple[str, ...]
    dots: tuple[tuple[float, float, float, float, int], ...]


def trend(weeks: Sequence[tuple[float, float | None, int]], *, width: int = 280, height: int = 56) -> Trend:
    """Values of 0 to 100 by the moment their week began; weeks lie as far apart as they are."""
    edge = 5
    known = [(at, value, calls) for at, value, calls in weeks if value is not None]
    if not known:
        return Trend(width=width, height=height, lines=(), dots=())
    first, last = known[0][0], known[-1][0]
    across = (width - 2 * edge) / max(last - first, 1)

    def place(at: float, value: float) -> tuple[float, float]:
        x = width / 2 if last == first else edge + (at - first) * across
        return round(x, 1), round(height - edge - value / 100 * (height - 2 * edge), 1)

    dots = tuple((*place(at, value), at, value, calls) for at, value, calls in known)
    lines: list[list[str]] = [[]]
    for before, dot in zip((None, *dots), dots, strict=False):
        if before is not None and dot[2] - before[2] > WEEK_SECONDS:
            lines.append([])
        lines[-1].append(f"{dot[0]},{dot[1]}")
    return Trend(
        width=width, height=height, lines=tuple(" ".join(each) for each in lines if len(each) > 1), dots=dots
    )


@dataclass(frozen=True, kw_only=True)
class Column:
    """A day's column in a box of 1000 x 100, and what it stands for."""

    x: float
    y: float
    width: float
    height: float
    day: str
    amount: float
    cost: float | None


def columns(days: Sequence[tuple[str, float, float | None]]) -> tuple[Column, ...]:
    """A column for each day, as high as its share of the highest one; days with nothing have none."""
    most = max((amount for _, amount, _ in days), default=0.0)
    step = WIDTH / max(len(days), 1)
    return tuple(
        Column(
            x=round(at * step + step * 0.1, 2),
            y=round(100 - 100 * amount / most, 2),
            width=round(step * 0.8, 2),
            height=round(100 * amount / most, 2),
            day=day,
            amount=amount,
            cost=cost,
        )
        for at, (day, amount, cost) in enumerate(days)
        if amount > 0
    )
