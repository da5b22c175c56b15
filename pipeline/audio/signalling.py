"""What a telephone line plays, and what has no voice in it, told by the sound's frequencies and its pitch.

Signals are made of one or two tones of standardised frequencies: digits (ITU-T Q.23), dialling, ringing and
busy tones of two frequencies (E.180), the three tones before an announcement (E.182). A moment is one of them
where nearly all of its power lies at those frequencies, as that of a voice does not for long. A voice repeats
itself 60 to 400 times a second; wind, breath, traffic and hiss never do, whatever their level does.
"""

from __future__ import annotations

import audioop
import math
from array import array
from collections.abc import Sequence
from functools import cache

RATE = 8000
FRAME = 400  # samples: long enough to tell the closest pair apart, 440 and 480 Hz
PURE = 0.85  # the share of the power that lies at the frequencies
FEWEST_CROSSINGS = 30  # in a frame: 300 Hz
LOUDER = (
    2.0  # one half of a frame than the other: two tones beat, and 15 % of the power may be something else
)
BOTH = 0.1  # each of two has as large a share

PAIRS = (
    (350.0, 440.0),
    (440.0, 480.0),
    (480.0, 620.0),
    (400.0, 450.0),
    *((low, high) for low in (697.0, 770.0, 852.0, 941.0) for high in (1209.0, 1336.0, 1477.0, 1633.0)),
)
ALONE = (913.8, 950.0, 985.2, 1370.6, 1400.0, 1428.5, 1776.7, 1800.0)
FREQUENCIES = sorted({each for pair in PAIRS for each in pair} | set(ALONE))

AMPLITUDE = 16_384  # of the waves that a sound is compared with
REFERENCE = AMPLITUDE**2 / 2

# what is low changes slowly, so it is like itself a pitch later: an emphasis of what is higher takes it out,
# mildly, since it brings hiss up; where all is rumble strongly, and then the highest goes again, by the
# mean of each two samples. One mean is always taken: every second sample is enough to tell a pitch by
MILD, SMOOTH = -0.3, 1
STRONG, SMOOTHER = -0.9, 4
RUMBLE = 0.9  # likeness of each sample to the next
REPEATED = 200  # samples at half of RATE that have to come again
SHORTEST, LONGEST = 10, 60  # of these samples: pitches of 400 and 67 Hz
VOICED = 0.5  # correlation; a voice in noise as loud comes to it, noise alone hardly
VOICED_FRAME = 2 * (REPEATED + LONGEST) + 1 + SMOOTHER
TRIES = 10  # a second


def signals(pcm: bytes, rate: int, levels: Sequence[int], floor: int, *, going_on: bool = False) -> bytearray:
    """Per window 1 where a signal sounds.

    pcm: about a second of one channel, 16 bit. levels: of its windows of 20 ms; up to the floor is silence.
    All of them are looked at where the loudest is a signal, or one is going on from the second before.
    """
    if not levels:
        return bytearray()
    loudest = levels.index(max(levels))
    if not (going_on or _is_signal(_frame(pcm, rate, (loudest + 0.5) / len(levels), FRAME))):
        return bytearray(len(levels))
    return bytearray(
        level > floor and _is_signal(_frame(pcm, rate, (at + 0.5) / len(levels), FRAME))
        for at, level in enumerate(levels)
    )


def voiced(pcm: bytes, rate: int, levels: Sequence[int], floor: int) -> bool:
    """Whether anything in it has a pitch, as every voice has; arguments as for `signals`.

    The loudest moments are tried first: of speech, one is enough.
    """
    places = sorted(range(len(levels)), key=levels.__getitem__, reverse=True)[:TRIES]
    return any(
        levels[at] > floor and _repeats(_frame(pcm, rate, (at + 0.5) / len(levels), VOICED_FRAME))
        for at in places
    )


def _frame(pcm: bytes, rate: int, middle: float, samples: int) -> bytes:
    """So many samples at RATE around a place, which is a share of the PCM's length."""
    size = math.ceil(samples * rate / RATE) + 1
    first = max(0, min(round(middle * len(pcm) / 2) - size // 2, len(pcm) // 2 - size))
    part = pcm[2 * first : 2 * (first + size)]
    if rate != RATE:
        part, _ = audioop.ratecv(part, 2, 1, rate, RATE, None)
    return part[: samples * 2]


def _half(pcm: bytes) -> bytes:
    """Every second sample: all frequencies that are asked for lie below 2 kHz."""
    return array("h", pcm)[::2].tobytes()


def _is_signal(frame: bytes) -> bool:
    power = audioop.rms(frame, 2) ** 2
    if not power or len(frame) < FRAME * 2 or not _may_be_signal(frame):
        return False
    half, factor = _half(frame), audioop.findfactor
    share = {
        hertz: (factor(half, cosine) ** 2 + factor(half, sine) ** 2) * REFERENCE / power
        for hertz, cosine, sine in _waves()
    }
    return any(share[hertz] >= PURE for hertz in ALONE) or any(
        share[one] + share[other] >= PURE and min(share[one], share[other]) >= BOTH for one, other in PAIRS
    )


def _may_be_signal(frame: bytes) -> bool:
    """Whether it crosses zero as often as the lowest pair, and is as loud at its end as at its begin: a quick
    look that spares most of a voice the slow one.
    """
    halves = audioop.rms(frame[:FRAME], 2), audioop.rms(frame[FRAME:], 2)
    return audioop.cross(frame, 2) >= FEWEST_CROSSINGS and max(halves) <= LOUDER * min(halves)


@cache
def _waves() -> list[tuple[float, bytes, bytes]]:
    """Each frequency as a wave and the same a quarter later, at half of RATE."""
    return [(hertz, _wave(hertz, 0.0), _wave(hertz, 0.25)) for hertz in FREQUENCIES]


def _wave(hertz: float, late: float) -> bytes:
    angles = (2 * math.pi * (hertz * at / RATE - late) for at in range(0, FRAME, 2))
    return array("h", (round(AMPLITUDE * math.cos(angle)) for angle in angles)).tobytes()


def _repeats(frame: bytes) -> bool:
    if len(frame) < 2 * VOICED_FRAME:
        return False
    rumbles = audioop.findfactor(frame[2:], frame[:-2]) >= RUMBLE
    return (_likeness(frame, STRONG, SMOOTHER) if rumbles else _likeness(frame, MILD, SMOOTH)) >= VOICED


def _likeness(frame: bytes, emphasis: float, smooth: int) -> float:
    """The correlation of the frame's beginning with what it is most like a pitch later."""
    sharp = audioop.add(frame[2:], audioop.mul(frame[:-2], 2, emphasis), 2)
    for _ in range(smooth):
        sharp = audioop.mul(sharp, 2, 0.5)
        sharp = audioop.add(sharp[2:], sharp[:-2], 2)
    half = _half(sharp)
    once = half[: 2 * REPEATED]
    at, factor = audioop.findfit(half[2 * SHORTEST : 2 * (LONGEST + REPEATED)], once)
    again = audioop.rms(half[2 * (SHORTEST + at) :][: 2 * REPEATED], 2)
    return abs(factor) * audioop.rms(once, 2) / again if again else 0.0
