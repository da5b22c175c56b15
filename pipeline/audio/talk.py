"""Where each channel's own speaker talks. Pure.

By this it is decided what of a call on two channels is sent, so it follows the level of the moment: a quiet
speaker, or a quiet stretch beside a loud one, is talk as well. What only follows the other channel's voice
(see likeness) is not.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.audio.arrays import Ints, np
from pipeline.audio.levels import Channel, percentile, percentiles
from pipeline.audio.meter import FLOOR
from pipeline.audio.speechlike import edges, joined
from pipeline.domain.recording import Span

RANGE = 31.6  # 30 dB: the softest sounds of a word are as much below its loudest
ABOVE_NOISE = 2.5  # talk is 8 dB louder than the noise
NEIGHBOURHOOD = 500  # windows: how loud a speaker is, is asked of the ten seconds around
SHORTEST = 3  # windows: a stretch that sounds for less is a click
SHORTEST_BESIDE_ECHO = 5  # what a codec makes of an echo may stand out for a moment
COVERED_SECONDS = 0.4
BREATH_SECONDS = 0.2
PAUSE_SECONDS = 0.6  # rests inside a sentence


def talk(
    channel: Channel, step: float, echo: Ints | None = None, *, softest: float = 1 / RANGE
) -> list[Span]:
    """Stretches of talk, ascending, parted by rests of BREATH_SECONDS; seconds.

    echo: per window, the level up to which what sounds may be the other channel's voice. softest: talk, as
    a share of the loudest around.
    """
    own = channel.voiced if echo is None else np.where(channel.voiced > echo, channel.voiced, 0)
    noise = min(ABOVE_NOISE * percentile(channel.windows, 0.1), percentile(own, 0.99, above=FLOOR) / 4)
    loudest = percentiles(own, 0.9, above=FLOOR, size=NEIGHBOURHOOD)
    around = np.maximum(loudest, np.maximum(np.append(loudest[1:], 0), np.append(0, loudest[:-1])))
    gates = np.maximum(max(FLOOR, noise), softest * around)
    loud = own > np.repeat(gates, NEIGHBOURHOOD)[: len(own)]
    first, last = edges(loud)
    # parted by breaths; what sounds too short within is a click
    parted = first[1:] - last[:-1] >= round(BREATH_SECONDS / step)
    first, last = joined(first, last, parted)
    sounding = np.append(0, np.cumsum(loud))
    some = sounding[last] - sounding[first] >= (SHORTEST if echo is None else SHORTEST_BESIDE_ECHO)
    first, last = first[some], last[some]
    # where both talk at once, the echo covers the soft sounds of what is said here
    covered = np.append(0, np.cumsum((channel.windows > FLOOR) & (own == 0)))
    rest = first[1:] - last[:-1]
    over = (rest < COVERED_SECONDS / step) & (covered[first[1:]] - covered[last[:-1]] > rest / 2)
    first, last = joined(first, last, ~over)
    return [
        Span(start=start, end=end)
        for start, end in zip(*((at * step).round(2).tolist() for at in (first, last)), strict=True)
    ]


def sentences(own: Sequence[Span], other: Sequence[Span], *, pause: float = PAUSE_SECONDS) -> list[Span]:
    """The stretches of one channel's talk without its short rests, where the other is silent meanwhile."""
    found: list[Span] = []
    at = 0
    for span in own:
        if found and span.start - found[-1].end < pause:
            while at < len(other) and other[at].end <= found[-1].end:
                at += 1
            if at == len(other) or other[at].start >= span.start:
                found[-1] = Span(start=found[-1].start, end=span.end)
                continue
        found.append(span)
    return found
