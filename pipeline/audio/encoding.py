"""Pieces of a recording as small mono files: FLAC, MP3 at 64 kbit/s, or WAV; the same bytes every time."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.codec.context import Flags

from pipeline.audio.decoding import Mix
from pipeline.audio.tracks import Tracks
from pipeline.domain.recording import Stretch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pydub looks for an ffmpeg program, which raw PCM does not need
    from pydub import AudioSegment

SAMPLE_RATE = 16_000  # what recognisers hear at; more is thrown away by them
MP3_RATES = (8_000, 11_025, 12_000, 16_000)
CODECS = {"flac": "flac", "mp3": "libmp3lame", "wav": "pcm_s16le"}
CONTENT_TYPES = {
    "flac": "audio/flac", "mp3": "audio/mpeg", "wav": "audio/wav",
    "ogg": "audio/ogg", "m4a": "audio/mp4", "webm": "audio/webm",
}  # fmt: skip
SHORTEST_SECONDS = 0.2  # recognisers refuse uploads below 0.1 s: silence is added up to this


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Stretches of one channel to be written as `path`; its name's ending says the format."""

    channel: int
    stretches: tuple[Stretch, ...]
    path: Path


def encode(
    source: Path, pieces: Sequence[Piece], *, sample_rate: int, mix: Mix, gains: Sequence[float], last: float
) -> None:
    """Writes all pieces in one decode of the source.

    gains: dB per channel. Silence lies between a piece's stretches, and the pieces of a channel lie one
    behind the other. A stretch that ends at `last` (the recording's length) takes what is left.
    """
    rate = rate_for(sample_rate, {piece.path.suffix[1:] for piece in pieces})
    decoding = Tracks(source, mix=mix, wanted_rate=rate)
    waiting = [
        sorted(
            ((stretch, piece) for piece in pieces if piece.channel == channel for stretch in piece.stretches),
            key=lambda pair: pair[0].span.start,
        )
        for channel in range(2)
    ]
    writers: list[_Writer | None] = [None, None]
    until = max(piece.stretches[-1].span.end for piece in pieces)
    position = 0
    for block in decoding.blocks():
        length = len(block[0]) // 2
        for channel, pcm in enumerate(block):
            while waiting[channel]:
                stretch, piece = waiting[channel][0]
                start = round(stretch.span.start * rate)
                end = round(stretch.span.end * rate) if stretch.span.end < last else 1 << 62
                if start >= position + length:
                    break
                writer = writers[channel] or _Writer(piece.path, rate)
                writers[channel] = writer
                if start >= position:
                    writer.rest(until=round(stretch.at * rate))
                part = pcm[max(0, start - position) * 2 : max(0, end - position) * 2]
                writer.write(_louder(part, rate, gains[channel]))
                if end > position + length:
                    break
                waiting[channel].pop(0)
                if stretch is piece.stretches[-1]:
                    writer.close()
                    writers[channel] = None
        position += length
        if position > (until + 1) * rate and not any(waiting):
            break
    for unfinished in writers:
        if unfinished:
            unfinished.close()


def rate_for(sample_rate: int, endings: set[str]) -> int:
    """16 kHz, or the source's lower rate; for mp3 the nearest that the format knows."""
    rate = min(SAMPLE_RATE, sample_rate)
    if "mp3" in endings:
        rate = max((known for known in MP3_RATES if known <= rate), default=MP3_RATES[0])
    return rate


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
