"""Tones, music on hold and noise are told from speech; where nobody speaks, nothing is sent."""

from __future__ import annotations

import audioop
import math
import random
from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.audio.levels import scan
from pipeline.audio.signalling import signals, voiced
from pipeline.domain.errors import NoSpeech
from tests.audio.conftest import Cut
from tests.audio.signals import decoded, mixed, noise, speech, write

RATE = 8000
SECONDS = 12.0
AUDIO = Path(__file__).parents[2] / "fixtures" / "audio"
NOTES = (262, 330, 392, 523, 440, 349, 294, 247)

Sound = Callable[[float], float]


def made(sound: Sound, seconds: float = SECONDS) -> bytes:
    return array("h", (round(sound(number / RATE)) for number in range(round(seconds * RATE)))).tobytes()


def tones(*hertz: float, level: float = 5000) -> Sound:
    return lambda at: sum(level * math.sin(2 * math.pi * each * at) for each in hertz)


def cadence(sound: Sound, on: float, off: float) -> Sound:
    return lambda at: sound(at) if at % (on + off) < on else 0.0


def tune(seconds: float, *, vibrato: float = 0.0, decay: float = 0.0) -> Sound:
    """One note after the other, with overtones."""

    def sound(at: float) -> float:
        phase = 2 * math.pi * NOTES[int(at / seconds) % len(NOTES)] * at
        phase += vibrato * math.sin(2 * math.pi * 5.5 * at)
        return sum(
            5000 / part * math.exp(-decay * (at % seconds)) * math.sin(part * phase) for part in (1, 2, 3)
        )

    return sound


def keys() -> Sound:
    chance = random.Random(1)
    return lambda at: 6000 * math.exp(-200 * (at % 0.23)) * chance.gauss(0, 1)


def dialled() -> Sound:
    """Digits of changing keys, a third of a second apart, some of them left out."""
    chance = random.Random(3)
    keys = [(chance.choice((697, 770, 852, 941)), chance.choice((1209, 1336, 1477))) for _ in range(40)]
    given = [chance.random() < 0.8 for _ in keys]

    def sound(at: float) -> float:
        key = int(at / 0.35)
        return tones(*keys[key])(at) if given[key] and at % 0.35 < 0.12 else 0.0

    return sound


def announced(hertz: tuple[float, ...]) -> Sound:
    """The three tones before an announcement."""

    def sound(at: float) -> float:
        part = int(at % 5 / 0.33)
        return tones(hertz[part])(at) if part < 3 else 0.0

    return sound


def blowing(lowest: float, seconds: float) -> Sound:
    """Wind or breath: noise above and below which little is, whose level changes every so many seconds."""
    chance = random.Random(5)
    levels = [chance.uniform(0.1, 1) for _ in range(99)]
    slow = 1 - math.exp(-2 * math.pi * lowest / RATE)
    smooth = 0.0

    def sound(at: float) -> float:
        nonlocal smooth
        smooth += slow * (chance.gauss(0, 1) - smooth)
        place, part = int(at / seconds), at / seconds % 1
        level = levels[place % 98] * (1 - part) + levels[place % 98 + 1] * part
        return min(max(8000 * smooth / math.sqrt(slow) * level, -32_000), 32_000)

    return sound


NOBODY = {
    "reorder, America": cadence(tones(480, 620), 0.25, 0.25),
    "dialled": dialled(),
    "before an announcement": announced((950, 1400, 1800)),
    "before an announcement, America": announced((985.2, 1428.5, 1776.7)),
    "wind": blowing(150, 0.7),
    "gusts": blowing(1500, 0.3),
    "breath": blowing(3000, 1.1),
    "ring, Russia": cadence(tones(425), 1, 4),
    "ring, America": cadence(tones(440, 480), 2, 4),
    "ring, Britain": cadence(cadence(tones(400, 450), 0.4, 0.2), 1.0, 2.0),
    "busy, Russia": cadence(tones(425), 0.35, 0.35),
    "busy, America": cadence(tones(480, 620), 0.5, 0.5),
    "busy, France": cadence(tones(440), 0.5, 0.5),
    "congestion": cadence(tones(425), 0.25, 0.25),
    "dial tone": tones(350, 440),
    "fax calls": cadence(tones(1100), 0.5, 3),
    "fax answers": tones(2100),
    "modem": lambda at: 8000 * math.sin(2 * math.pi * (1650 if int(at * 300) * 7919 % 13 < 6 else 1850) * at),
    "digits": cadence(tones(770, 1336), 0.1, 0.1),
    "beep": cadence(tones(1000), 0.6, 5),
    "tune": tune(0.4),
    "tune that fades": tune(0.4, decay=5),
    "tune with vibrato": tune(0.5, vibrato=3),
    "fast tune": tune(0.15, decay=6),
    "keyboard": keys(),
}


SMEARED = {"digits", "keyboard", "before an announcement", "before an announcement, America", "dialled"}
PLAYED = [(name, codec, "wav") for name in NOBODY for codec in ("pcm_s16le", "pcm_alaw")]
# codecs make one sound of what lies so close, or part what lies side by side
PLAYED += [(name, "libmp3lame", "mp3") for name in NOBODY if name not in SMEARED]
PLAYED += [
    (name, "libopencore_amrnb", "amr")
    for name in (
        "ring, America", "ring, Britain", "busy, America", "reorder, America", "dial tone", "wind", "gusts",
        "breath",
    )
]  # fmt: skip


