"""The other's voice on one's own line: its level tells it, and it is not sent; words of it are told once."""

from __future__ import annotations

import audioop
import math
import random
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.audio.levels import Channel
from pipeline.audio.likeness import Likeness, echo
from pipeline.audio.talk import talk
from pipeline.domain.recording import Span
from tests.audio.arrays import levels
from tests.audio.conftest import Cut
from tests.audio.signals import mixed, noise, placed, write
from tests.audio.test_channels import RATE, dialogue, expected, transcribed

STEP = 0.02


def echoed(one: bytes, other: bytes, *, decibels: float, seconds: float) -> tuple[bytes, bytes]:
    """Both channels, each with the other one's voice on it, fainter and later."""
    late = bytes(2 * round(seconds * RATE))
    factor = 10 ** (-decibels / 20)
    back = [audioop.mul((late + pcm)[: len(pcm)], 2, factor) for pcm in (one, other)]
    return mixed(one, back[1]), mixed(other, back[0])


def voice(seconds: float, *, seed: int, starts: float = 0.0, level: float = 3000.0) -> array[int]:
    """Levels as speech has them: syllables of every loudness, pauses, and turns of some seconds."""
    chance = random.Random(seed)
    windows = array("H", bytes(2 * round(seconds / STEP)))
    at = round(starts / STEP)
    while at < len(windows):
        turn = at + chance.randint(100, 300)
        while at < min(turn, len(windows)):
            loud = level * 10 ** (-chance.uniform(0, 22) / 20)
            length = chance.randint(4, 14)
            for place in range(at, min(at + length, len(windows))):
                shape = math.sin(math.pi * (place - at + 0.5) / length)
                windows[place] = round(loud * shape)
            at += length + chance.choice((0, 0, 1, 2, 12))
        at += chance.randint(120, 300)
    return windows


def back_of(windows: array[int], *, gain: float, lag: int) -> array[int]:
    return array("H", [0] * lag + [round(level * gain) for level in windows[: len(windows) - lag]])


def summed(*parts: array[int]) -> array[int]:
    return array("H", (round(math.hypot(*levels)) for levels in zip(*parts, strict=True)))


def agree(one: list[Span], other: list[Span]) -> float:
    """Of all the time in which one or the other says that somebody talks, the share in which both do."""
    times = [
        {at for span in spans for at in range(round(span.start / STEP), round(span.end / STEP))}
        for spans in (one, other)
    ]
    return len(times[0] & times[1]) / len(times[0] | times[1])


@pytest.mark.parametrize(("decibels", "hiss"), [(15, 0), (20, 60), (28, 0), (35, 15)])
@pytest.mark.parametrize("lag", [0, 7, 15])
def test_an_echo_is_found(decibels: int, lag: int, hiss: int) -> None:
    """How faint and late an echo is, is found, under noise as well; only the own voice is talk."""
    gain = 10 ** (-decibels / 20)
    source, own = voice(90, seed=1), voice(90, seed=2, starts=5.0)
    chance = random.Random(3)
    noisy = array("H", (round(hiss * chance.uniform(0.9, 1.1)) for _ in own))
    target = Channel(windows=levels(summed(own, back_of(source, gain=gain, lag=lag), noisy)))
    found = echo(Channel(windows=levels(source)), target)
    assert found
    assert found.lag == pytest.approx(lag, abs=1)
    assert 20 * math.log10(found.gain) == pytest.approx(-decibels, abs=2.5)
    alone = talk(Channel(windows=levels(summed(own, noisy))), STEP)
    assert agree(talk(target, STEP, found.expected(levels(source))), alone) > 0.9


def test_another_speaker_is_no_echo() -> None:
    """Two who speak by turns, one faint, or who talk over each other, are no echo; nor is noise."""
    source = Channel(windows=levels(voice(90, seed=1)))
    chance = random.Random(5)
    hiss = array("H", (round(300 * chance.uniform(0.9, 1.1)) for _ in source.windows))
    for other in (
        voice(90, seed=2, starts=5.0),
        voice(90, seed=2, starts=5.0, level=300),
        voice(90, seed=7),
        hiss,
        summed(hiss, voice(90, seed=2, starts=5.0)),
        array("H", bytes(2 * len(source.windows))),
    ):
        assert echo(source, Channel(windows=levels(other))) is None


