"""How loud a recording is, 20 ms by 20 ms and channel by channel: all that cutting needs to know of it."""

from __future__ import annotations

import audioop
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pipeline.audio.arrays import Flags, Ints, np
from pipeline.audio.decoding import Decoding
from pipeline.audio.meter import FLOOR, Meter
from pipeline.audio.pcm import Pcm
from pipeline.audio.speechlike import edges, joined, speechlike
from pipeline.audio.tracks import Tracks
from pipeline.domain.recording import Span

FULL = 32_768
PROBES = 16  # seconds of both channels that are kept for comparing one with the other


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One channel's levels: root mean square of each window, 16 bit scale.

    crossings: how often the sound crosses zero in each window; none where nobody counted. signals: where a
    signal of the telephone system sounds; pitched: seconds with a voice or anything else of a pitch, per
    window both. peak: its loudest sample.
    """

    windows: Ints
    crossings: Ints = field(default_factory=lambda: np.zeros(0, np.int32))
    signals: Flags = field(default_factory=lambda: np.zeros(0, np.bool_))
    pitched: Flags = field(default_factory=lambda: np.zeros(0, np.bool_))
    peak: int = 0

    @property
    def silent(self) -> bool:
        """No window rises above the absolute floor where somebody may speak."""
        return not (self.voiced > FLOOR).any()

    @cached_property
    def voiced(self) -> Ints:
        """The levels where somebody may speak; 0 under tones, music on hold and noise."""
        if not len(self.crossings):
            return self.windows
        found = speechlike(self.windows, self.crossings, self.signals, self.pitched, FLOOR)
        return np.where(found, self.windows, 0)

    @cached_property
    def speech(self) -> int:
        """The level of what sounds: its 90th percentile; 0 on a silent channel."""
        return percentile(self.voiced, 0.9, above=FLOOR)


@dataclass
class Scan:
    """A recording decoded whole, once.

    step: seconds per window. probes: seconds of both channels' PCM, spread over a recording on two of them.
    """

    decoding: Decoding
    step: float
    channels: list[Channel]
    probes: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Decoded length."""
        return self.decoding.seconds


class _Probes:
    """Up to PROBES of the seconds in which something sounds, evenly spread over the recording."""

    def __init__(self) -> None:
        self.kept: list[tuple[bytes, bytes]] = []
        self._every, self._sounding = 1, 0

    def add(self, left: bytes, right: bytes) -> None:
        if max(audioop.rms(left, 2), audioop.rms(right, 2)) <= FLOOR or len(left) != len(right):
            return
        if self._sounding % self._every == 0:
            self.kept.append((left, right))
            if len(self.kept) > PROBES:
                del self.kept[1::2]
                self._every *= 2
        self._sounding += 1


def scan(path: Path, *, max_seconds: float, pcm: Pcm | None = None) -> Scan:
    """Decodes the recording once, in constant memory; pcm: where its sound is kept.

    Raises NotAudio when nothing decodes, TooLong past max_seconds.
    """
    decoding = Tracks(path, max_seconds=max_seconds, log_packets=True)
    return measured(decoding, decoding.blocks(), pcm)


def measured(decoding: Decoding, blocks: Iterable[tuple[bytes, ...]], pcm: Pcm | None = None) -> Scan:
    """As `scan`, of a decoding that was begun; blocks: its sound, from the start on."""
    meters: list[Meter] = []
    probes = _Probes()
    for block in blocks:
        if not meters:
            meters = [Meter(decoding.out_rate) for _ in block]
        if pcm:
            pcm.add(block, decoding.out_rate)
        if len(block) == 2:
            probes.add(*block)
        for meter, part in zip(meters, block, strict=True):
            meter.add(part)
    return Scan(
        decoding=decoding,
        step=decoding.out_rate // 50 / decoding.out_rate,
        channels=[_channel(meter) for meter in meters],
        probes=probes.kept,
    )


def _channel(meter: Meter) -> Channel:
    meter.close()
    return Channel(
        windows=np.concatenate(meter.windows),
        crossings=np.concatenate(meter.crossings),
        signals=np.concatenate(meter.signals),
        pitched=np.concatenate(meter.pitched),
        peak=meter.peak,
    )


def percentile(levels: Ints, part: float, *, above: float = -1) -> int:
    """The level that `part` of those above a threshold do not exceed; 0 where there are none."""
    some = levels[levels > above]
    if not len(some):
        return 0
    place = min(len(some) - 1, int(len(some) * part))
    return int(np.partition(some, place)[place])


def percentiles(levels: Ints, part: float, *, above: int, size: int) -> Ints:
    """As `percentile`, of `size` windows at a time; above: 0 at the least."""
    rows = np.zeros((-(-len(levels) // size), size), levels.dtype)
    rows.reshape(-1)[: len(levels)] = levels
    rows.sort(axis=1)
    below = np.count_nonzero(rows <= above, axis=1)
    some = size - below
    place = below + np.minimum(some - 1, (some * part).astype(np.int64))
    found: Ints = np.where(some, np.take_along_axis(rows, place[:, None], axis=1)[:, 0], 0)
    return found


def above_noise(channel: Channel, speech: int) -> float:
    """How far speech of that level lies above what sounds on the channel all the time, dB."""
    return round(20 * math.log10(max(1, speech or FULL) / max(1, percentile(channel.windows, 0.1))), 1)


def runs(windows: Ints, threshold: float, first: int, last: int, *, above: bool) -> list[tuple[int, int]]:
    """Maximal runs [from, to) of windows above (or not above) the threshold within [first, last)."""
    starts, ends = edges((windows[first:last] > threshold) == above)
    return list(zip((starts + first).tolist(), (ends + first).tolist(), strict=True))


def sounding(
    channel: Channel, step: float, *, threshold: float = FLOOR, gap: float, margin: float
) -> list[Span]:
    """Where somebody may speak above the threshold; gaps under `gap` are bridged, edges get a margin."""
    first, last = edges(channel.voiced > threshold)
    starts = np.maximum(0.0, first * step - margin)
    ends = np.minimum(len(channel.windows) * step, last * step + margin)
    starts, ends = joined(starts, ends, starts[1:] - ends[:-1] >= gap)
    return [Span(start=start, end=end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def sounding_seconds(channel: Channel, step: float, span: Span) -> float:
    """Seconds of the span that are above the absolute floor, and may be speech."""
    first, last = int(span.start / step), math.ceil(span.end / step)
    return round(int(np.count_nonzero(channel.voiced[first:last] > FLOOR)) * step, 3)
