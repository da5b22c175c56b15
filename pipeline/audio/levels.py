"""How loud a recording is, 20 ms by 20 ms and side by side: all that cutting needs to know of it."""

from __future__ import annotations

import audioop
import math
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from pathlib import Path

from pipeline.audio.decoding import Decoding
from pipeline.audio.tracks import Tracks
from pipeline.domain.recording import Span

FLOOR = 58  # -55 dBFS as the root mean square of 16 bit samples: what stays below is silence
OFFSET_EVERY = 400  # windows: a converter's offset does not change from second to second
BIAS = 16  # a mean above this is a converter's offset, not sound
ALIKE = 0.9  # correlation above which both channels carry the same in that second
TALK_GAP_SECONDS = 0.6  # rests inside a sentence
GATE = 17.8  # 25 dB
ECHO = 6.3  # 16 dB: telephone lines damp the other party's voice by more
SAME_LEVEL = 2.0  # ... and their levels within 6 dB


@dataclass
class Channel:
    """One party's levels: root mean square of each window, 16 bit scale.

    peak: its loudest sample, known of two-sided recordings alone; offset: the mean of its samples.
    """

    windows: array[int] = field(default_factory=lambda: array("H"))
    peak: int = 0
    offset: int = 0

    @property
    def silent(self) -> bool:
        """No window rises above the absolute floor."""
        return self.above(FLOOR) == 0

    @cached_property
    def ordered(self) -> array[int]:
        """The levels, ascending; an array, since hours of them as a list would take tens of megabytes."""
        return array("H", sorted(self.windows))

    def above(self, threshold: float) -> int:
        """How many windows are above a level."""
        return len(self.windows) - bisect_right(self.ordered, threshold)

    @cached_property
    def speech(self) -> int:
        """The level of what sounds: its 90th percentile; 0 on a silent side."""
        sounding = self.above(FLOOR)
        return self.ordered[-1 - sounding // 10] if sounding else 0


@dataclass
class Scan:
    """A recording decoded whole, once.

    step: seconds per window. same: both channels carry the same (dual mono); opposed: the same with
    one of them upside down, so that a mix would be silence.
    """

    decoding: Decoding
    step: float
    channels: list[Channel]
    same: bool = False
    opposed: bool = False

    @property
    def seconds(self) -> float:
        """Decoded length."""
        return self.decoding.seconds


class _Correlation:
    """Counts the seconds in which both channels carry the same signal."""

    def __init__(self) -> None:
        self.sounding = self.alike = self.opposed = 0

    def add(self, left: bytes, right: bytes) -> None:
        one, other = audioop.rms(left, 2), audioop.rms(right, 2)
        if max(one, other) <= FLOOR or len(left) != len(right):
            return
        self.sounding += 1
        if not (one and other) or not 1 / SAME_LEVEL <= one / other <= SAME_LEVEL:
            return
        correlation = audioop.findfactor(left, right) * other / one
        self.alike += abs(correlation) >= ALIKE
        self.opposed += correlation <= -ALIKE


def scan(path: Path, *, max_seconds: float) -> Scan:
    """Decodes the recording once, in constant memory.

    Raises NotAudio when nothing decodes, TooLong past max_seconds.
    """
    decoding = Tracks(path, max_seconds=max_seconds, log_packets=True)
    channels: list[Channel] = []
    rests: list[bytes] = []
    correlation = _Correlation()
    hop = 0
    for block in decoding.blocks():
        if not channels:
            hop = decoding.out_rate // 50 * 2
            channels = [Channel() for _ in range(decoding.out_channels)]
            rests = [b""] * decoding.out_channels
        if len(block) == 2:
            correlation.add(*block)
            for channel, pcm in zip(channels, block, strict=True):
                channel.peak = max(channel.peak, audioop.max(pcm, 2))
        for number, pcm in enumerate(block):
            rests[number] = _measure(channels[number], rests[number] + pcm if rests[number] else pcm, hop)
    for channel, rest in zip(channels, rests, strict=True):
        if rest:
            channel.windows.append(audioop.rms(rest, 2))
    same = correlation.sounding > 0 and correlation.alike >= 0.95 * correlation.sounding
    return Scan(
        decoding=decoding,
        step=hop / 2 / decoding.out_rate,
        channels=channels,
        same=same,
        opposed=same and correlation.opposed > correlation.alike / 2,
    )


def _measure(channel: Channel, pcm: bytes, hop: int) -> bytes:
    """Takes the levels of all whole windows; gives what is left over."""
    if len(channel.windows) % OFFSET_EVERY == 0:
        found = audioop.avg(pcm, 2)
        channel.offset = min(channel.offset, found, key=abs) if channel.windows else found
    level = audioop.bias(pcm, 2, -channel.offset) if abs(channel.offset) > BIAS else pcm
    rms = audioop.rms
    whole = len(pcm) // hop * hop
    channel.windows.extend([rms(level[at : at + hop], 2) for at in range(0, whole, hop)])
    return pcm[whole:]


def runs(
    windows: Sequence[int], threshold: float, first: int, last: int, *, above: bool
) -> list[tuple[int, int]]:
    """Maximal runs [from, to) of windows above (or not above) the threshold within [first, last)."""
    found = []
    start = None
    for index in range(first, last):
        if (windows[index] > threshold) == above:
            if start is None:
                start = index
        elif start is not None:
            found.append((start, index))
            start = None
    if start is not None:
        found.append((start, last))
    return found


def sounding(
    channel: Channel, step: float, *, threshold: float = FLOOR, gap: float, margin: float
) -> list[Span]:
    """Where a side is above the threshold; gaps shorter than `gap` are bridged, edges get a margin."""
    total = len(channel.windows)
    found: list[Span] = []
    for first, last in runs(channel.windows, threshold, 0, total, above=True):
        start, end = max(0.0, first * step - margin), min(total * step, last * step + margin)
        if found and start - found[-1].end < gap:
            found[-1] = Span(start=found[-1].start, end=end)
        else:
            found.append(Span(start=start, end=end))
    return found


def talk(channel: Channel, step: float, other: Channel | None = None) -> list[Span]:
    """Where this party most likely talks: a relative gate 25 dB under its speech, never under the floor.

    Where the other side is much louder at that moment, what sounds here is its echo. This is only for
    telling turns apart: nothing is withheld by it, and it gives way to the floor alone where it would
    discard most of what sounds.
    """
    windows = channel.windows
    if other:
        windows = array(
            "H", (0 if its > ECHO * own else own for own, its in _aligned(windows, other.windows))
        )
    threshold = max(FLOOR, channel.speech / GATE)
    gated = Channel(windows=windows) if other else channel
    if gated.above(threshold) < channel.above(FLOOR) / 4:
        gated, threshold = channel, FLOOR
    spans = sounding(gated, step, threshold=threshold, gap=TALK_GAP_SECONDS, margin=0.0)
    return [Span(start=round(span.start, 2), end=round(span.end, 2)) for span in spans]


def _aligned(one: array[int], other: array[int]) -> Iterator[tuple[int, int]]:
    return zip_longest(one, other[: len(one)], fillvalue=0)


def sounding_seconds(channel: Channel, step: float, span: Span) -> float:
    """Seconds of the span that are above the absolute floor."""
    first, last = int(span.start / step), min(len(channel.windows), math.ceil(span.end / step))
    return round(sum(window > FLOOR for window in channel.windows[first:last]) * step, 3)