@pytest.mark.parametrize(
    "decibels",
    [
        lambda at: -22 + 6 * math.sin(2 * math.pi * at * STEP / 40),
        lambda at: max(-80.0, -16 - 3 * max(0.0, at * STEP - 60)),
        lambda at: -80.0 if at * STEP < 40 else -18.0,
        lambda at: -16.0 if at * STEP % 60 < 30 else -32.0,
    ],
    ids=["a hand that moves", "a canceller that learns", "a speakerphone from now on", "two places"],
)
def test_an_echo_that_drifts_is_found(decibels: Callable[[int], float]) -> None:
    """An echo that grows and fades, or comes and goes, is nobody's talk, and what is said beside it is."""
    source, own = voice(180, seed=1), voice(180, seed=2, starts=5.0)
    back = back_of(source, gain=1.0, lag=6)
    faint = array("H", (round(level * 10 ** (decibels(at) / 20)) for at, level in enumerate(back)))
    target = Channel(windows=levels(summed(own, faint)))
    found = echo(Channel(windows=levels(source)), target)
    assert found
    alone = talk(Channel(windows=levels(own)), STEP)
    assert agree(talk(target, STEP, found.expected(levels(source))), alone) > 0.9


def test_a_faint_speaker_with_an_echo_is_heard() -> None:
    """A speaker 20 dB under the other, on a line that gives back the other as loud as that, is talk."""
    source, own = voice(90, seed=1), voice(90, seed=2, starts=5.0, level=300)
    target = Channel(windows=levels(summed(own, back_of(source, gain=0.1, lag=6))))
    found = echo(Channel(windows=levels(source)), target)
    assert found
    assert (
        agree(talk(target, STEP, found.expected(levels(source))), talk(Channel(windows=levels(own)), STEP))
        > 0.75
    )


def test_expected_reaches_back() -> None:
    """An echo may be twice as loud as usual, under the loudest of its source's moments that reach it."""
    source = array("H", [0] * 20 + [1000] + [0] * 40)
    found = Likeness(lag=10, gain=0.1).expected(levels(source))
    assert [at for at, level in enumerate(found) if level] == list(range(29, 36))
    assert max(found) == 200
    early = Likeness(lag=-5, gain=0.1).expected(levels(source))
    assert [at for at, level in enumerate(early) if level] == list(range(14, 21))


@pytest.mark.parametrize(("decibels", "seconds"), [(15, 0.0), (15, 0.05), (20, 0.12), (25, 0.3), (35, 0.21)])
def test_an_echo_is_not_sent(
    tmp_path: Path, cut: Callable[..., Cut], decibels: float, seconds: float
) -> None:
    """Of each channel only its own words are sent; the transcript is that of a call without an echo."""
    left, right = dialogue(60)
    channels = echoed(placed(RATE, 60, left), placed(RATE, 60, right), decibels=decibels, seconds=seconds)
    found = cut(write(tmp_path / "call", *channels, rate=RATE))
    assert found.plan.channels == 2
    for number, said in enumerate((left, right)):
        assert [each.number for each in found.words(number)] == [each.number for each in said]
    assert transcribed(found).text == expected(left, right)


def test_short_answers_are_sent(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """A word thrown in right after the other's turn, on a line with an echo, is heard."""
    left, right = dialogue(60)
    answers = [each for each in left if any(abs(one.start - each.start) < 1.2 for one in right)]
    channels = echoed(placed(RATE, 60, left), placed(RATE, 60, right), decibels=18, seconds=0.1)
    found = cut(write(tmp_path / "call", *channels, rate=RATE))
    assert answers
    heard = [each.number for each in found.words(0)]
    assert all(each.number in heard for each in answers)


def test_hiss_with_an_echo(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """On a noisy line the echo is nobody's talk either, and the noise is not sent."""
    left, right = dialogue(60)
    channels = echoed(placed(RATE, 60, left), placed(RATE, 60, right), decibels=20, seconds=0.08)
    hissing = [mixed(pcm, noise(RATE, 60, 70, seed=n)) for n, pcm in enumerate(channels)]
    found = cut(write(tmp_path / "call", *hissing, rate=RATE))
    for number, said in enumerate((left, right)):
        assert [each.number for each in found.words(number)] == [each.number for each in said]
    assert sum(chunk.seconds for chunk in found.plan.chunks) < 1.5 * 0.3 * len([*left, *right]) + 30
