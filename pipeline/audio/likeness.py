"""Whether one channel carries the other's voice as well: an echo on the line, or one voice on both. Pure.

An echo follows the voice that it comes from: as loud as that voice a while before, by a constant factor.
What a second speaker says has nothing to do with the first one's level. So the two are told apart by how
closely one level follows the other, never by how loud anything is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from pipeline.audio.arrays import Floats, Ints, np
from pipeline.audio.levels import Channel, percentile
from pipeline.audio.meter import FLOOR

REACH = 15  # windows of 20 ms: an echo comes within 300 ms
SAMPLED = 1500  # windows that are compared, spread over the recording
FAINTEST = 4  # on the 16 bit scale; below it, rounding is all there is
TIGHT = 3  # dB above or below the usual difference
LOUDER_BY = 2.0  # up to twice (6 dB) its usual level, what sounds may be the echo alone
TAIL = 5  # windows that a reverberation lasts

ECHO_GAIN = 0.5  # 6 dB down: no line gives back more
ECHO_SHARE = 0.6
ECHO_WINDOWS = 50
DRIFT_WINDOWS = 100  # within which a gain does not drift
DRIFT_SAMPLED = 6000
CONTRAST = 1.5  # how much louder an echo is than what is left on its channel while its source rests
# how far below its speech a source still counts as loud: 20 dB, on a noisy line 10 dB
RANGES = (10.0, 3.2)


@dataclass(frozen=True)
class Likeness:
    """A channel is the other one `lag` windows later (in steps of a half), `gain` times as loud.

    windows: of the other's loud ones, how many were compared; share: how many of them it follows within
    TIGHT dB. gains: where it drifts, from which window on it is what; none: the same all the time.
    """

    lag: float
    gain: float
    windows: int = 0
    share: float = 1.0
    gains: tuple[tuple[int, float], ...] = ()

    def expected(self, source: Ints) -> Ints:
        """Per window, the level up to which what sounds may be the other's voice alone."""
        total, latest, earliest = len(source), math.ceil(self.lag) + TAIL, math.floor(self.lag) - 1
        loudest = np.zeros(total, dtype=source.dtype)
        for later in range(earliest, latest + 1):
            begin, end = max(0, later), min(total, total + later)
            if begin < end:
                np.maximum(loudest[begin:end], source[begin - later : end - later], out=loudest[begin:end])
        begins, gains = zip(*(self.gains or ((0, self.gain),)), strict=True)
        factors = np.repeat(gains, np.diff([*begins, total])) * LOUDER_BY
        found: Ints = np.minimum(loudest * factors, 65_535).astype(np.int32)
        return found


def echo(source: Channel, target: Channel) -> Likeness | None:
    """The echo of the source's voice on the target's line; None where there is none."""
    found = (_echo(source.windows, target.windows, source.speech / range_) for range_ in RANGES)
    return next(filter(None, found), None)


def _echo(source: Ints, target: Ints, gate: float) -> Likeness | None:
    loud = np.flatnonzero(source > max(gate, FLOOR))
    if len(loud) < ECHO_WINDOWS:
        return None
    many, loud = (loud[:: max(1, len(loud) // most)] for most in (DRIFT_SAMPLED, SAMPLED))
    found = max(
        (_at_lag(source, target, loud, half / 2) for half in range(2 * REACH + 1)),
        key=lambda each: (round(each.share, 2), -each.lag),
    )
    if found.share < ECHO_SHARE:
        found, loud = _drifting(source, target, many, found.lag)
    if found.share < ECHO_SHARE or found.windows < ECHO_WINDOWS:
        return None
    # a steady noise may be as far from a speaker's level at any lag, but goes on while the speaker rests
    later = loud + math.ceil(found.lag)
    heard = target[later[later < len(target)]]
    rest = _while_resting(source, target, gate)
    contrast = percentile(heard, 0.5) / max(1, percentile(rest, 0.05))
    return found if len(rest) >= ECHO_WINDOWS and contrast >= CONTRAST else None


def _drifting(source: Ints, target: Ints, loud: Ints, lag: float) -> tuple[Likeness, Ints]:
    """The likeness at that lag where its gain is another every few seconds, and the windows that show it.

    A hand moves, a canceller learns: where the target hardly sounds, there is no echo (any more).
    """
    following: list[Likeness] = []
    shown: list[Ints] = [loud[:0]]
    steps: list[tuple[int, float]] = []
    compared = 0
    for first in range(0, len(loud), DRIFT_WINDOWS):
        some = loud[first : first + DRIFT_WINDOWS]
        gain = 0.0
        later = some + math.floor(lag)
        if np.count_nonzero(target[later[later < len(target)]] >= FAINTEST) >= len(some) / 2:
            each = _at_lag(source, target, some, lag)
            compared += each.windows
            if each.windows >= DRIFT_WINDOWS / 2 and each.share >= ECHO_SHARE:
                following.append(each)
                shown.append(some)
                gain = each.gain
        steps.append((int(some[0]) if first else 0, gain))
    share = math.fsum(each.share * each.windows for each in following) / max(1, compared)
    gains = tuple(
        (at, max(gain for _, gain in steps[max(0, number - 1) : number + 2]))
        for number, (at, _) in enumerate(steps)
    )
    windows = sum(each.windows for each in following)
    return Likeness(lag, max(gain for _, gain in gains), windows, share, gains), np.concatenate(shown)


def _at_lag(source: Ints, target: Ints, loud: Ints, lag: float) -> Likeness:
    later = loud + math.floor(lag)
    there = later < len(target)
    there[there] = target[later[there]] >= FAINTEST
    at, later = loud[there], later[there]
    energies = source[at].astype(np.int64) ** 2
    if lag != int(lag):  # the target's window lies over halves of two of the source's
        energies = np.where(at > 0, (energies + source[at - 1].astype(np.int64) ** 2) / 2, energies)
    ratios = target[later] / np.sqrt(energies)
    ratios = ratios[ratios <= ECHO_GAIN]  # else it is the other's own voice
    compared = len(loud) - (len(at) - len(ratios))
    if not len(ratios):
        return Likeness(lag, 0.0, 0, 0.0)
    decibels = np.searchsorted(_steps(), ratios)
    counts = np.bincount(decibels, minlength=len(_steps()) + 1)
    around = np.convolve(counts, np.ones(2 * TIGHT + 1, dtype=counts.dtype), mode="same")
    usual = int(np.where(counts > 0, around, 0).argmax())
    near = ratios[np.abs(decibels - usual) <= TIGHT].tolist()
    gain = 10 ** (math.fsum(map(math.log10, near)) / len(near))
    return Likeness(lag, gain, compared, len(near) / compared)


@cache
def _steps() -> Floats:
    """Ratios of levels between which lies a whole number of dB, ascending."""
    return np.array([10 ** ((decibels + 0.5) / 20) for decibels in range(-100, 1)])


def _while_resting(source: Ints, target: Ints, gate: float) -> Ints:
    """The target's levels where the source has not been loud for as long as an echo lasts."""
    loud = source > gate
    since = np.arange(len(source)) - np.maximum.accumulate(np.where(loud, np.arange(len(source)), -1))
    total = min(len(source), len(target))
    found: Ints = target[:total][(since > REACH + TAIL)[:total]]
    return found
