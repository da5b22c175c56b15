"""Where each channel's own speaker talks. Pure.

By this it is decided what of a call on two channels is sent, so it follows the level of the moment: a quiet
speaker, or a quiet stretch beside a loud one, is talk as well. What only follows the other channel's voice
(see likeness) is not.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

from pipeline.audio.levels import FLOOR, Channel, percentile, runs
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
    channel: Channel, step: float, echo: Sequence[int] | None = None, *, softest: float = 1 / RANGE
) -> list[Span]:
    """Stretches of talk, ascending, parted by rests of BREATH_SECONDS; seconds.

    echo: per window, the level up to which what sounds may be the other channel's voice. softest: talk, as
    a share of the loudest around.
    """
    own = channel.voiced if echo is None else array("H", map(_above, channel.voiced, echo))
    noise = min(ABOVE_NOISE * percentile(channel.windows, 0.1), percentile(own, 0.99, above=FLOOR) / 4)
    loudest = [
        percentile(own[at : at + NEIGHBOURHOOD], 0.9, above=FLOOR) for at in range(0, len(own), NEIGHBOURHOOD)
    ]
    breath = round(BREATH_SECONDS / step)
    found: list[tuple[int, int, int]] = []  # from, to, windows that sound
    for number in range(len(loudest)):
        first = number * NEIGHBOURHOOD
        gate = max(FLOOR, noise, softest * max(loudest[max(0, number - 1) : number + 2]))
        for start, end in runs(own, gate, first, min(len(own), first + NEIGHBOURHOOD), above=True):
            if found and start - found[-1][1] < breath:
                found[-1] = (found[-1][0], end, found[-1][2] + end - start)
            else:
                found.append((start, end, end - start))
    shortest = SHORTEST if echo is None else SHORTEST_BESIDE_ECHO
    spans: list[tuple[int, int]] = []
    for start, end, sounding in found:
        if sounding < shortest:
            continue
        # where both talk at once, the echo covers the soft sounds of what is said here
        before = spans[-1][1] if spans else -math.inf
        covered = range(int(before), start) if start - before < COVERED_SECONDS / step else range(0)
        if sum(channel.windows[at] > FLOOR and not own[at] for at in covered) > len(covered) / 2:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return [Span(start=round(start * step, 2), end=round(end * step, 2)) for start, end in spans]


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


def _above(level: int, most: int) -> int:
    return level if level > most else 0
