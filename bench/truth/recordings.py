"""The recordings of the benchmark: the corpus, what telephone lines do to it, and lines without a word.

Variants are computed, not kept: a call whose channels carry the other side as well, fainter and late; both
speakers in one channel; the same mix in two channels, equal, fainter or late; the same with as much silence
as speech between the lines; tones, noise and music.
"""

from __future__ import annotations

import json
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from bench.truth.scoring import Truth

CORPUS = Path(__file__).resolve().parent / "corpus"
RATE = 8_000
SILENT_SECONDS = 30
APART_SECONDS = 0.25  # lines with less between them are not parted
Samples = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A call and what is said in it. path: the audio; about: in a few words, for the report."""

    name: str
    path: Path
    truth: Truth
    about: str = ""


def corpus(folder: Path = CORPUS) -> dict[str, Recording]:
    """All recordings of a folder: each NAME.json, with the audio of the same name beside it."""
    found = {}
    for file in sorted(folder.glob("*.json")):
        audio = [path for path in file.parent.glob(f"{file.stem}.*") if path.suffix != ".json"]
        if audio:
            truth = Truth.read(json.loads(file.read_text(encoding="utf-8")))
            found[file.stem] = Recording(
                name=file.stem, path=audio[0], truth=truth, about=ABOUT.get(file.stem, "")
            )
    return found


ABOUT = {
    "ru-call": "two sides, Russian",
    "en-call": "two sides, English",
    "ru-dense": "short lines, hardly a pause",
    "ru-crosstalk": "each second line begins before the other ends",
    "ru-then-en": "Russian, then English",
    "ru-voicemail": "ringing, a greeting, a beep, hiss",
}


def echo(decibels: float, late_seconds: float) -> Callable[[Samples], Samples]:
    """Each channel also carries the other one, fainter and late: a handset, a bad hybrid."""

    def changed(sound: Samples) -> Samples:
        return sound + delayed(sound[::-1], late_seconds) * 10 ** (-decibels / 20)

    return changed


def mono(sound: Samples) -> Samples:
    """Both speakers in one channel."""
    return sound.sum(axis=0, keepdims=True)


def dual(decibels: float = 0.0, late_seconds: float = 0.0) -> Callable[[Samples], Samples]:
    """The same mix in both channels, the right one fainter or late: one voice stream, not two speakers."""

    def changed(sound: Samples) -> Samples:
        mix = sound.sum(axis=0)
        return np.stack([mix, delayed(mix, late_seconds) * 10 ** (-decibels / 20)])

    return changed


def delayed(sound: Samples, seconds: float) -> Samples:
    """The same, as long, beginning later."""
    shift = round(seconds * RATE)
    if not shift:
        return sound
    return np.concatenate([np.zeros_like(sound[..., :shift]), sound[..., :-shift]], axis=-1)


def resting(sound: Samples, truth: Truth) -> tuple[Samples, Truth]:
    """As much silence as speech between the lines, each rest another; in one channel."""
    lines = sorted(truth.lines, key=lambda line: line.start)
    ends = list(accumulate((line.end for line in lines), max))
    gaps = [at for at in range(1, len(lines)) if lines[at].start - ends[at - 1] > APART_SECONDS]
    share = truth.speech_seconds / sum(range(1, len(gaps) + 1))
    parts, moved, late, begun = [], [], 0.0, 0
    for at, line in enumerate(lines):
        if at in gaps:
            rest = share * (1 + gaps.index(at) * 3 % len(gaps))  # from short ones to long ones, mingled
            cut = round((ends[at - 1] + line.start) / 2 * RATE)
            parts += [sound[..., begun:cut], np.zeros((len(sound), round(rest * RATE)))]
            begun, late = cut, late + round(rest * RATE) / RATE
        moved.append(replace(line, start=line.start + late, end=line.end + late))
    rested = np.concatenate([*parts, sound[..., begun:]], axis=1)
    return mono(rested), replace(truth, lines=tuple(moved), seconds=rested.shape[1] / RATE, mixed=True)


def ringing(seconds: NDArray[np.float64]) -> Samples:
    """A second of tone every five."""
    return np.sin(2 * np.pi * 425 * seconds) * 3000 * (seconds % 5 < 1)


def busy(seconds: NDArray[np.float64]) -> Samples:
    return np.sin(2 * np.pi * 425 * seconds) * 3000 * (seconds % 0.7 < 0.35)


def noise(seconds: NDArray[np.float64]) -> Samples:
    return np.random.default_rng(7).normal(0, 330, len(seconds))  # -40 dB


def music(seconds: NDArray[np.float64]) -> Samples:
    """A tune of chords with decaying notes, as on hold."""
    pitches = np.array([262, 330, 392, 523, 440, 349, 294, 392])
    note = (seconds / 0.4).astype(int)
    base = pitches[note % len(pitches)]
    fading = np.exp(-3 * (seconds % 0.4))
    chord = sum(np.sin(2 * np.pi * base * part * seconds) / part for part in (1, 1.25, 1.5, 2))
    return np.asarray(chord * fading * 1500)


CHANGED: dict[str, tuple[str, Callable[[Samples], Samples], str]] = {
    "ru-call-echo-15-120": ("ru-call", echo(15, 0.12), "echo of -15 dB, 120 ms late"),
    "ru-call-echo-20-0": ("ru-call", echo(20, 0.0), "echo of -20 dB, at once"),
    "en-call-echo-25-250": ("en-call", echo(25, 0.25), "echo of -25 dB, 250 ms late"),
    "ru-call-echo-35-300": ("ru-call", echo(35, 0.3), "echo of -35 dB, 300 ms late"),
    "ru-call-mono": ("ru-call", mono, "both speakers in one channel"),
    "ru-call-dual": ("ru-call", dual(), "the same mix in both channels"),
    "en-call-dual-10": ("en-call", dual(10), "the same mix, the right one 10 dB down"),
    "ru-call-dual-late": ("ru-call", dual(0, 0.03), "the same mix, the right one 30 ms late"),
}
RESTING = ("ru-call", "en-call")
SILENT = {"ringing": ringing, "busy": busy, "noise": noise, "music": music}


def every(folder: Path, more: Path | None = None) -> dict[str, Recording]:
    """All recordings, variants written into `folder`; with those of another folder of the same format."""
    found = corpus()
    for name, (source, change, about) in CHANGED.items():
        origin = found[source]
        mixed = change is mono or source + "-dual" in name
        truth = replace(origin.truth, mixed=mixed)
        path = written(folder / f"{name}.wav", change(samples(origin.path)))
        found[name] = Recording(name=name, path=path, truth=truth, about=about)
    for source in RESTING:
        name = f"{source}-rests"
        sound, truth = resting(samples(found[source].path), found[source].truth)
        path = written(folder / f"{name}.wav", sound)
        found[name] = Recording(name=name, path=path, truth=truth, about="one channel, half of it silence")
    for name, tone in SILENT.items():
        seconds = np.arange(SILENT_SECONDS * RATE) / RATE
        path = written(folder / f"{name}.wav", np.stack([np.zeros_like(seconds), tone(seconds)]))
        truth = Truth(lines=(), lang="ru", seconds=SILENT_SECONDS)
        found[name] = Recording(name=name, path=path, truth=truth, about=f"{name}, and no word")
    if more:
        found |= corpus(more)
    return found


def samples(path: Path) -> Samples:
    """All of a recording at 8 kHz, a row per channel."""
    with av.open(str(path)) as container:
        rows = [frame.to_ndarray() for frame in _planar(container)]
    return np.concatenate(rows, axis=1).astype(float)


def _planar(container: Any) -> Iterator[Any]:
    stream = container.streams.audio[0]
    resampler = av.AudioResampler(format="s16p", layout=stream.layout, rate=RATE)
    for frame in container.decode(stream):
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


def written(path: Path, sound: Samples) -> Path:
    """The channels as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(sound))
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.clip(sound, -32768, 32767).astype(np.int16).T.tobytes())
    return path