@pytest.mark.parametrize(("name", "codec", "container"), PLAYED)
def test_nobody_speaks(
    tmp_path: Path, cut: Callable[..., Cut], name: str, codec: str, container: str
) -> None:
    """What telephone systems play is no speech, and is never sent to a recogniser."""
    bit_rate = 7400 if container == "amr" else 0
    path = write(
        tmp_path / "a", made(NOBODY[name]), rate=RATE, codec=codec, container=container, bit_rate=bit_rate
    )
    with pytest.raises(NoSpeech):
        cut(path)


@pytest.mark.parametrize("level", [70, 130, 330, 1000])
@pytest.mark.parametrize("rate", [8000, 48_000])
def test_noise_is_no_speech(tmp_path: Path, cut: Callable[..., Cut], level: int, rate: int) -> None:
    """Comfort noise, hiss and a noisy line are no speech."""
    with pytest.raises(NoSpeech):
        cut(write(tmp_path / "a", noise(rate, SECONDS, level), rate=rate))


def lost(path: Path) -> float:
    """The share of what sounds that is taken for no speech."""
    found = scan(path, max_seconds=600)
    sounding = sum(level > 58 for channel in found.channels for level in channel.windows)
    voiced = sum(level > 58 for channel in found.channels for level in channel.voiced)
    return 1 - voiced / sounding


@pytest.mark.parametrize(
    "name", ["sales-call", "medium-lead-m4a", "russian-alaw", "phone-mp3", "opus", "gsm-wav", "speex"]
)
def test_voices_stay(name: str) -> None:
    """Of real voices nothing is lost."""
    assert lost(AUDIO / name) == 0


@pytest.mark.parametrize("rate", [6000, 8000, 11_025, 12_000, 16_000, 22_050, 32_000, 44_100, 48_000])
def test_signals_and_pitches_are_told_at_any_rate(rate: int) -> None:
    """A ringing tone is a signal, and a hum of 150 Hz with its overtones has a pitch, whatever the rate;
    hiss is neither.
    """
    ring, hum = (
        np.array([[round(sound(at / rate)) for at in range(rate // 50 * 50)]])
        for sound in (tones(440, 480), tones(150, 300, 450, level=3000))
    )
    loud = np.full((1, 50), 5000)
    assert signals(ring, rate, loud, 58).all()
    assert not signals(hum, rate, loud, 58).any()
    assert voiced(hum, rate, loud, 58).all()
    hiss = np.random.default_rng(1).normal(0, 5000, ring.shape).astype(np.int32)
    assert not signals(hiss, rate, loud, 58).any()
    assert not voiced(hiss, rate, loud, 58).any()


def test_a_short_answer_behind_a_ringing_tone_stays(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Words right behind a tone are heard, and so are single words in noise."""
    ring = made(NOBODY["ring, Russia"], 11.5)
    pcm, said = speech(RATE, 3, start=0.2)
    found = cut(write(tmp_path / "a", ring + pcm, rate=RATE))
    heard = [each.number for each in found.words()]
    assert heard[-len(said) :] == [each.number for each in said]
    word, (said_alone, *_) = speech(RATE, 2, start=0.8)
    one = bytes(5 * 2 * RATE) + word[: 2 * RATE + RATE // 2] + bytes(5 * 2 * RATE)
    path = write(tmp_path / "b", mixed(one, noise(RATE, len(one) / 2 / RATE, 120)), rate=RATE)
    assert said_alone.number in [each.number for each in cut(path).words()]


def test_a_voice_over_music_stays(tmp_path: Path) -> None:
    """Where somebody talks over music on hold, it is speech."""
    pcm, rate = decoded(AUDIO / "weak-lead")
    tempo = rate / RATE  # the tune is made at 8 kHz: at another rate it is another tune
    music = audioop.mul(made(tune(0.4 * tempo), len(pcm) / 2 / RATE), 2, 0.2)
    both = scan(write(tmp_path / "a", mixed(pcm, music), rate=rate), max_seconds=600).channels[0]
    alone = scan(AUDIO / "weak-lead", max_seconds=600).channels[0]
    spoken = [at for at, level in enumerate(alone.windows) if level > 2000]
    assert spoken
    assert sum(both.voiced[at] > 0 for at in spoken) > 0.98 * len(spoken)


@pytest.mark.parametrize("name", ["weak-lead", "sales-call"])
def test_a_voice_in_noise_stays(tmp_path: Path, name: str) -> None:
    """Hiss 6 dB under a voice, and wind as loud as it, hide none of its words."""
    pcm, rate = decoded(AUDIO / name, RATE)
    seconds, loud = len(pcm) / 2 / RATE, audioop.rms(pcm, 2)
    clear = scan(write(tmp_path / "clear", pcm, rate=rate), max_seconds=600).channels[0]
    spoken = [at for at, level in enumerate(clear.windows) if level > loud]
    wind = made(blowing(150, 0.7), seconds)
    for other in (noise(RATE, seconds, loud // 2), audioop.mul(wind, 2, loud / audioop.rms(wind, 2))):
        path = write(tmp_path / "noisy", mixed(pcm, other), rate=rate)
        voiced = scan(path, max_seconds=600).channels[0].voiced
        assert sum(voiced[at] > 0 for at in spoken) > 0.98 * len(spoken)
