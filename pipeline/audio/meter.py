"""How loud one channel is and what sounds on it, 20 ms by 20 ms, measured as the sound comes."""

from __future__ import annotations

import math

from pipeline.audio.arrays import Flags, Ints, np
from pipeline.audio.signalling import signals, voiced

FLOOR = 58  # -55 dBFS as the root mean square of 16 bit samples: what stays below is silence
STILL = 1.0  # nothing that moves less tells more of the offset
BIAS = 16  # a mean above this is a converter's offset, not sound
BATCH_SECONDS = 60  # are measured at a time: a call of NumPy costs as much for one as for many
WINDOWS = 50  # a second


class Meter:
    """Takes a channel's sound and keeps what there is to know of it.

    windows: levels, root mean square of each window on the 16 bit scale; crossings: how often the sound
    crosses zero in each; signals: where a signal of the telephone system sounds; pitched: seconds with a
    voice or anything else of a pitch. Arrays, one for each batch. peak: the loudest sample.
    """

    def __init__(self, rate: int) -> None:
        self._rate, self._hop, self._second = rate, rate // WINDOWS, rate // WINDOWS * WINDOWS
        self._waiting: list[bytes] = []
        self._samples = 0  # that wait
        self._offset = 0  # of the converter: the mean of the quietest moment so far in which there may be one
        self._quietest = math.inf  # how much moves in that moment (a voice has a mean of its own)
        self._going_on = self._voiced = False  # at the end of the last batch: a signal, a pitch
        self.windows: list[Ints] = []
        self.crossings: list[Ints] = []
        self.signals: list[Flags] = []
        self.pitched: list[Flags] = []
        self.peak = 0

    def add(self, pcm: bytes) -> None:
        """The next samples, 16 bit."""
        self._waiting.append(pcm)
        self._samples += len(pcm) // 2
        if self._samples >= BATCH_SECONDS * self._second:
            self._measure_seconds()

    def close(self) -> None:
        """Measures what is left; its last window may be a short one."""
        if (left := self._measure_seconds()).size:
            self._measure(np.append(left, np.zeros(self._second - left.size, np.int16)), left.size)

    def _measure_seconds(self) -> Ints:
        """Measures the whole seconds that wait; gives what is left."""
        samples = np.frombuffer(b"".join(self._waiting), np.int16)
        whole = len(samples) // self._second * self._second
        if whole:
            self._measure(samples[:whole], whole)
        self._waiting, self._samples = [samples[whole:].tobytes()], len(samples) - whole
        return samples[whole:]

    def _measure(self, samples: Ints, count: int) -> None:
        """Takes what there is to know of whole seconds, of which the first `count` samples are the sound."""
        self.peak = max(self.peak, int(samples.max()), -int(samples.min()))
        seconds: Ints = samples.reshape(-1, self._second)
        offsets = self._offsets(seconds[:, :count])
        if any(offsets):
            seconds = seconds - np.array(offsets, np.int32)[:, None]
            seconds.reshape(-1)[count:] = 0
        windows = seconds.reshape(-1, self._hop)[: -(-count // self._hop)]
        floats = windows.astype(np.float64)  # the sums are of whole numbers below 2^53: the same in any order
        means = np.vecdot(floats, floats) / self._hop
        means[-1] *= self._hop / (count - (len(windows) - 1) * self._hop)
        levels = np.sqrt(means).astype(np.int32)
        below = windows < 0
        crossings = np.add.reduce((below[:, 1:] != below[:, :-1]).view(np.uint8), axis=1, dtype=np.int32)
        seconds, by_second = seconds[:, :count], levels.reshape(len(seconds), -1)
        found = signals(seconds, self._rate, by_second, FLOOR, going_on=self._going_on)
        own = voiced(seconds, self._rate, by_second, FLOOR)
        # behind a second with a pitch the next one is taken for one, too: only long stretches without count
        pitched = (own | np.concatenate([[self._voiced], own[:-1]])) & (by_second > FLOOR).any(axis=1)
        self._going_on, self._voiced = bool(found[-1].any()), bool(own[-1])
        self.windows.append(levels)
        self.crossings.append(crossings)
        self.signals.append(found.reshape(-1))
        self.pitched.append(np.repeat(pitched, by_second.shape[1]))

    def _offsets(self, seconds: Ints) -> list[int]:
        """The converter's offset in each second, 0 for none worth mentioning: the mean of the quarter of a
        second that was the quietest so far.
        """
        length = seconds.shape[1]
        means = (seconds.sum(axis=1, dtype=np.int64) // length).tolist()
        quarter = max(self._hop, length // 4)
        if length < quarter or max(abs(self._offset), *(2 * abs(mean) for mean in means)) <= BIAS:
            return [0] * len(means)
        parts = seconds[:, : length // quarter * quarter].reshape(len(means), -1, quarter)
        inside = parts.sum(axis=2, dtype=np.int64) // quarter
        floats = parts.astype(np.float64)
        moving = np.sqrt(np.maximum(np.vecdot(floats, floats) // quarter - inside**2, 0))
        places = moving.argmin(axis=1)
        found = []
        for mean, offset, still in zip(
            means,
            np.take_along_axis(inside, places[:, None], 1)[:, 0].tolist(),
            moving.min(axis=1).tolist(),
            strict=True,
        ):
            may_be_one = self._quietest > STILL and max(abs(self._offset), 2 * abs(mean)) > BIAS
            if may_be_one and still < self._quietest:
                self._quietest, self._offset = still, offset
            found.append(self._offset if abs(self._offset) > BIAS else 0)
        return found
