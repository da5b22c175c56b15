"""Whether one channel carries the other's voice as well: an echo on the line, or one voice on both. Pure.

An echo follows the voice that it comes from: as loud as that voice a while before, by a constant factor.
What a second speaker says has nothing to do with the first one's level. So the two are told apart by how
closely one level follows the other, never by how loud anything is.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.audio.levels import FLOOR, Channel, percentile

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

    def expected(self, source: Sequence[int]) -> array[int]:
        """Per window, the level up to which what sounds may be the other's voice alone."""
        latest, earliest = math.ceil(self.lag) + TAIL, math.floor(self.lag) - 1
        total, factor = len(source), 0.0
        changes = iter((*(self.gains or ((0, self.gain),)), (total, 0.0)))
        change, gain = next(changes)
        found = array("H", bytes(2 * total))
        reached: deque[int] = deque()  # of the windows in reach, those that no later one exceeds
        following = 0
        for at in range(total):
            while at >= change:
                factor = gain * LOUDER_BY
                change, gain = next(changes)
            while following < total and following <= at - earliest:
                while reached and source[reached[-1]] <= source[following]:
                    reached.pop()
                reached.append(following)
                following += 1
            while reached and reached[0] < at - latest:
                reached.popleft()
            if reached:
                found[at] = min(65_535, int(source[reached[0]] * factor))
        return found


def echo(source: Channel, target: Channel) -> Likeness | None:
    """The echo of the source's voice on the target's line; None where there is none."""
    found = (_echo(source.windows, target.windows, source.speech / range_) for range_ in RANGES)
    return next(filter(None, found), None)


def _echo(source: Sequence[int], target: Sequence[int], gate: float) -> Likeness | None:
    loud = [at for at, level in enumerate(source) if level > max(gate, FLOOR)]
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
    later = math.ceil(found.lag)
    heard = [target[at + later] for at in loud if at + later < len(target)]
    rest = _while_resting(source, target, gate)
    contrast = percentile(heard, 0.5) / max(1, percentile(rest, 0.05))
    return found if len(rest) >= ECHO_WINDOWS and contrast >= CONTRAST else None


def _drifting(
    source: Sequence[int], target: Sequence[int], loud: Sequence[int], lag: float
) -> tuple[Likeness, list[int]]:
    """The likeness at that lag where its gain is another every few seconds, and the windows that show it.

    A hand moves, a canceller learns: where the target hardly sounds, there is no echo (any more).
    """
    later = math.floor(lag)
    following: list[Likeness] = []
    shown: list[int] = []
    steps: list[tuple[int, float]] = []
    compared = 0
    for first in range(0, len(loud), DRIFT_WINDOWS):
        some = loud[first : first + DRIFT_WINDOWS]
        gain = 0.0
        if sum(target[at + later] >= FAINTEST for at in some if at + later < len(target)) >= len(some) / 2:
            each = _at_lag(source, target, some, lag)
            compared += each.windows
            if each.windows >= DRIFT_WINDOWS / 2 and each.share >= ECHO_SHARE:
                following.append(each)
                shown += some
                gain = each.gain
        steps.append((some[0] if first else 0, gain))
    share = math.fsum(each.share * each.windows for each in following) / max(1, compared)
    gains = tuple(
        (at, max(gain for _, gain in steps[max(0, number - 1) : number + 2]))
        for number, (at, _) in enumerate(steps)
    )
    windows = sum(each.windows for each in following)
    return Likeness(lag, max(gain for _, gain in gains), windows, share, gains), shown


def _at_lag(source: Sequence[int], target: Sequence[int], loud: Sequence[int], lag: float) -> Likeness:
    later, half = math.floor(lag), lag != int(lag)
    compared, differences = len(loud), []
    for at in loud:
        if 0 <= at + later < len(target) and target[at + later] >= FAINTEST:
            level = float(source[at])
            if half and at:  # the target's window lies over halves of two of the source's
                level = math.hypot(level, source[at - 1]) * math.sqrt(0.5)
            ratio = target[at + later] / level
            if ratio <= ECHO_GAIN:  # else it is the other's own voice
                differences.append(20 * math.log10(ratio))
            else:
                compared -= 1
    if not differences:
        return Likeness(lag, 0.0, 0, 0.0)
    counts: dict[int, int] = {}
    for each in differences:
        counts[round(each)] = counts.get(round(each), 0) + 1
    usual = max(counts, key=lambda at: sum(counts.get(near, 0) for near in range(at - TIGHT, at + TIGHT + 1)))
    near = [each for each in differences if abs(each - usual) <= TIGHT + 0.5]
    return Likeness(lag, 10 ** (math.fsum(near) / len(near) / 20), compared, len(near) / compared)


def _while_resting(source: Sequence[int], target: Sequence[int], gate: float) -> array[int]:
    """The target's levels where the source has not been loud for as long as an echo lasts."""
    found = array("H")
    loud_at = -1
    for at, level in enumerate(source):
        if level > gate:
            loud_at = at
        elif at - loud_at > REACH + TAIL and at < len(target):
            found.append(target[at])
    return found
