"""What the archive holds and answers: calls, verdicts of people, pages. Frozen, free of I/O.

Moments are unix seconds (UTC); times inside a recording are seconds from its start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from pipeline.domain.job import Category, Entity, JobId, PortalId, Source
from pipeline.domain.lead import Criterion, Quality
from pipeline.domain.recording import Span
from pipeline.domain.transcript import Segment, Speaker

Direction = Literal["in", "out"]
State = Literal["done", "failed", "undelivered"]
WEEK_SECONDS = 7 * 86_400
# what a call may lack: each is something that a person can do about it
Lack = Literal["failed", "undelivered", "unscored", "unlinked", "unwritten", "partial"]
LACKS: tuple[Lack, ...] = get_args(Lack)  # the first in need of somebody first


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Something that a call lacks, and why, in words."""

    kind: Lack
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a person said of a call: of its score, or of one criterion.

    score and band: what the call is worth by it, where it is worth anything else than before.
    """

    at: float
    who: str
    why: str
    criterion: str | None = None  # None: the score
    met: bool | None = None
    score: int | None = None
    band: Quality | None = None


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call as it is archived: what was found out, and what is known of it in the CRM.

    score and band are what holds: a person's verdict where there is one, else the machine's, which stays
    beside it. speakers: who is on each channel of a recording of two, where that is known. talk: seconds that
    the manager and the client talk; by channel where nobody has a role. levels: per channel, how loud it is
    over the recording, 0 to 100, some 1,000 points.
    """

    id: JobId
    portal: PortalId
    category: Category
    source: Source
    state: State
    started_at: float
    accepted_at: float
    seconds: float | None = None
    language: str | None = None
    quality: Literal["good", "fair", "poor"] | None = None
    order: Literal["exact", "approximate"] | None = None
    manager_id: str | None = None
    manager: str | None = None
    client: str | None = None
    phone: str | None = None
    direction: Direction | None = None
    entity: Entity | None = None
    entity_title: str | None = None
    entity_url: str | None = None
    activity_id: int | None = None
    speakers: tuple[Speaker, ...] = ()
    talk: tuple[float, ...] = ()
    silence: float | None = None
    score: int | None = None
    band: Quality | None = None
    machine_score: int | None = None
    machine_band: Quality | None = None
    reason: str = ""
    criteria: tuple[Criterion, ...] = ()
    segments: tuple[Segment, ...] = ()
    missing: tuple[Span, ...] = ()
    empty_spans: tuple[Span, ...] = ()
    gaps: tuple[Gap, ...] = ()
    error: str | None = None
    transcription_seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    levels: tuple[tuple[int, ...], ...] = ()
    audio: str | None = None  # the kept copy on the audio storage
    audio_bytes: int | None = None
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which calls: all that are named have to hold. since and until are moments, until is not included."""

    q: str | None = None  # words that were said, a phone, a deal
    phones: bool = True  # whether `q` may find a phone: for who does not see them, that would tell them
    since: float | None = None
    until: float | None = None
    manager: str | None = None  # id or name
    band: Quality | Literal["none"] | None = None
    state: State | Lack | None = None
    why: str | None = None  # that something is lacking, word for word
    portal: str | None = None
    category: str | None = None


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some calls, newest first, without their segments, and where the next ones begin."""

    calls: tuple[Call, ...]
    next: str | None = None


@dataclass(frozen=True, kw_only=True)
class Audited:
    """Who did what with a call, and when."""

    at: float
    who: str
    what: str
    call: str | None = None
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Week:
    """A manager's week: when it began, calls, and the mean of those that were scored."""

    begins_at: float
    calls: int
    score: float | None


@dataclass(frozen=True, kw_only=True)
class Member:
    """A manager's calls in a stretch of time. met: criterion -> share of the calls in which it holds."""

    manager_id: str | None
    manager: str | None
    calls: int
    score: float | None
    talk_share: float | None  # of what both speakers said
    met: dict[str, float] = field(default_factory=dict)
    weeks: tuple[Week, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far people and the machine agree on one criterion, or on the score's band.

    kappa: Cohen's; 1 = always, 0 = as by chance; None where it cannot be told (all are of one kind).
    low, high: its 95 % interval. few: too few verdicts to rely on.
    """

    name: str | None  # None: the band of the score
    pairs: int
    agreed: float  # share
    kappa: float | None
    low: float | None
    high: float | None
    few: bool
