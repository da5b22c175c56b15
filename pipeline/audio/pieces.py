"""What of which channel is sent in one call to the recogniser: the plan before anything is written. Pure.

Seconds are paid for, so few are sent beside speech. Of two channels each one's talk is sent, packed: as many
of its sentences as fit into what a recogniser hears at once, with a short rest between them. What stands
where in an upload is kept, so a word belongs to the sentence that it was said in, whatever the recogniser's
times are. A mixed recording is sent whole, without its long silences; where the rests that stay would cost
too much, its talk is packed as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pipeline.audio.arrays import Ints
from pipeline.audio.cutting import PARALLEL, SMALLEST_SECONDS, Room, cuts, pieces
from pipeline.audio.levels import Channel, sounding
from pipeline.audio.meter import FLOOR
from pipeline.audio.speaking import Speaking
from pipeline.audio.talk import sentences, talk
from pipeline.domain.recording import Span, Stretch

UNSENT_SECONDS = 30.0  # silence as long as this is not sent; shorter rests are left in for context
MARGIN_SECONDS = 0.5
PACK_SECONDS = 28.0  # Whisper hears 30 s at once
REST_SECONDS = 0.4  # of silence between two of its stretches; with their edges, a pause between sentences
EDGE_SECONDS = 0.2  # around a sentence: its softest sounds are below any gate
SPARE = 0.32  # of the seconds of talk: what edges and rests may take together, where sentences are short,
LEAST_EDGE_SECONDS, LEAST_REST_SECONDS = 0.1, 0.3  # and the least that they are
WIDER = 1.25
LEFT_SECONDS = 1.0  # shorter rests of a mixed recording stay as they are
MOST_SENT = 1.3  # seconds of a mixed recording that are sent per second of its talk


@dataclass(frozen=True)
class Upload:
    """What one call holds: stretches of one channel, ascending; seconds from the recording's start.

    rest: seconds of silence between two of them.
    """

    channel: int
    spans: tuple[Span, ...]
    rest: float = REST_SECONDS

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """What stands where in the upload."""
        found, at = [], 0.0
        for span in self.spans:
            found.append(Stretch(at=round(at, 6), span=span))
            at += span.seconds + self.rest
        return tuple(found)

    @property
    def seconds(self) -> float:
        """How long it is, its rests included."""
        last = self.stretches[-1]
        return last.at + last.span.seconds


def whole(
    channel: Channel,
    step: float,
    seconds: float,
    *,
    longest: float,
    places: int = PARALLEL,
    room: Room | None = None,
    snap: Callable[[float], float] | None = None,
) -> list[Upload]:
    """A mixed recording in pieces of at most `longest` seconds (and within `room`); silence lies between
    them.

    places: how many pieces can be heard at a time. snap: moves a cut to where the format allows one.
    """
    move = snap or (lambda at: at)
    found = []
    for span in _sounding(channel, step, seconds):
        points = cuts(
            channel.windows, step, start=span.start, end=span.end, longest=longest, places=places, room=room
        )
        edges = [move(span.start), *(move(point) for point in points), move(span.end)]
        found += [Upload(0, (Span(start=start, end=end),)) for start, end in pairwise(edges) if end > start]
    return found


def spared(
    speaking: Speaking, uploads: list[Upload], step: float, seconds: float, *, longest: float, places: int
) -> list[Upload]:
    """A mixed recording's uploads, packed where their rests would cost more than MOST_SENT allows, or where
    long silences leave pieces with too little context.

    longest: seconds that a packed one may have. One voice needs no short packs: there is no order of two
    sides to keep, and a recogniser makes more of long pieces.
    """
    sent = math.fsum(upload.seconds for upload in uploads)
    few = len(uploads) <= 1 + pieces(sent, longest, places)
    scattered = not few and sent < SMALLEST_SECONDS * len(uploads)
    if sent <= MOST_SENT * _spoken(speaking.talk) and not scattered:
        return uploads
    # the fainter of two speakers is talk as well, however loud the other one is
    sounds = talk(speaking.channels[0], step, softest=0.0)
    wide = replace(speaking, talk=[sentences(sounds, (), pause=LEFT_SECONDS)])
    if (sent <= MOST_SENT * _spoken(wide.talk) and not scattered) or not wide.talk[0]:
        return uploads
    spoken = _spoken(wide.talk)
    length = WIDER * spoken / pieces(spoken, longest, places)
    return packed(wide, step, seconds, longest=longest, most=0, length=length)


def packed(
    speaking: Speaking,
    step: float,
    seconds: float,
    *,
    longest: float,
    most: int,
    length: float = PACK_SECONDS,
) -> list[Upload]:
    """Each channel's talk in uploads of up to `length`, longer where there would be more than `most` of them.

    longest: seconds that an upload may have, whatever their number. By the time of their first stretch.
    """
    length = min(length, longest)
    edge, rest = _quiet(speaking.talk)
    while True:
        found = [
            Upload(channel, pack, rest)
            for channel in range(len(speaking.channels))
            for pack in _packs(list(_edged(speaking, channel, step, seconds, length, edge)), length, rest)
        ]
        if len(found) <= max(most, len(speaking.channels)) or length >= longest:
            return sorted(found, key=lambda upload: (upload.spans[0].start, upload.channel))
        length = min(length * WIDER, longest)


def _spoken(spans_by_channel: Sequence[Sequence[Span]]) -> float:
    return math.fsum(span.seconds for spans in spans_by_channel for span in spans)


def _quiet(spans_by_channel: Sequence[Sequence[Span]]) -> tuple[float, float]:
    """Seconds of edge and of rest: less where sentences are so short that the usual would cost too much."""
    each = SPARE * _spoken(spans_by_channel) / max(1, sum(map(len, spans_by_channel)))
    edge = min(EDGE_SECONDS, max(LEAST_EDGE_SECONDS, (each - REST_SECONDS) / 2))
    return edge, min(REST_SECONDS, max(LEAST_REST_SECONDS, each - 2 * edge))


def _sounding(channel: Channel, step: float, seconds: float) -> list[Span]:
    """The whole recording without its long silences; nothing of a silent one."""
    found = sounding(channel, step, gap=UNSENT_SECONDS, margin=MARGIN_SECONDS)
    if not found:
        return []
    start = found[0].start if found[0].start >= UNSENT_SECONDS else 0.0
    end = found[-1].end if seconds - found[-1].end >= UNSENT_SECONDS else seconds
    first, last = found[0], found[-1]
    if len(found) == 1:
        return [Span(start=start, end=end)]
    return [Span(start=start, end=first.end), *found[1:-1], Span(start=last.start, end=end)]


def _edged(
    speaking: Speaking, channel: int, step: float, seconds: float, length: float, edge_seconds: float
) -> Iterator[Span]:
    """Each sentence and what is quiet around it; one longer than an upload in parts, cut at quiet points."""
    spans, echo = speaking.talk[channel], speaking.echoes[channel]
    windows = speaking.channels[channel].windows
    edge = round(edge_seconds / step)
    for number, span in enumerate(spans):
        low = (spans[number - 1].end + span.start) / 2 if number else 0.0
        high = (span.end + spans[number + 1].start) / 2 if number + 1 < len(spans) else seconds
        first, last = round(span.start / step), round(span.end / step)
        before = _without_echo(windows, echo, range(first - 1, first - 1 - edge, -1))
        after = _without_echo(windows, echo, range(last, last + edge))
        start, end = max(low, span.start - before * step), min(high, span.end + after * step)
        points = cuts(windows, step, start=start, end=end, longest=length)
        yield from (Span(start=one, end=other) for one, other in pairwise([start, *points, end]))


def _without_echo(windows: Ints, echo: Ints | None, places: range) -> int:
    """How many of the windows in a row do not sound of the other's voice."""
    if echo is None:
        return len(places)
    sounds = (FLOOR < windows[at] <= echo[at] if 0 <= at < len(windows) else False for at in places)
    return next((count for count, other in enumerate(sounds) if other), len(places))


def _packs(spans: Sequence[Span], length: float, rest: float) -> Iterator[tuple[Span, ...]]:
    """Neighbours together, in as few packs as can be and of about the same length."""
    total = math.fsum(span.seconds + rest for span in spans)
    goal = total / max(1, math.ceil(total / length))
    pack: list[Span] = []
    filled = passed = 0.0
    for span in spans:
        needed = span.seconds + rest
        ends = passed + needed / 2 >= goal or filled + needed - rest > length
        if pack and ends:
            yield tuple(pack)
            pack, filled, passed = [], 0.0, passed - goal
        pack.append(span)
        filled += needed
        passed += needed
    if pack:
        yield tuple(pack)
