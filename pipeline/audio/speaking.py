"""Who is heard on which channel: one voice on both, or two speakers, with an echo or without."""

from __future__ import annotations

import audioop
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from pipeline.audio.arrays import Ints, np
from pipeline.audio.levels import Channel, Scan, percentile
from pipeline.audio.likeness import Likeness, echo
from pipeline.audio.meter import FLOOR
from pipeline.audio.talk import sentences, talk
from pipeline.domain.recording import Span

PROBE_RATE = 8000
ALIKE = 0.6  # correlation at which two seconds hold the same sound; codecs take something away
AGREEING = 0.75  # share of the probes that must be alike with the same lag and gain
SAME_LAG_SECONDS = 0.01
SAME_GAIN = 1.41  # gains that differ by less, 3 dB, are the same
AT_ONCE_SECONDS = 0.0005  # mixing channels that are further apart takes out what they have in common
EVENLY = 0.5  # channels less than 6 dB apart are mixed, else the louder one stands for both
SHORTEST = 200  # samples
OWN_SECONDS = 0.3  # of talk on the fainter channel that may be damage, and no speaker of its own
OWN_SHARE = 0.05


@dataclass(frozen=True)
class Speaking:
    """The channels that count: one where all is mixed, else two, each with a speaker of its own.

    talk: per channel, its speaker's sentences, seconds; levels: of each of them; speech: of all. echoes:
    per channel and window, the level up to which what sounds may be the other's voice; None without an
    echo. picked: the recording's channel that stands for both, where they carry one voice and cannot be
    mixed.
    """

    channels: list[Channel]
    talk: list[list[Span]]
    levels: list[list[int]]
    speech: list[int]
    echoes: list[Ints | None]
    picked: int | None = None


def speaking(scan: Scan, *, apart: bool | None = None) -> Speaking:
    """What levels and probes tell of who speaks where; apart: whether two speak, where that is settled."""
    if len(scan.channels) == 1:
        return _alone(scan.channels[0], scan.step)
    if not apart and (found := _one_voice(scan)):
        return found
    if apart is False:
        return _alone(_both(scan.channels), scan.step)
    left, right = scan.channels
    echoes = [_echo(right, left), _echo(left, right)]
    own = [talk(channel, scan.step, back) for channel, back in zip(scan.channels, echoes, strict=True)]
    spoken = [sentences(own[0], own[1]), sentences(own[1], own[0])]
    return Speaking(
        channels=scan.channels,
        talk=spoken,
        levels=[
            [_level(channel, [span], scan.step) for span in spans]
            for channel, spans in zip(scan.channels, spoken, strict=True)
        ],
        speech=[_level(channel, spans, scan.step) for channel, spans in zip(scan.channels, own, strict=True)],
        echoes=echoes,
    )


def _alone(channel: Channel, step: float, picked: int | None = None) -> Speaking:
    return Speaking([channel], [sentences(talk(channel, step), ())], [], [channel.speech], [None], picked)


def _both(channels: Sequence[Channel]) -> Channel:
    one, other = channels
    louder = one.windows >= other.windows
    return Channel(
        windows=np.where(louder, one.windows, other.windows),
        crossings=np.where(louder, one.crossings, other.crossings),
        signals=one.signals & other.signals,
        pitched=one.pitched | other.pitched,
        peak=max(one.peak, other.peak),
    )


def _echo(source: Channel, target: Channel) -> Ints | None:
    found = echo(source, target)
    return found.expected(source.windows) if found else None


def _level(channel: Channel, spans: Sequence[Span], step: float) -> int:
    heard = [channel.windows[round(span.start / step) : round(span.end / step)] for span in spans]
    return percentile(np.concatenate(heard), 0.9, above=FLOOR) if heard else 0


