"""What a recording is and how it is cut. Times are float seconds from its start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of the recording, seconds; start <= end."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, kw_only=True)
class RecognitionOptions:
    """How a recording is to be heard: all that makes its paid calls the same calls, whichever job makes them.

    language: ISO 639-1, as it was asked for. hint: digest of the words that are expected.
    """

    language: str | None
    hint: str


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A recording on our storage.

    parts: where a call has several recordings, their blobs in order; `blob` is then where they lie joined,
    and size and sha256 are those of all of them. likely_seconds: its length by its size and what its header
    says of uncompressed sound, for the order of work and nothing else; None: nobody looked.
    """

    blob: str
    size_bytes: int
    sha256: str
    content_type: str | None = None
    parts: tuple[str, ...] = ()
    likely_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Media:
    """What a recording really is, found by decoding, whatever its name says."""

    container: str  # FFmpeg's demuxer: "wav", "mp3", "ogg", "mov,mp4,m4a,3gp,3g2,mj2", ...
    codec: str  # FFmpeg's decoder: "pcm_alaw", "mp3float" is reported as "mp3", ...
    channels: int
    sample_rate: int
    size_bytes: int
    sha256: str
    seconds: float | None = None  # decoded length; unknown until the recording was decoded whole
    missing: tuple[Span, ...] = ()  # of several recordings, what did not decode before they were joined


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What of the recording stands in an upload, from `at` seconds of it on."""

    at: float
    span: Span


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """One upload to the recogniser: stretches of one channel (or of all channels mixed) of the recording."""

    id: str  # "0", "1", ...; halves of "3" are "3a" and "3b"
    channel: int | None  # 0 left, 1 right, None: mono or mixed
    span: Span
    blob: str  # where its bytes lie
    filename: str  # canonical, since providers judge the name: "chunk-003.flac"
    content_type: str
    size_bytes: int
    sounding_seconds: float  # how much of it is above the absolute floor; 0 is never sent
    stretches: tuple[Stretch, ...] = ()  # what stands where in it, ascending; none: the span as it is

    @property
    def placed(self) -> tuple[Stretch, ...]:
        """What of the recording stands where in the upload, ascending."""
        return self.stretches or (Stretch(at=0.0, span=self.span),)

    @property
    def seconds(self) -> float:
        """How long the upload is."""
        last = self.placed[-1]
        return last.at + last.span.seconds


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a recording was cut: stored, so that cutting again gives the same chunks."""

    seconds: float  # decoded length of the recording
    channels: int = field(metadata={"was": "sides"})  # 1, or 2 where each channel is a speaker of its own
    chunks: tuple[Chunk, ...]
    order: Literal["exact", "approximate"] = "exact"
    missing: tuple[Span, ...] = ()  # what could not be decoded
    talk: tuple[tuple[Span, ...], ...] = ()  # per channel: where its speaker talks
    levels: tuple[tuple[int, ...], ...] = ()  # of two channels: how loud each of these is, 16 bit scale
    above_noise: tuple[float, ...] = ()  # per channel: its speech above what sounds all the time, dB
