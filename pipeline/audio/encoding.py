"""Pieces of a recording as small mono files: FLAC, MP3 at 64 kbit/s, or WAV; the same bytes every time."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.codec.context import Flags

from pipeline.audio.pcm import Pcm
from pipeline.domain.recording import Stretch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pydub looks for an ffmpeg program, which raw PCM does not need
    from pydub import AudioSegment

CODECS = {"flac": "flac", "mp3": "libmp3lame", "wav": "pcm_s16le"}
CONTENT_TYPES = {
    "flac": "audio/flac", "mp3": "audio/mpeg", "wav": "audio/wav",
    "ogg": "audio/ogg", "m4a": "audio/mp4", "webm": "audio/webm",
}  # fmt: skip
FLAC_BLOCK = 2304  # samples: FFmpeg's own choice, 576 of 8 kHz, takes a third more time for 1 % of size
SHORTEST_SECONDS = 0.2  # recognisers refuse uploads below 0.1 s: silence is added up to this


def encode(to: Path, pcm: Pcm, channel: int | None, stretches: Sequence[Stretch], *, decibels: float) -> None:
    """Writes stretches of one channel, None: of all mixed, with silence between them.

    to: the ending of its name says the format.
    """
    writer = _Writer(to, pcm.rate)
    for stretch in stretches:
        writer.rest(until=round(stretch.at * pcm.rate))
        for part in pcm.read(channel, stretch.span.start, stretch.span.end):
            writer.write(_louder(part, pcm.rate, decibels))
    writer.close()


def gain(speech: int, peak: int) -> float:
    """dB that bring speech of that 16 bit level to -20 dBFS without clipping; 0 for a small difference."""
    if not speech or not peak:
        return 0.0
    wanted = 20 * math.log10(3277 / speech)
    possible = 20 * math.log10(31000 / peak)
    chosen = min(wanted, possible, 30.0) if wanted > 0 else wanted
    return round(chosen, 1) if abs(chosen) >= 3 else 0.0


def _louder(pcm: bytes, rate: int, decibels: float) -> bytes:
    if not decibels or not pcm:
        return pcm
    segment = AudioSegment(data=pcm, sample_width=2, frame_rate=rate, channels=1)
    return bytes(segment.apply_gain(decibels).raw_data)


class _Writer:
    """One file being written, a second at a time."""

    def __init__(self, path: Path, rate: int) -> None:
        ending = path.suffix[1:]
        options = {"fflags": "+bitexact"}
        if ending == "mp3":
            options["id3v2_version"] = "0"
        self._container = av.open(str(path), "w", format=ending, container_options=options)
        stream = self._container.add_stream(CODECS[ending], rate=rate)
        assert isinstance(stream.codec_context, AudioCodecContext)
        self._stream = stream
        self._context = stream.codec_context
        self._context.layout = "mono"
        self._context.format = "s16p" if ending == "mp3" else "s16"
        self._context.flags |= Flags.bitexact
        if ending == "flac":
            self._context.options = {"frame_size": str(FLAC_BLOCK)}
        if ending == "mp3":
            self._context.bit_rate = 64_000
        self._rate = rate
        self._samples = 0

    def write(self, pcm: bytes) -> None:
        if not pcm:
            return
        frame = AudioFrame(format=self._context.format.name, layout="mono", samples=len(pcm) // 2)
        frame.planes[0].update(pcm)
        frame.sample_rate = self._rate
        frame.pts = self._samples
        self._samples += frame.samples
        for packet in self._context.encode(frame):
            packet.stream = self._stream
            self._container.mux(packet)

    def rest(self, *, until: int) -> None:
        """Silence up to that sample."""
        self.write(bytes(2 * max(0, until - self._samples)))

    def close(self) -> None:
        self.rest(until=round(SHORTEST_SECONDS * self._rate))
        for packet in self._context.encode(None):
            packet.stream = self._stream
            self._container.mux(packet)
        self._container.close()
        del self._container, self._stream, self._context  # their buffers go now, not at the next collection