def _one_voice(scan: Scan) -> Speaking | None:
    """The channel that stands for both, where the fainter one is the louder one again and has nothing of
    its own.

    Early or late, at any level, upside down: what counts is that the samples are alike, always in the same
    way.
    """
    alike: list[_Alike] = []
    odd = compared = 0
    for left, right in scan.probes:
        found = _compared(left, right, scan.decoding.out_rate)
        if found is None:
            continue
        compared += 1
        if found.correlation < ALIKE:
            odd += 1
            if odd > (1 - AGREEING) * len(scan.probes):
                return None  # the search is costly
        else:
            alike.append(found)
    if not alike:
        return None
    lag, gain = median(each.lag for each in alike), median(each.gain for each in alike)
    agreeing = sum(
        abs(each.lag - lag) <= SAME_LAG_SECONDS and 1 / SAME_GAIN <= each.gain / gain <= SAME_GAIN
        for each in alike
    )
    if agreeing < AGREEING * compared:
        return None
    loud, faint, late, factor = (0, 1, lag, gain) if gain <= 1 else (1, 0, -lag, 1 / gain)
    windows = Likeness(round(late / scan.step * 2) / 2, factor).expected(scan.channels[loud].windows)
    own = _seconds(talk(scan.channels[faint], scan.step, windows))
    if abs(lag) <= AT_ONCE_SECONDS and factor >= EVENLY and not any(each.opposed for each in alike):
        both = _alone(_both(scan.channels), scan.step)  # a mix loses nothing of either
        return both if own <= OWN_SHARE * _seconds(both.talk[0]) else None
    return _alone(scan.channels[loud], scan.step, loud) if own <= OWN_SECONDS else None


def _seconds(spans: Sequence[Span]) -> float:
    return math.fsum(span.seconds for span in spans)


@dataclass(frozen=True)
class _Alike:
    """The right channel is the left one `lag` seconds later, `gain` times as loud, or upside down."""

    lag: float
    gain: float
    correlation: float
    opposed: bool


def _compared(left: bytes, right: bytes, rate: int) -> _Alike | None:
    """Where the middle of the louder one is found again on the other; None where that middle is silent."""
    if rate > PROBE_RATE:
        left, _ = audioop.ratecv(left, 2, 1, rate, PROBE_RATE, None)
        right, _ = audioop.ratecv(right, 2, 1, rate, PROBE_RATE, None)
        rate = PROBE_RATE
    swapped = audioop.rms(right, 2) > audioop.rms(left, 2)
    if swapped:
        left, right = right, left
    samples = min(len(left), len(right)) // 2
    start, end = samples * 3 // 10, samples * 7 // 10
    middle = left[2 * start : 2 * end]
    if end - start < SHORTEST or audioop.rms(middle, 2) <= FLOOR:
        return None
    at, factor, correlation = _found_again(*(np.frombuffer(each, np.int16) for each in (middle, right)))
    if not factor:
        return _Alike(0.0, 1.0, 0.0, False)
    lag, gain = (at - start) / rate, abs(factor)
    return _Alike(*((-lag, 1 / gain) if swapped else (lag, gain)), correlation, factor < 0)


def _found_again(part: Ints, whole: Ints) -> tuple[int, float, float]:
    """The place at which the whole is most like the part, how many times as loud, and their correlation; 0
    where it is silent all over.
    """
    size = 1 << (len(whole) + len(part)).bit_length()
    one, other = (np.fft.rfft(each.astype(np.float64), size) for each in (part, whole))
    # sums of whole numbers: what is left behind the point is the transform's
    alike = np.rint(np.fft.irfft(other * one.conj(), size)[: len(whole) - len(part) + 1])
    squares = np.append(0.0, np.cumsum(whole.astype(np.float64) ** 2))
    energies = squares[len(part) :] - squares[: -len(part)]
    at = int((alike**2 / np.maximum(energies, 1)).argmax())
    own = float((part.astype(np.float64) ** 2).sum())
    factor, energy = float(alike[at]) / own, float(energies[at])
    return at, factor, abs(factor) * math.sqrt(own / energy) if energy else 0.0
