"""The words of the trade: what a job, a recording, a chunk, a transcript and a lead are.

Frozen, keyword-only, free of I/O. Times inside a recording are float seconds from its start; moments
are unix seconds (UTC) by the store's clock. `to_plain` and `from_plain` turn any of them into what
JSON can hold and back.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any, Literal, NewType, TypeVar, get_args, get_origin, get_type_hints

JobId = NewType("JobId", str)  # job_ and 26 letters and digits
PortalId = NewType("PortalId", str)
Step = NewType("Step", str)  # "fetch", "transcribe:3", ...

Speaker = Literal["manager", "client", "speaker_1", "speaker_2"]
Quality = Literal["high", "medium", "low"]


class Category(StrEnum):
    """What a portal asks an engine for; each has an engine of its own."""

    AUDIO = "audio"
    CALL = "call"
    TEXT = "text"
    IMAGE = "image"

    @property
    def spoken(self) -> bool:
        """True where the request carries a recording."""
        return self in (Category.AUDIO, Category.CALL)


class Source(StrEnum):
    """By which way a job came."""

    ENGINE = "engine"  # POST /engines/{token}/{category}
    API = "api"  # POST /v1/calls
    EVENT = "event"  # POST /events/{token}, or the reconciliation poll


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of the recording, seconds; start <= end."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, kw_only=True)
class Entity:
    """A CRM entity, as the timeline names it: deal, lead, contact, company, ... and its id."""

    type: str
    id: int


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn of a chat: role is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for, read from the wire; secrets in it (signed URLs) go when the job ends."""

    file_url: str | None = None  # the recording
    upload: str | None = None  # blob key of a recording that was uploaded instead
    mime_hint: str | None = None  # what the sender believes it is; may lie
    prompt: str | None = None  # text or image prompt; for a recording a hint for the recogniser
    role: str | None = None  # system message of a text request
    context: tuple[Message, ...] = ()  # earlier turns, only when they are wanted
    language: str | None = None  # ISO 639-1
    max_tokens: int | None = None
    temperature: float | None = None
    image_format: str | None = None  # square, portrait, landscape
    image_style: str | None = None
    images_number: int = 1
    payload_provider: str | None = None
    payload_raw: str | None = None
    markers: dict[str, Any] = field(default_factory=dict)
    callback_url: str | None = None
    error_callback_url: str | None = None
    entity: Entity | None = None  # where the score goes, when the sender knows
    activity_id: int | None = None  # the CRM call activity, when the sender knows
    call_id: str | None = None  # the telephony call, when the sender knows


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a recording is to be heard: all that makes its paid calls the same calls, whichever job makes them.

    language: ISO 639-1, as it was asked for. hint: digest of the words that are expected. timestamps: whether
    the model is known to give them, by which it is cut.
    """

    language: str | None
    hint: str
    timestamps: bool


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A recording on our storage."""

    blob: str
    size_bytes: int
    sha256: str
    content_type: str | None = None


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


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """One upload to the recogniser: a stretch of one side (or of all sides mixed) of the recording."""

    id: str  # "0", "1", ...; halves of "3" are "3a" and "3b"
    channel: int | None  # 0 left, 1 right, None: mono or mixed
    span: Span
    blob: str  # where its bytes lie
    filename: str  # canonical, since providers judge the name: "chunk-003.flac"
    content_type: str
    size_bytes: int
    sounding_seconds: float  # how much of it is above the absolute floor; 0 is never sent


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a recording was cut: stored, so that cutting again gives the same chunks."""

    seconds: float  # decoded length of the recording
    sides: int  # 1, or 2 where each channel is a party of its own
    chunks: tuple[Chunk, ...]
    order: Literal["exact", "approximate"] = "exact"
    missing: tuple[Span, ...] = ()  # what could not be decoded
    talk: tuple[tuple[Span, ...], ...] = ()  # per side: where it sounds


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A segment as the recogniser gave it; seconds from the chunk's start."""

    start: float
    end: float
    text: str
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """The recogniser's answer for one chunk, read but not yet judged."""

    text: str
    language: str | None = None
    segments: tuple[Heard, ...] = ()  # empty when the model gives no timestamps
    model: str | None = None
    paid_seconds: float = 0.0


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


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One criterion of the rubric as the model judged it."""

    name: str
    met: bool
    weight: float
    quote: str | None = None
    at: float | None = None  # seconds from the recording's start
    explanation: str = ""


@dataclass(frozen=True, kw_only=True)
class Lead:
    """What the call is worth: 0-100, and its band."""

    quality: Quality
    score: int
    reason: str
    criteria: tuple[Criterion, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A chat model's answer."""

    text: str
    model: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One attempt to send the outcome; `status` is the HTTP status, None when no answer came."""

    at: float
    kind: Literal["success", "error"]
    status: int | None
    answer: str
    accepted: bool
    unknown: bool = False  # it was sent whole and no answer of the portal came: it may have been taken


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a job has no result; a fact like any other."""

    slug: str
    code: int
    message: str
    step: Step
    mend: str = ""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Whether the score stands in the CRM: a fact apart from the job's outcome."""

    state: Literal["off", "waiting", "written", "unlinked", "failed"]
    entity: Entity | None = None
    activity_id: int | None = None
    why: str | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something happened to a job: one list feeds the console, the logs and the tests."""

    at: float
    step: Step
    what: str  # started, done, deferred, failed, lost, ...
    took: float | None = None  # seconds
    attempt: int = 1
    why: str | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """The record of a job, as the store holds it."""

    id: JobId
    portal: PortalId
    category: Category
    source: Source
    accepted_at: float
    deadline: float  # after it the portal refuses an error callback
    request: Request
    digest: str = ""  # sha256 of the body that made the job
    status: str = "accepted"  # accepted, running, done, failed
    rev: str = "1"  # changes with every transition
    facts: Mapping[str, Any] = field(default_factory=dict)  # step -> its plain result
    tries: Mapping[str, int] = field(default_factory=dict)  # step -> how often it was begun
    lost: Mapping[str, int] = field(default_factory=dict)  # step -> how often its worker died
    doubts: Mapping[str, int] = field(default_factory=dict)  # step -> paid calls whose answer was lost
    held_since: float | None = None  # since when the provider refuses the account

    @property
    def ttl(self) -> float:
        return self.deadline - self.accepted_at

    @property
    def reserve(self) -> float:
        """Seconds before the deadline in which nothing is paid any more and the outcome is sent."""
        return min(max(self.ttl * 0.1, 5.0), 120.0)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One step that a worker holds for a while."""

    job: JobId
    step: Step
    queue: str
    portal: PortalId
    fence: str
    attempt: int
    lost: int
    deadline: float


@dataclass(frozen=True, kw_only=True)
class Due:
    """A step that the flow wants done; at 0 is at once."""

    step: Step
    queue: str
    at: float = 0.0
    hasten: bool = False  # may be moved earlier when it waits already


T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Dataclasses, tuples and enums as dicts, lists and strings, ready for JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, StrEnum):
        return value.value
    return value


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def from_plain(cls: type[T], plain: Any) -> T:
    """The inverse of `to_plain` for one of the classes above; unknown keys are ignored."""
    hints = _hints(cls)  # type: ignore[arg-type]
    names = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return cls(**{key: _read(hints[key], item) for key, item in plain.items() if key in names})


def _read(hint: Any, plain: Any) -> Any:
    origin = get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if plain is None:
            return None
        return _read(next(arg for arg in get_args(hint) if arg is not type(None)), plain)
    if origin is tuple:
        return tuple(_read(get_args(hint)[0], item) for item in plain)
    if isinstance(hint, type):
        if dataclasses.is_dataclass(hint):
            return from_plain(hint, plain)
        if issubclass(hint, StrEnum):
            return hint(plain)
        if hint is float and plain is not None:
            return float(plain)
    return plain
