"""What a job is: what was asked, what is known, what became of it.

Frozen, keyword-only, free of I/O, as all of the domain. Moments are unix seconds (UTC) by the store's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal, NewType

from pipeline.domain.kinds import WORK

JobId = NewType("JobId", str)  # job_ and 26 letters and digits
PortalId = NewType("PortalId", str)
Step = NewType("Step", str)  # "fetch", "transcribe:3", ...


# of a request, by steps of recordings
UNREAD = frozenset({"role", "context", "payload_provider", "payload_raw", "markers"})


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

    def ended(self) -> Request:
        """What is left of it when its job has ended: signed links, prompts and data of people go."""
        return replace(self, file_url=None, prompt=None, role=None, context=(), markers={}, payload_raw=None)

    def needed(self, category: Category) -> dict[str, Any]:
        """What is set of it, by name, without what no step of that category reads."""
        unread = UNREAD if category.spoken else ()
        return {
            name: value
            for name, value in vars(self).items()
            if value is not None and value != () and name not in unread
        }


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A chat model's answer.

    is_cut: it reached a limit of length, so its end is missing (`text` may then be empty). model: as the
    answer names it; asked: the name under which it was asked.
    """

    text: str
    is_cut: bool = False
    model: str | None = None
    asked: str | None = None
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
    hint: str = field(default="", metadata={"was": "mend"})  # what the operator can do about it


@dataclass(frozen=True, kw_only=True)
class About:
    """Who spoke, and about what, as the CRM tells it; moments are unix seconds."""

    manager_id: str | None = None
    manager: str | None = None
    client: str | None = None
    phone: str | None = None  # the client's
    direction: Literal["in", "out"] | None = None
    started_at: float | None = None
    entity: Entity | None = None  # whose title that is
    title: str | None = None


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Whether the score stands in the CRM: a fact apart from the job's outcome.

    about: what was learned of the call on the way; it makes no difference to where the score stands.
    """

    state: Literal["off", "waiting", "written", "unlinked", "failed"]
    entity: Entity | None = None
    activity_id: int | None = None
    why: str | None = None
    about: About | None = field(default=None, compare=False, repr=False)


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
class Attempts:
    """What was tried of a step: how often it was begun, its worker died, a paid answer was lost."""

    begun: int = 0
    lost: int = 0
    ambiguous: int = 0


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
    attempts: Mapping[str, Attempts] = field(default_factory=dict)  # step -> what was tried of it
    held_since: float | None = None  # since when the provider refuses the account

    def attempts_at(self, step: str) -> Attempts:
        """What was tried of one step."""
        return self.attempts.get(step, Attempts())

    @property
    def ttl(self) -> float:
        return self.deadline - self.accepted_at

    @property
    def reserve(self) -> float:
        """Seconds before the deadline in which nothing is paid any more and the outcome is sent."""
        return min(max(self.ttl * 0.1, 5.0), 120.0)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One step that a worker holds for a while; record: its job's fields as they stood at the claim."""

    job: JobId
    step: Step
    queue: str
    portal: PortalId
    fence: str
    attempt: int
    lost: int
    deadline: float
    record: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Due:
    """A step that the flow wants done; at 0 is at once."""

    step: Step
    queue: str
    at: float = 0.0
    expedite: bool = False  # may be moved earlier when it waits already
    urgency: int = WORK
