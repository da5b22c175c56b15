"""What a recogniser answers, and who said what. Times are float seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pipeline.domain.recording import Span

Speaker = Literal[
    "manager", "client", "speaker_1", "speaker_2", "speaker_3", "speaker_4", "speaker_5", "speaker_6"
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Word:
    """One word as the recogniser gave it; seconds from the chunk's start."""

    sparse: ClassVar = True
    start: float
    end: float
    text: str
    speaker: str | None = None  # as in RawSegment


@dataclass(frozen=True, kw_only=True)
class RawSegment:
    """A segment as the recogniser gave it; seconds from the chunk's start."""

    sparse: ClassVar = True
    start: float
    end: float
    text: str
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    speaker: str | None = None  # the recogniser's own name for who speaks: it means nothing in another answer


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """The recogniser's answer for one chunk, read but not yet judged."""

    sparse: ClassVar = True
    text: str
    language: str | None = None
    segments: tuple[RawSegment, ...] = ()  # empty when the model gives no timestamps
    model: str | None = None
    paid_seconds: float = 0.0
    words: tuple[Word, ...] = ()  # where the model times words
    echoed: bool = False  # it may hold the hint that was sent, instead of speech
    unheard: tuple[Span, ...] = ()  # of the recording: somebody talks, and this answer has no words
    again: bool | None = None  # it cannot be trusted, and is asked for once more; None: not judged


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A stretch of speech of one speaker; seconds from the recording's start."""

    start: float
    end: float
    speaker: Speaker | None
    text: str


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """Who said what, in true order."""

    text: str  # by turns when there are speakers
    language: str | None
    segments: tuple[Segment, ...]
    partial: bool = False
    missing: tuple[Span, ...] = ()
    empty_spans: tuple[Span, ...] = ()  # sounding, yet no words came
    order: Literal["exact", "approximate"] = "exact"
    quality: Literal["good", "fair", "poor"] = "good"  # how far the words can be trusted
