"""How loud a recording is, 20 ms by 20 ms and channel by channel: all that cutting needs to know of it."""

from __future__ import annotations

import audioop
import math
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from operator import mul
from pathlib import Path

from pipeline.audio.decoding import Decoding
from pipeline.audio.pcm import Pcm
from pipeline.audio.signalling import signals, voiced
from pipeline.audio.speechlike import speechlike
from pipeline.audio.tracks import Tracks
from pipeline.domain.recording import Span

FLOOR = 58  # -55 dBFS as the root mean square of 16 bit samples: what stays below is silence
FULL = 32_768
STILL = 1.0  # nothing that moves less tells more of the offset
BIAS = 16  # a mean above this is a converter's offset, not sound
SAMPLED = 20_000
PROBES = 16  # seconds of both channels that are kept for comparing one with the other


@dataclass
class Channel:
    """One channel's levels: root mean square of each window, 16 bit scale.

    crossings: how often the sound crosses zero in each window; none where nobody counted. signals: 1 where a
    signal of the telephone system sounds; pitched: 1 in seconds with a voice or anything else of a pitch.
    peak: its loudest sample, measured where there are two channels. offset: of the converter, the mean of the
    quietest moment so far in which there may be one (a voice has a mean of its own); quietest: how much moves
    in that moment. looked:
    whether the last second was looked at for a pitch.
    """

    windows: array[int] = field(default_factory=lambda: array("H"))
    crossings: array[int] = field(default_factory=lambda: array("H"))
    signals: bytearray = field(default_factory=bytearray)
    pitched: bytearray = field(default_factory=bytearray)
    peak: int = 0
    offset: int = 0
    quietest: float = math.inf
    looked: bool = False

    @property
    def silent(self) -> bool:
        """No window rises above the absolute floor where somebody may speak."""
        return max(self.voiced, default=0) <= FLOOR

    @cached_property
    def voiced(self) -> array[int]:
        """The levels where somebody may speak; 0 under tones, music on hold and noise."""
        if not self.crossings:
            return self.windows
        found = speechlike(self.windows, self.crossings, self.signals, self.pitched, FLOOR)
        return array("H", map(mul, self.windows, found))

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
    channels: list[Channel] = []
    rests: list[bytes] = []
    probes = _Probes()
    hop = 0
    for block in decoding.blocks():
        if not channels:
            hop = decoding.out_rate // 50 * 2
            channels = [Channel() for _ in range(decoding.out_channels)]
            rests = [b""] * decoding.out_channels
        if pcm:
            pcm.add(block, decoding.out_rate)
        if len(block) == 2:
            probes.add(*block)
            for channel, part in zip(channels, block, strict=True):
                channel.peak = max(channel.peak, audioop.max(part, 2))
        for number, part in enumerate(block):
            known = rests[number] + part if rests[number] else part
            rests[number] = _measure(channels[number], known, decoding.out_rate, hop)
    for channel, rest in zip(channels, rests, strict=True):
        if rest:
            _measure(channel, rest, decoding.out_rate, len(rest))
    return Scan(
        decoding=decoding,
        step=hop / 2 / decoding.out_rate,
        channels=channels,
        probes=probes.kept,
    )


def _measure(channel: Channel, pcm: bytes, rate: int, hop: int) -> bytes:
    """Takes what there is to know of all whole windows; gives what is left over."""
    if channel.quietest > STILL and max(abs(channel.offset), 2 * abs(audioop.avg(pcm, 2))) > BIAS:
        _seek_offset(channel, pcm, hop)
    level = audioop.bias(pcm, 2, -channel.offset) if abs(channel.offset) > BIAS else pcm
    count = len(pcm) // hop
    whole = count * hop
    parts = struct.unpack_from(f"{hop}s" * count, level)
    levels = list(map(audioop.rms, parts, repeat(2)))
    channel.windows.extend(levels)
    channel.crossings.extend(map(audioop.cross, parts, repeat(2)))
    if max(levels, default=0) > FLOOR:
        going_on = any(channel.signals[-len(levels) :])
        channel.signals += signals(level[:whole], rate, levels, FLOOR, going_on=going_on)
        # behind a second with a pitch the next one is taken for one, too: only long stretches without count
        channel.looked = not (channel.looked and channel.pitched[-1:] == b"\1")
        has_pitch = not channel.looked or voiced(level[:whole], rate, levels, FLOOR)
        channel.pitched += bytes([has_pitch]) * len(levels)
    else:
        channel.looked = False
        channel.signals += bytes(len(levels))
        channel.pitched += bytes(len(levels))
    return pcm[whole:]


def _seek_offset(channel: Channel, pcm: bytes, hop: int) -> None:
    """The converter's offset, if a quarter of the second is the quietest moment so far."""
    quarter = max(hop, len(pcm) // 8 * 2)
    for at in range(0, len(pcm) - quarter + 1, quarter):
        part = pcm[at : at + quarter]
        mean = audioop.avg(part, 2)
        moving = math.sqrt(max(0, audioop.rms(part, 2) ** 2 - mean**2))
        if moving < channel.quietest:
            channel.quietest, channel.offset = moving, mean


def percentile(levels: Sequence[int], part: float, *, above: float = -1) -> int:
    """The level that `part` of those above a threshold do not exceed; 0 where there are none.

    Of hours it looks at some of the windows: all of them as a list would take tens of megabytes.
    """
    some = sorted(level for level in levels[:: max(1, len(levels) // SAMPLED)] if level > above)
    return some[min(len(some) - 1, int(len(some) * part))] if some else 0


def above_noise(channel: Channel, speech: int) -> float:
    """How far speech of that level lies above what sounds on the channel all the time, dB."""
    return round(20 * math.log10(max(1, speech or FULL) / max(1, percentile(channel.windows, 0.1))), 1)


def runs(
    windows: Sequence[int], threshold: float, first: int, last: int, *, above: bool
) -> list[tuple[int, int]]:
    """Maximal runs [from, to) of windows above (or not above) the threshold within [first, last)."""
    loud = bytes(map(math.floor(threshold).__lt__, windows[first:last]))
    found = []
    start = loud.find(above)
    while start >= 0:
        end = loud.find(not above, start)
        end = len(loud) if end < 0 else end
        found.append((first + start, first + end))
        start = loud.find(above, end)
    return found


def sounding(
    channel: Channel, step: float, *, threshold: float = FLOOR, gap: float, margin: float
) -> list[Span]:
    """Where somebody may speak above the threshold; gaps under `gap` are bridged, edges get a margin."""
    total = len(channel.windows)
    found: list[Span] = []
    for first, last in runs(channel.voiced, threshold, 0, total, above=True):
        start, end = max(0.0, first * step - margin), min(total * step, last * step + margin)
        if found and start - found[-1].end < gap:
            found[-1] = Span(start=found[-1].start, end=end)
        else:
            found.append(Span(start=start, end=end))
    return found


def sounding_seconds(channel: Channel, step: float, span: Span) -> float:
    """Seconds of the span that are above the absolute floor, and may be speech."""
    first, last = int(span.start / step), min(len(channel.windows), math.ceil(span.end / step))
    return round(sum(window > FLOOR for window in channel.voiced[first:last]) * step, 3)
