"""What a telephone line plays, and what has no voice in it, told by the sound's frequencies and its pitch.

Signals are made of one or two tones of standardised frequencies: digits (ITU-T Q.23), dialling, ringing and
busy tones of two frequencies (E.180), the three tones before an announcement (E.182). A moment is one of them
where nearly all of its power lies at those frequencies, as that of a voice does not for long. A voice repeats
itself 60 to 400 times a second; wind, breath, traffic and hiss never do, whatever their level does.

Sums are of whole numbers below 2^53, so they come out the same on every machine, in whatever order they are
added up.
"""

from __future__ import annotations

import math
from functools import cache

from pipeline.audio.arrays import Flags, Floats, Ints, np

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

# what is low changes slowly, so it is like itself a pitch later: an emphasis of what is higher takes it out,
# mildly, since it brings hiss up; where all is rumble strongly, and then the highest goes again, by the
# sum of each two samples. One sum is always taken: every second sample is enough to tell a pitch by
MILD, SMOOTH = 3, 1  # tenths of each sample that are taken from the next
STRONG, SMOOTHER = 9, 4
RUMBLE = 0.9  # likeness of each sample to the next
REPEATED = 200  # samples at half of RATE that have to come again
SHORTEST, LONGEST = 10, 60  # of these samples: pitches of 400 and 67 Hz
VOICED = 0.5  # correlation; a voice in noise as loud comes to it, noise alone hardly
VOICED_FRAME = 2 * (REPEATED + LONGEST) + 1 + SMOOTHER
TRIES = 10  # a second


def signals(seconds: Ints, rate: int, levels: Ints, floor: int, *, going_on: bool = False) -> Flags:
    """Per second and window, whether a signal sounds.

    seconds: of one channel, a row of samples each; one alone may be a short one. levels: of their windows of
    20 ms, a row each; up to the floor is silence. All windows of a second are looked at where the loudest is
    a signal, or one is going on from the second before.
    """
    found = np.zeros(levels.shape, dtype=bool)
    loudest = levels.argmax(axis=1)
    heard = np.flatnonzero(levels.max(axis=1, initial=0) > floor)
    begins = set(heard[_are_signals(_frames(seconds, rate, heard, loudest[heard], FRAME))].tolist())
    last = -1 if going_on else -2  # second in which one sounded
    for second in heard.tolist():
        if second in begins or last == second - 1:
            at = np.flatnonzero(levels[second] > floor)
            found[second, at] = _are_signals(_frames(seconds, rate, np.full_like(at, second), at, FRAME))
            if found[second].any():
                last = second
    return found


def voiced(seconds: Ints, rate: int, levels: Ints, floor: int) -> Flags:
    """Per second, whether anything in it has a pitch, as every voice has; arguments as for `signals`.

    Not asked of every other second where the one before has one. The loudest moments are tried first: of
    speech, one is enough.
    """
    found = np.zeros(len(levels), dtype=bool)
    order = np.argsort(-levels, axis=1, kind="stable")[:, :TRIES]
    heard = np.take_along_axis(levels, order, axis=1) > floor
    every_other = np.arange(len(levels)) % 2 == 0
    for asked in (every_other, ~every_other):
        open_ = asked & ~np.append(False, found[:-1])
        for tried in (slice(0, 1), slice(1, TRIES)):
            second, place = np.nonzero(heard[:, tried] & (open_ & ~found)[:, None])
            if len(second):
                frames = _frames(seconds, rate, second, order[:, tried][second, place], VOICED_FRAME)
                found[second[_repeat(frames)]] = True
    return found


