"""keep: a recording as browsers play it, and how loud it is over its time."""

from __future__ import annotations

import audioop
import math
from array import array
from collections.abc import Sequence
from pathlib import Path

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame

from pipeline.audio.meter import FLOOR
from pipeline.audio.tracks import Tracks

NAME = "recording.mp3"
POINTS = 1_000  # of a picture
BITS_PER_SAMPLE = 3  # of a channel: 24 kbit/s at a telephone's 8 kHz
EFFORT = "5"  # LAME's -q: as near to the recording's spectrum as 2, in half its time; 7 is 0.9 dB farther
WINDOWS_PER_SECOND = 20


def keep(path: Path, *, out: Path, max_seconds: float) -> list[list[int]]:
    """Writes the recording as mp3 with its one or two channels, at 16 kHz or its lower rate: NAME in `out`.

    Returns how loud each channel is, POINTS values at the most from 0 (silence) to 100 (its loudest moment),
    evenly spread. One decode, constant memory. Raises NotAudio when nothing decodes, TooLong.
    """
    decoding = Tracks(path, max_seconds=max_seconds)
    writer: _Writer | None = None
    windows: list[array[int]] = []
    for block in decoding.blocks():
        if writer is None:
            writer = _Writer(out / NAME, decoding.out_rate, len(block))
            windows = [array("H") for _ in block]
        writer.write(block)
        size = decoding.out_rate // WINDOWS_PER_SECOND * 2
        for levels, pcm in zip(windows, block, strict=True):
            levels.extend(audioop.rms(pcm[at : at + size], 2) for at in range(0, len(pcm), size))
    assert writer is not None
    writer.close()
    return [envelope(levels) for levels in windows]


def envelope(windows: Sequence[int]) -> list[int]:
    """Levels of windows as POINTS at the most, the loudest of each stretch, on a scale as ears have it."""
    loudest = max(windows, default=0)
    if loudest <= FLOOR:
        return [0] * min(len(windows), POINTS)
    each = max(1, math.ceil(len(windows) / POINTS))
    scale = 100 / math.log(loudest / FLOOR)
    return [
        round(scale * math.log(max(FLOOR, *windows[at : at + each], 0) / FLOOR))
        for at in range(0, len(windows), each)
    ]


class _Writer:
    """An mp3 of one or two channels, written a second at a time."""

    def __init__(self, path: Path, rate: int, channels: int) -> None:
        self._container = av.open(str(path), "w", format="mp3")
        stream = self._container.add_stream("libmp3lame", rate=rate)
        assert isinstance(stream.codec_context, AudioCodecContext)
        self._stream, self._context = stream, stream.codec_context
        self._layout = "stereo" if channels == 2 else "mono"
        self._context.layout, self._context.format = self._layout, "s16p"
        self._context.bit_rate = BITS_PER_SAMPLE * rate * channels
        self._context.options = {"compression_level": EFFORT}
        self._rate, self._samples = rate, 0

    def write(self, block: Sequence[bytes]) -> None:
        samples = len(block[0]) // 2
        if not samples:
            return
        frame = AudioFrame(format="s16p", layout=self._layout, samples=samples)
        for plane, pcm in zip(frame.planes, block, strict=True):
            plane.update(pcm)
        frame.sample_rate, frame.pts = self._rate, self._samples
        self._samples += samples
        self._mux(frame)

    def close(self) -> None:
        self._mux(None)
        self._container.close()
        del self._container, self._stream, self._context  # their buffers go now, not at the next collection

    def _mux(self, frame: AudioFrame | None) -> None:
        for packet in self._context.encode(frame):
            packet.stream = self._stream
            self._container.mux(packet)
