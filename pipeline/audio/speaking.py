"""Who is heard on which channel: one voice on both, or two speakers, with an echo or without."""

from __future__ import annotations

import audioop
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import and_, ge, or_
from statistics import median

from pipeline.audio.levels import FLOOR, Channel, Scan, percentile
from pipeline.audio.likeness import Likeness, echo
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
    echoes: list[array[int] | None]
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
    louder = map(ge, one.windows, other.windows)
    pairs = zip(louder, one.crossings, other.crossings, strict=False)
    return Channel(
        windows=array("H", map(max, one.windows, other.windows)),
        crossings=array("H", (its if first else others for first, its, others in pairs)),
        signals=bytearray(map(and_, one.signals, other.signals)),
        pitched=bytearray(map(or_, one.pitched, other.pitched)),
        peak=max(one.peak, other.peak),
    )


def _echo(source: Channel, target: Channel) -> array[int] | None:
    found = echo(source, target)
    return found.expected(source.windows) if found else None


def _level(channel: Channel, spans: Sequence[Span], step: float) -> int:
    heard = array("H")
    for span in spans:
        heard += channel.windows[round(span.start / step) : round(span.end / step)]
    return percentile(heard, 0.9, above=FLOOR)


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
    at, factor = audioop.findfit(right, middle)
    again = audioop.rms(right[2 * at : 2 * (at + end - start)], 2)
    if not again or not factor:
        return _Alike(0.0, 1.0, 0.0, False)
    lag = (at - start) / rate
    correlation = abs(factor) * audioop.rms(middle, 2) / again
    gain = abs(factor)
    return _Alike(*((-lag, 1 / gain) if swapped else (lag, gain)), correlation, factor < 0)
