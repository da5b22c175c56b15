"""Which stretches of which side are sent to the recogniser: the plan before anything is written. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from pipeline.audio.cutting import Room, cuts, quietest_point
from pipeline.audio.levels import Channel, Scan, sounding, talk
from pipeline.audio.turns import joined, most, turns
from pipeline.domain.recording import Span

UNSENT_SECONDS = 30.0  # silence as long as this is not sent; shorter rests are left in for context
MARGIN_SECONDS = 0.5


@dataclass(frozen=True)
class Stretch:
    """A piece of one side to be sent; seconds from the recording's start."""

    channel: int
    start: float
    end: float


@dataclass(frozen=True)
class Layout:
    """All pieces by time; talk: per side, where its party talks."""

    stretches: tuple[Stretch, ...]
    talk: tuple[tuple[Span, ...], ...]
    order: Literal["exact", "approximate"] = "exact"


def speaking_channels(scan: Scan) -> list[Channel]:
    """The sides that count: both where each channel is a party of its own, else one for all."""
    if not scan.same:
        return scan.channels
    left, right = scan.channels
    if scan.opposed:
        return [left]
    return [
        Channel(windows=array("H", map(max, left.windows, right.windows)), peak=max(left.peak, right.peak))
    ]


def layout(
    channels: list[Channel],
    step: float,
    seconds: float,
    *,
    longest: float,
    timestamps: bool,
    room: Room | None = None,
    snap: Callable[[float], float] | None = None,
) -> Layout:
    """Cuts every side into pieces of at most `longest` seconds (and within `room`).

    What lies between the pieces of a side is silence. `snap` moves a cut to where the format allows one.
    """
    spoken = [
        talk(channel, step, channels[1 - number] if len(channels) == 2 else None)
        for number, channel in enumerate(channels)
    ]
    order: Literal["exact", "approximate"] = "exact"
    spans = [_sounding(channel, step, seconds) for channel in channels]
    if len(channels) == 2 and not timestamps and all(spoken):
        exact = [turns(spoken[number], spoken[1 - number]) for number in range(2)]
        found_turns = joined(exact, most(seconds))
        if found_turns != exact:
            order = "approximate"
        spans = [_by_turn(channels[number], step, spans[number], found_turns[number]) for number in range(2)]
    move = snap or (lambda at: at)
    found = []
    for number, channel in enumerate(channels):
        for span in spans[number]:
            points = cuts(channel.windows, step, start=span.start, end=span.end, longest=longest, room=room)
            edges = [move(span.start), *(move(point) for point in points), move(span.end)]
            found += [Stretch(number, start, end) for start, end in pairwise(edges) if end > start]
    found.sort(key=lambda stretch: (stretch.start, stretch.channel))
    return Layout(tuple(found), tuple(tuple(each) for each in spoken), order)


def _sounding(channel: Channel, step: float, seconds: float) -> list[Span]:
    """The whole side without its long silences; nothing of a silent side."""
    found = sounding(channel, step, gap=UNSENT_SECONDS, margin=MARGIN_SECONDS)
    if not found:
        return []
    start = found[0].start if found[0].start >= UNSENT_SECONDS else 0.0
    end = found[-1].end if seconds - found[-1].end >= UNSENT_SECONDS else seconds
    first, last = found[0], found[-1]
    if len(found) == 1:
        return [Span(start=start, end=end)]
    return [Span(start=start, end=first.end), *found[1:-1], Span(start=last.start, end=end)]


def _by_turn(channel: Channel, step: float, spans: list[Span], found: list[Span]) -> list[Span]:
    """The sounding spans cut between turns, each piece without the silence at its edges."""
    points = [
        quietest_point(channel.windows, step, low=before.end, high=after.start)
        for before, after in pairwise(found)
    ]
    pieces = []
    for span in spans:
        inside = [point for point in points if span.start < point < span.end]
        edges = [span.start, *inside, span.end]
        for start, end in pairwise(edges):
            part = Channel(windows=channel.windows[round(start / step) : round(end / step)])
            heard = sounding(part, step, gap=end - start, margin=MARGIN_SECONDS / 2)
            if heard:
                pieces.append(Span(start=start + heard[0].start, end=min(end, start + heard[0].end)))
    return pieces
