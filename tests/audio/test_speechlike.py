"""Tones, music on hold and noise are told from speech; where nobody speaks, nothing is sent."""

from __future__ import annotations

import audioop
import math
import random
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.audio.levels import scan
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


NOBODY = {
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


SMEARED = {"busy, America", "digits", "keyboard"}  # mp3 makes one sound of what lies so close
PLAYED = [(name, codec, "wav") for name in NOBODY for codec in ("pcm_s16le", "pcm_alaw")]
PLAYED += [(name, "libmp3lame", "mp3") for name in NOBODY if name not in SMEARED]


@pytest.mark.parametrize(("name", "codec", "container"), PLAYED)
def test_nobody_speaks(
    tmp_path: Path, cut: Callable[..., Cut], name: str, codec: str, container: str
) -> None:
    """What telephone systems play is no speech, and is never sent to a recogniser."""
    path = write(tmp_path / "a", made(NOBODY[name]), rate=RATE, codec=codec, container=container)
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
