"""Where to cut: the quietest points of one channel, tiling its time axis without overlap. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable

from pipeline.audio.arrays import Ints, np
from pipeline.audio.levels import runs
from pipeline.audio.meter import FLOOR

SHORT_SECONDS = 300.0  # pieces are not made shorter than this for the sake of speed
PARALLEL = 8  # pieces of one recording that are heard at a time, where nothing else is known
EVEN_SECONDS = 4.0  # around a balanced cut; pieces are heard side by side, and the longest is waited for
SLACK = 0.85  # pieces are planned this much under the limit, so that there is room to look for a pause
SMALLEST_SECONDS = 15.0  # a shorter piece gives the recogniser too little context
PAUSE_SECONDS = 0.2  # a rest this long lies between words; inside words they are shorter
BREATH_SECONDS = 0.08

Room = Callable[[float], float]  # a piece that starts there may end here at the latest, seconds


def pieces(seconds: float, longest: float, places: int = PARALLEL) -> int:
    """How many pieces a stretch becomes: one up to ten minutes, then up to one per place; where the limit
    asks for more, as many as fill all places several times, since each round is waited for.
    """
    needed = 1 if seconds <= longest else math.ceil(seconds / (longest * SLACK))
    full = places * math.ceil(needed / places)
    if needed > places and seconds / full >= SHORT_SECONDS / 2:
        return full
    return max(needed, min(places, int(seconds / SHORT_SECONDS)))


def cuts(
    windows: Ints,
    step: float,
    *,
    start: float,
    end: float,
    longest: float,
    places: int = PARALLEL,
    room: Room | None = None,
) -> list[float]:
    """The points at which [start, end] is cut, ascending, without its ends; seconds.

    windows: levels, one per `step` seconds from the recording's start. No piece is longer than
    `longest`, nor than `room` allows. places: how many pieces can be heard at a time. A cut lies in the
    longest pause at the balanced length, else near it, else in a pause anywhere in the allowance, else at
    the quietest moment near the balanced length.
    """
    found: list[float] = []
    count = pieces(end - start, longest, places)
    position = start
    while True:
        left = end - position
        limit = min(position + longest, room(position) if room else math.inf)
        if limit >= end and len(found) >= count - 1:
            return found
        allowed = limit - position
        ahead = max(count - len(found), 1 if limit >= end else math.ceil(left / (allowed * SLACK)), 2)
        ideal = left / ahead
        smallest = min(SMALLEST_SECONDS, allowed / 4, left / 4)
        high = min(limit, position + 1.25 * ideal, end - smallest)
        low = min(max(position + 0.7 * ideal, end - (ahead - 1) * allowed), high)
        at = position + ideal
        cut = _pause(windows, step, max(low, at - EVEN_SECONDS), min(high, at + EVEN_SECONDS))
        if cut is None:
            cut = _pause(windows, step, low, high)
        if cut is None:
            cut = _pause(windows, step, position + smallest, min(limit, end - smallest))
        if cut is None:
            cut = _quietest(windows, step, low, high)
        found.append(cut)
        position = cut


def quietest_point(windows: Ints, step: float, *, low: float, high: float) -> float:
    """The best single cut within [low, high]: the middle of its longest pause, else its quietest moment."""
    cut = _pause(windows, step, low, high)
    return _quietest(windows, step, low, high) if cut is None else cut


def _pause(windows: Ints, step: float, low: float, high: float) -> float | None:
    first, last = math.ceil(low / step), min(len(windows), math.floor(high / step))
    if last - first < 2:
        return None
    for threshold in _thresholds(windows[first:last]):
        longest = max(runs(windows, threshold, first, last, above=False), key=_length, default=(0, 0))
        if _length(longest) * step >= PAUSE_SECONDS:
            return (longest[0] + longest[1]) / 2 * step
    return None


def _length(run: tuple[int, int]) -> int:
    return run[1] - run[0]


def _thresholds(windows: Ints) -> list[float]:
    """Levels between the rest and the speech of a stretch, strictest first; none without contrast."""
    low, high = len(windows) // 20, len(windows) * 19 // 20
    ordered = np.partition(windows, (0, low, high))
    rest, speech = max(int(ordered[low]), 1), int(ordered[high])
    if speech < 2 * rest:  # 6 dB
        return [FLOOR] if ordered[0] <= FLOOR < speech else []
    return [rest * (speech / rest) ** part for part in (0.3, 0.5, 0.65)]


def _quietest(windows: Ints, step: float, low: float, high: float) -> float:
    first, last = math.ceil(low / step), min(len(windows), math.floor(high / step))
    width = max(1, round(BREATH_SECONDS / step))
    if last - first <= width:
        return (low + high) / 2
    total = np.append(0, np.cumsum(windows[first:last]))
    return (first + int((total[width:] - total[:-width]).argmin()) + width / 2) * step
