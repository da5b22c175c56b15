"""Recordings made of words that a program can read: each word is two tones, a pause lies between words."""

from __future__ import annotations

import audioop
import math
import random
from array import array
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame

TONES = 30
LOWEST, STEP = 400, 80  # Hz: up to 2720, within what an 8 kHz telephone codec carries
TONE_SECONDS = 0.15
WORD_SECONDS = 2 * TONE_SECONDS


@cache
def _tone(number: int, rate: int, level: int) -> bytes:
    total, fade = round(TONE_SECONDS * rate), round(0.005 * rate)
    angle = 2 * math.pi * (LOWEST + STEP * number) / rate
    return array(
        "h",
        (
            round(level * math.sin(angle * i) * min(1.0, i / fade, (total - 1 - i) / fade))
            for i in range(total)
        ),
    ).tobytes()


def word(number: int, rate: int, level: int = 8000) -> bytes:
    """The word of that number (0-899) as 16 bit mono PCM."""
    return _tone(number // TONES, rate, level) + _tone(number % TONES, rate, level)


@dataclass(frozen=True)
class Said:
    """A word and when it begins."""

    number: int
    start: float


def speech(
    rate: int,
    seconds: float,
    *,
    seed: int = 1,
    pause: tuple[float, float] = (0.25, 0.8),
    level: int = 8000,
    start: float = 0.3,
    first: int = 0,
) -> tuple[bytes, list[Said]]:
    """Words with random pauses up to `seconds`; PCM and what is said when."""
    chance = random.Random(seed)
    parts, said = [bytes(round(start * rate) * 2)], []
    at = round(start * rate)
    number = first
    while at / rate + WORD_SECONDS + pause[1] < seconds:
        said.append(Said(number % (TONES * TONES), at / rate))
        rest = round(chance.uniform(*pause) * rate)
        spoken = word(number % (TONES * TONES), rate, level)
        parts += [spoken, bytes(rest * 2)]
        at += len(spoken) // 2 + rest
        number += 1
    pcm = b"".join(parts)
    return pcm.ljust(round(seconds * rate) * 2, b"\0"), said


def placed(rate: int, seconds: float, said: list[Said], level: int = 8000) -> bytes:
    """PCM with each word at its time."""
    pcm = bytearray(round(seconds * rate) * 2)
    for each in said:
        at = round(each.start * rate) * 2
        spoken = word(each.number, rate, level)
        pcm[at : at + len(spoken)] = spoken
    return bytes(pcm)


def noise(rate: int, seconds: float, level: int, seed: int = 1) -> bytes:
    """White noise of that root mean square, repeating every second."""
    chance = random.Random(seed)
    one = array("h", (round(chance.gauss(0, level)) for _ in range(rate))).tobytes()
    return (one * math.ceil(seconds))[: round(seconds * rate) * 2]


def mixed(one: bytes, other: bytes) -> bytes:
    """Both at a time."""
    return audioop.add(one, other, 2)


def write(
    path: Path,
    *channels: bytes,
    rate: int,
    codec: str = "pcm_s16le",
    container: str = "wav",
    bit_rate: int | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """The PCM of one or two channels as a file of that codec and container."""
    pcm = channels[0]
    if len(channels) == 2:
        pcm = audioop.add(audioop.tostereo(channels[0], 2, 1, 0), audioop.tostereo(channels[1], 2, 0, 1), 2)
    layout = "stereo" if len(channels) == 2 else "mono"
    output = av.open(str(path), "w", format=container, container_options=options or {})
    with output:
        stream = output.add_stream(codec, rate=rate)
        context = stream.codec_context
        assert isinstance(context, AudioCodecContext)
        context.layout = layout
        context.options = {"strict": "experimental"} if codec == "vorbis" else {}
        if bit_rate:
            context.bit_rate = bit_rate
        resampler = av.AudioResampler(format=context.codec.audio_formats[0], layout=layout, rate=rate)
        width = 2 * len(channels)
        for at in range(0, len(pcm), rate * width):
            part = pcm[at : at + rate * width]
            frame = AudioFrame(format="s16", layout=layout, samples=len(part) // width)
            frame.planes[0].update(part)
            frame.sample_rate = rate
            frame.pts = at // width
            for ready in resampler.resample(frame):
                output.mux(context.encode(ready))
        for ready in resampler.resample(None):
            output.mux(context.encode(ready))
        output.mux(context.encode(None))
    return path


def decoded(path: Path, rate: int | None = None) -> tuple[bytes, int]:
    """A file's PCM, mixed to mono, and its rate."""
    parts: list[bytes] = []
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        rate = rate or stream.rate
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
        for frame in container.decode(stream):
            frame.pts = None
            parts += [
                bytes(memoryview(out.planes[0])[: out.samples * 2]) for out in resampler.resample(frame)
            ]
        parts += [bytes(memoryview(out.planes[0])[: out.samples * 2]) for out in resampler.resample(None)]
    return b"".join(parts), rate


def _bytes(frame: AudioFrame) -> bytes:
    return bytes(memoryview(frame.planes[0])[: frame.samples * 2])


@dataclass(frozen=True)
class Read:
    """A word as it was read; torn: it has not a word's length."""

    number: int
    start: float
    torn: bool


def read(pcm: bytes, rate: int, *, threshold: int = 400) -> list[Read]:
    """The words in PCM, in order."""
    hop = rate // 100 * 2
    loud = [audioop.rms(pcm[at : at + hop], 2) > threshold for at in range(0, len(pcm) - hop + 1, hop)]
    found = []
    start = None
    for index, sounds in enumerate([*loud, False, False, False, False]):
        if sounds:
            start = index if start is None else start
            last = index
        elif start is not None and index - last >= 4:
            found.append(_word(pcm, rate, start * hop / 2 / rate, (last + 1) * hop / 2 / rate))
            start = None
    return found


def _word(pcm: bytes, rate: int, start: float, end: float) -> Read:
    middle = (start + end) / 2
    high = _number(pcm, rate, start + 0.03, middle - 0.02)
    low = _number(pcm, rate, middle + 0.02, end - 0.03)
    return Read(high * TONES + low, start, abs(end - start - WORD_SECONDS) > 0.06)


def _number(pcm: bytes, rate: int, start: float, end: float) -> int:
    part = pcm[round(start * rate) * 2 : round(end * rate) * 2]
    if len(part) < 8:
        return -1
    crossings = audioop.cross(part, 2)
    return round((crossings * rate / (len(part) // 2) / 2 - LOWEST) / STEP)
