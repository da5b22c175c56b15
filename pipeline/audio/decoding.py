"""Streaming decode: a recording of any kind as seconds of 16 bit PCM, one run of bytes per channel.

Constant memory: a second of PCM at a time. Frames are collected in FFmpeg's own FIFO and converted a
second at a time, because a conversion per frame costs more than the decoding of 8 kHz mp3 itself.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from pipeline.audio.body import Body, bodies
from pipeline.audio.headers import declared_asf, declared_mp3
from pipeline.audio.limits import MAX_CHANNELS, MAX_SAMPLE_RATE, MIN_SAMPLE_RATE, heard_rate
from pipeline.audio.opening import Broken, opened
from pipeline.domain.errors import NotAudio, TooLong
from pipeline.domain.recording import Span

MAX_HOLE_SECONDS = 60.0  # a damaged packet that claims more is not believed
WORTH_SECONDS = 0.25
PAUSE_SECONDS = 0.5  # codecs that send nothing while nobody speaks leave up to 0.4 s between two frames
JUMP_SECONDS = 1.0  # times that jump back by so much are another recording's
LUMP_SECONDS = 4  # a conversion has a price of its own
MAX_SKIPPED_SECONDS = 3600.0  # in all; times that claim more are not believed
CLAIMING = {"wav", "caf"}  # FFmpeg tells what is there, not what is meant to be
DECLARING = {"w64", "mov", "flac", "aiff", "au", "matroska", "avi", "wv", "ape", "tta"}
DATED = {"ogg", "matroska", "mov"}  # their frames carry times of their own, not counted from the bytes before
RAW = {"mp3", "aac", "ac3", "eac3", "dts"}
Mix = Literal["channels", "mixed", "left"]


@dataclass
class Packets:
    """Where each mp3 frame lies and what it decodes to; small arrays, for hours of them."""

    position: array[int] = field(default_factory=lambda: array("q"))  # byte offset in the file
    size: array[int] = field(default_factory=lambda: array("i"))
    samples: array[int] = field(default_factory=lambda: array("i"))


@dataclass
class Decoding:
    """One run over a recording; its fields hold what the run has learned so far.

    sample_rate: of the recording; out_rate: of the PCM that it yields: wanted_rate, else what recognisers
    hear of the recording's.
    samples: yielded so far, per channel, at out_rate. holes: stretches that did not decode (silence stands
    in for them, so that the time axis stays true). skipped_seconds: silence where the frames' own times
    leave a gap; a gap of PAUSE_SECONDS is a hole as well. uniform: rate, layout and format never changed.
    """

    path: Path
    mix: Mix = "channels"
    wanted_rate: int | None = None
    max_seconds: float | None = None
    log_packets: bool = False
    track: int | None = None  # which of several; None: the main one

    container: str = ""
    codec: str = ""
    channels: int = 0
    sample_rate: int = 0
    out_rate: int = 0
    out_channels: int = 0
    samples: int = 0
    holes: list[Span] = field(default_factory=list)
    skipped_seconds: float = 0.0
    uniform: bool = True
    broken: bool = False  # reading ended with an error, not with the end of the file
    declared_seconds: float | None = None  # what the stream's header says
    claimed_seconds: float = 0.0  # the most that any header says, whether it can be believed or not
    has_video: bool = False
    packets: Packets = field(default_factory=Packets)
    bodies: list[Body] = field(default_factory=list)  # where in the file the recording lies
    first_time: float | None = None  # the container's own time of the first frame

    _fifo: av.AudioFifo = field(default_factory=av.AudioFifo)
    _resampler: AudioResampler | None = None
    _heard: float = 0.0  # seconds decoded and stood in for so far
    _began: float | None = None  # the recording's own time at second 0 of ours
    _width: int = 0  # channels that go into the FIFO
    _lump: int = 1 << 30  # samples that are converted at a time

    def blocks(self) -> Iterator[tuple[bytes, ...]]:
        """About a second of PCM at a time: native 16 bit samples, one `bytes` per channel.

        Two only for mix "channels" and a recording of exactly two; more channels are mixed down.
        Raises NotAudio when nothing decodes, TooLong once max_seconds are passed.
        """
        self.bodies = self.bodies or bodies(self.path)
        with opened(self.path, body=self.bodies[0], track=self.track) as first:
            yield from self._all(*first)

    def _all(self, container: InputContainer, stream: AudioStream) -> Iterator[tuple[bytes, ...]]:
        """All blocks, of a recording whose first body is open."""
        self._introduce(container, stream)
        yield from self._read(container, stream, self.bodies[0].start)
        try:
            for body in self.bodies[1:]:
                with opened(self.path, body=body, track=self.track) as (container, stream):
                    yield from self._read(container, stream, body.start)
        except NotAudio:
            self.broken = True
        if not self.samples:
            raise NotAudio("nothing in it decodes to sound")

    def _read(
        self, container: InputContainer, stream: AudioStream, offset: int
    ) -> Iterator[tuple[bytes, ...]]:
        """One recording of the file; offset: of its first byte."""
        log = self.packets if self.log_packets and self.container == "mp3" else None
        dated = self.container.split(",")[0] in DATED
        sound_bytes = sound_packets = 0
        ready = 0  # samples since the last look into the FIFO
        try:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except Broken:
                    if not _is_tag(packet):
                        yield from self._drain()
                        yield from self._hole(packet, sound_bytes / max(sound_packets, 1))
                    continue
                decoded = 0
                for frame in frames:
                    decoded += frame.samples
                    if self.first_time is None:
                        self.first_time = frame.time
                    if dated and (skipped := self._skipped(frame)):
                        yield from self._drain()
                        yield from self._silence(skipped, is_hole=skipped >= PAUSE_SECONDS)
                    frame.pts = None
                    # the FIFO refuses another rate or format itself, but crashes over fewer channels
                    if frame.layout.nb_channels != self._width:
                        yield from self._drain()
                        self._take(frame)
                    try:
                        self._fifo.write(frame)
                    except ValueError:
                        yield from self._drain()
                        self._take(frame)
                        self._fifo.write(frame)
                size = packet.size
                if size:
                    sound_bytes += size
                    sound_packets += 1
                    if log:
                        log.position.append(-1 if packet.pos is None else packet.pos + offset)
                        log.size.append(size)
                        log.samples.append(decoded)
                ready += decoded
                if ready >= self._lump:
                    ready = 0
                    while self._fifo.samples >= self._lump:
                        yield from self._convert(self._fifo.read(self._lump))
        except Broken:
            self.broken = True
        yield from self._drain()

    @property
    def seconds(self) -> float:
        """How much was decoded so far."""
        return self.samples / self.out_rate if self.out_rate else 0.0

    @property
    def lost(self) -> Span | None:
        """What is missing at the end, by a header that can be believed; None where nothing is."""
        declared = self._declared()
        if declared is None or declared - self.seconds <= _tolerance(declared):
            return None
        return Span(start=self.seconds, end=declared)

    @property
    def sound(self) -> bool:
        """Nothing is wrong with the file: any reader will hear what we heard."""
        told = self.container != "wav" if self._declared() is None else self._as_declared()
        whole = self.uniform and all(body.as_it_came for body in self.bodies)
        return told and whole and not (self.broken or self.holes or self.skipped_seconds)

    def _declared(self) -> float | None:
        if self.container in CLAIMING:
            return self._claimed()
        if self.container == "mp3" and self.packets.position and self.uniform:
            tag = declared_mp3(self.path, self.packets.position[0])
            return (tag[0] * max(self.packets.samples) - tag[1]) / self.sample_rate if tag else None
        if self.container == "asf":  # FFmpeg drops the header's length when the file is shorter than it says
            return None if self.has_video else declared_asf(self.path)
        if self.container == "aiff" and self.codec == "gsm":  # FFmpeg takes its samples for packets
            return None
        return self.declared_seconds if self.container.split(",")[0] in DECLARING else None

    def _claimed(self) -> float | None:
        """By the bytes that are claimed and those that are there; None where no bytes are claimed."""
        claimed = there = 0
        for body in self.bodies:
            if body.claim is None or body.claim.size is None:
                return None
            size = body.claim.size if body.sound_bytes is None else body.sound_bytes
            claimed += size
            there += min(size, body.end - body.claim.start)
        return self.seconds * claimed / there if there else None

    def _as_declared(self) -> bool:
        """Whether just as much was decoded as a header says that can be believed."""
        declared = self._declared()
        return declared is not None and abs(declared - self.seconds) <= _tolerance(declared)

    def missing(self) -> tuple[Span, ...]:
        """Where the recording could not be decoded; a lost frame or two are not worth a word."""
        holes = [hole for hole in _joined(self.holes) if hole.seconds >= WORTH_SECONDS]
        end = self.lost
        if self.broken and end is None and not self._as_declared():  # how much more there was, nobody knows
            end = Span(start=self.seconds, end=max(self.seconds, self.declared_seconds or 0.0))
        return (*holes, end) if end else tuple(holes)

    def _introduce(self, container: InputContainer, stream: AudioStream) -> None:
        self.container = container.format.name
        self.codec = stream.codec_context.codec.canonical_name
        self.has_video = any(not _is_cover(video) for video in container.streams.video)
        whole = (container.duration or 0) / 1_000_000
        if stream.duration and stream.time_base:
            self.declared_seconds = float(stream.duration * stream.time_base)
        elif whole and not self.has_video and self.track is None:
            self.declared_seconds = whole
        self.claimed_seconds = max(whole, self.declared_seconds or 0.0)

    def _take(self, frame: AudioFrame) -> None:
        channels, rate = frame.layout.nb_channels, frame.sample_rate
        if not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
            raise NotAudio(f"a sample rate of {rate} Hz")
        if not 1 <= channels <= MAX_CHANNELS:
            raise NotAudio(f"{channels} channels")
        if not self.out_rate:
            self.channels, self.sample_rate = channels, rate
            self.out_rate = self.wanted_rate or heard_rate(rate)
            self.out_channels = 2 if channels == 2 and self.mix == "channels" else 1
        self.uniform = self.uniform and (channels, rate) == (self.channels, self.sample_rate)
        self._lump, self._width = LUMP_SECONDS * rate, channels
        self._resampler = AudioResampler(
            format="s16p",
            layout="stereo" if self.out_channels == 2 or self.mix == "left" else "mono",
            rate=self.out_rate,
        )

    def _convert(self, frame: AudioFrame | None) -> Iterator[tuple[bytes, ...]]:
        assert self._resampler
        second = self.out_rate // 50 * 50
        for block in self._resampler.resample(frame):
            planes = [memoryview(plane) for plane in block.planes[: self.out_channels]]
            for at in range(0, block.samples, second):
                samples = min(second, block.samples - at)
                self._count(samples)
                yield tuple(bytes(plane[2 * at : 2 * (at + samples)]) for plane in planes)

    def _drain(self) -> Iterator[tuple[bytes, ...]]:
        if self._resampler is None:
            return
        if self._fifo.samples:
            yield from self._convert(self._fifo.read())
        yield from self._convert(None)
        self._fifo, self._resampler, self._width = av.AudioFifo(), None, 0

    def _count(self, samples: int) -> None:
        self.samples += samples
        if self.max_seconds is not None and self.seconds > self.max_seconds:
            raise TooLong(f"longer than {self.max_seconds:.0f} s")

    def _skipped(self, frame: AudioFrame) -> float:
        """Seconds that the frames' own times leave out before this one.

        Demuxers drop damaged pages and clusters without a word, and recorders write nothing while they are
        paused: only the times tell. They are compared with all that was heard, not with the frame before:
        times that waver then add nothing.
        """
        skipped, time = 0.0, frame.time
        if time is not None:
            behind = 0.0 if self._began is None else time - self._began - self._heard
            if WORTH_SECONDS <= behind <= MAX_SKIPPED_SECONDS - self.skipped_seconds:
                skipped = behind
                self.skipped_seconds += behind
            elif self._began is None or abs(behind) >= JUMP_SECONDS:
                self._began = time - self._heard
        self._heard += frame.samples / max(frame.sample_rate, 1)  # a rate of none is refused later
        return skipped

    def _hole(self, packet: Packet[AudioStream], usual: float) -> Iterator[tuple[bytes, ...]]:
        if not (packet.duration and packet.time_base and self.out_rate):
            return
        if packet.size < usual / 2 and self.container.split(",")[0] not in DATED:
            return  # a byte or two behind the last frame: nobody's sound
        seconds = float(packet.duration * packet.time_base)
        if self.container in RAW and usual:  # there, all that lies between two frames is one packet
            seconds *= max(1.0, packet.size / usual)
        yield from self._silence(min(seconds, MAX_HOLE_SECONDS), is_hole=True)

    def _silence(self, seconds: float, *, is_hole: bool) -> Iterator[tuple[bytes, ...]]:
        start = self.seconds
        self._heard += seconds
        left = round(seconds * self.out_rate)
        while left:
            samples = min(left, self.out_rate)
            left -= samples
            self._count(samples)
            yield (bytes(samples * 2),) * self.out_channels
        if is_hole:
            self.holes.append(Span(start=start, end=self.seconds))


def _tolerance(declared: float) -> float:
    return max(0.25, declared * 0.001)


def _is_tag(packet: Packet[AudioStream]) -> bool:
    """Whether what did not decode is a tag between two recordings that were joined."""
    return bytes(memoryview(packet)[:3]) in (b"ID3", b"TAG", b"APE")


def _is_cover(video: Stream) -> bool:
    return Disposition.attached_pic in video.disposition


def _joined(spans: list[Span]) -> list[Span]:
    found: list[Span] = []
    for span in spans:
        if found and span.start - found[-1].end < WORTH_SECONDS:
            found[-1] = Span(start=found[-1].start, end=max(found[-1].end, span.end))
        else:
            found.append(span)
    return found