def _frames(seconds: Ints, rate: int, second: Ints, window: Ints, samples: int) -> Floats:
    """So many samples at RATE around the middle of each window, a row each; silence where a second is too
    short for them.
    """
    length, hop = seconds.shape[1], rate // 50
    size = math.ceil(samples * rate / RATE) + 1
    if length < size:
        return np.zeros((len(window), samples))
    first = np.clip(window * hop + (hop - size) // 2, 0, length - size)
    at, after = np.divmod(np.arange(samples) * rate, RATE)
    places = second[:, None] * length + first[:, None] + at
    flat = seconds.reshape(-1)
    found: Floats = flat[places].astype(np.float64)
    if rate % RATE:
        found += np.floor((flat[places + 1] - found) * after / RATE)
    return found


def _are_signals(frames: Floats) -> Flags:
    """Which of the frames are. What crosses zero less often than the lowest pair, or is louder at one end
    than at the other, is none: a quick look that spares most of a voice the slow one.
    """
    below = frames < 0
    crossings = np.count_nonzero(below[:, 1:] != below[:, :-1], axis=1)
    begin, end = _energies(frames[:, : FRAME // 2]), _energies(frames[:, FRAME // 2 :])
    even = np.maximum(begin, end) <= LOUDER**2 * np.minimum(begin, end)
    some = np.flatnonzero(even & (crossings >= FEWEST_CROSSINGS) & (begin > 0))
    found = np.zeros(len(frames), dtype=bool)
    if len(some):
        found[some] = _are_pure(frames[some], (begin + end)[some] / FRAME)
    return found


def _are_pure(frames: Floats, power: Floats) -> Flags:
    """Which of the frames have their power where signals have theirs."""
    # every second sample: all frequencies that are asked for lie below 2 kHz
    waves, energies = _waves()
    parts = (frames[:, ::2] @ waves / energies) ** 2
    total = parts[:, : len(FREQUENCIES)] + parts[:, len(FREQUENCIES) :]
    share = total * (AMPLITUDE**2 / 2) / power[:, None]
    alone, (one, other) = _places()
    both = (share[:, one] + share[:, other] >= PURE) & (np.minimum(share[:, one], share[:, other]) >= BOTH)
    pure = np.concatenate([share[:, alone] >= PURE, both], axis=1)
    found: Flags = np.logical_or.reduce(pure, axis=1)
    return found


@cache
def _waves() -> tuple[Floats, Floats]:
    """Each frequency as a wave, then each the same a quarter later, at half of RATE, a column each; and their
    energies.
    """
    times = np.arange(0, FRAME, 2) / RATE
    angles = 2 * np.pi * (times[:, None] * np.array(FREQUENCIES) - np.array([[[0.0]], [[0.25]]]))
    waves = np.rint(AMPLITUDE * np.cos(angles))
    waves = np.concatenate(list(waves), axis=1)
    return waves, (waves**2).sum(axis=0)


@cache
def _places() -> tuple[list[int], tuple[list[int], ...]]:
    """Where among the frequencies those alone lie, and the two of each pair."""
    return list(map(FREQUENCIES.index, ALONE)), tuple(
        list(map(FREQUENCIES.index, each)) for each in zip(*PAIRS, strict=True)
    )


def _repeat(frames: Floats) -> Flags:
    """Which of the frames have a pitch."""
    likeness = np.vecdot(frames[:, 1:], frames[:, :-1])
    rumble = likeness >= RUMBLE * _energies(frames[:, :-1])
    found = np.zeros(len(frames), dtype=bool)
    for those, emphasis, smooth in ((rumble, STRONG, SMOOTHER), (~rumble, MILD, SMOOTH)):
        if those.any():
            found[those] = _come_again(frames[those], emphasis, smooth)
    return found


def _come_again(frames: Floats, emphasis: int, smooth: int) -> Flags:
    """Whether what is at a frame's beginning correlates with anything that comes a pitch later."""
    sharp = 10 * frames[:, 1:] - emphasis * frames[:, :-1]
    for _ in range(smooth):
        sharp = sharp[:, 1:] + sharp[:, :-1]
    half = np.ascontiguousarray(sharp[:, : 2 * (LONGEST + REPEATED) : 2])
    once = half[:, :REPEATED]
    later = np.lib.stride_tricks.sliding_window_view(half[:, SHORTEST:], REPEATED, axis=1)
    alike = np.vecdot(later, once[:, None])
    total = np.cumsum(half**2, axis=1)
    energies = total[:, SHORTEST + REPEATED - 1 :] - total[:, SHORTEST - 1 : LONGEST]
    found: Flags = (alike**2 >= VOICED**2 * np.maximum(energies * _energies(once)[:, None], 1)).any(axis=1)
    return found


def _energies(rows: Floats) -> Floats:
    found: Floats = np.vecdot(rows, rows)
    return found
