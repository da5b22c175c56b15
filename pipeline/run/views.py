"""A job as outsiders see it: one shape for `/v1/jobs`, its OpenAPI and `callscribe jobs`, without secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from pipeline.archive.calls import Verdict
from pipeline.contract.sinks import to_reader
from pipeline.domain.errors import UnreadableRecord
from pipeline.domain.job import (
    About,
    Category,
    Delivery,
    Entity,
    Event,
    Failure,
    Job,
    JobId,
    PortalId,
    Source,
    Step,
)
from pipeline.domain.kinds import kind_of
from pipeline.domain.lead import Lead, Quality
from pipeline.domain.plain import from_plain
from pipeline.domain.recording import Media
from pipeline.domain.transcript import Transcript
from pipeline.steps import flow, scores
from pipeline.steps.archived import used
from pipeline.store import salvaged
from pipeline.store.records import read_job
from pipeline.telemetry.logs import REDACTOR

Row = tuple[JobId, float, dict[str, str]]  # as the store's pages have it

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Status = Literal["accepted", "running", "done", "failed"]
Lack = Literal["score", "deal", "entry"]


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TimelineView(_View):
    """Whether the score stands in the CRM, and where."""

    state: Literal["off", "waiting", "written", "unlinked", "failed"]
    entity: Entity | None
    activity_id: int | None
    why: str | None


class JobRow(_View):
    """A job as a line of a list."""

    id: str
    portal: str
    category: Category
    source: Source
    status: Status
    accepted_at: Moment
    deadline: Moment
    held_since: Moment | None = Field(
        description="Since when it waits for the provider to take the account again."
    )
    lead: Lead | None
    timeline: TimelineView
    error: Failure | None
    lacks: list[Lack] = Field(
        description="What could not be had although the job is done; retry does it again."
    )
    is_readable: bool = Field(description="False: this version cannot read the whole record.")


class JobRows(_View):
    """Jobs, newest first; `next` is the cursor of the page that follows."""

    jobs: list[JobRow]
    next: str | None


class Progress(_View):
    """How many parts of a recording are recognised."""

    parts_done: int
    parts_total: int


class MediaView(_View):
    """What a recording really is."""

    codec: str
    container: str
    seconds: float | None
    channels: int
    sample_rate: int
    bytes: int
    sha256: str


class Usage(_View):
    """What the job's paid calls used."""

    transcription_seconds: float
    prompt_tokens: int
    completion_tokens: int


class DeliveryView(_View):
    """One attempt to send the outcome; without a status, `answer` says why none came."""

    at: Moment
    kind: Literal["success", "error"]
    status: int | None
    answer: str
    accepted: bool


class EventView(_View):
    """Something that happened to the job; took: seconds."""

    at: Moment
    step: str
    what: str
    took: float | None
    attempt: int
    why: str | None


class VerdictView(_View):
    """What a person said of the score: of all of it, or of one criterion."""

    at: Moment
    who: str
    why: str
    criterion: str | None
    met: bool | None
    score: int | None
    quality: Quality | None


class JobView(JobRow):
    """A job with all that is known about it; times inside the recording are float seconds."""

    progress: Progress
    media: MediaView | None
    transcript: Transcript | None
    verdicts: list[VerdictView] = Field(description="What people said of the lead, the oldest first.")
    corrected: Lead | None = Field(description="The lead as people corrected it; null where nobody did.")
    about: About | None = Field(description="Who spoke, as the CRM tells it.")
    reply: str | None
    call: str | None
    images: list[str] | None
    usage: Usage
    deliveries: list[DeliveryView]
    events: list[EventView]
    next_attempts: dict[str, Moment] = Field(description="Steps that were put off, and until when.")
    stored: dict[str, str] | None = Field(
        description="Where it cannot be read: its fields as they are stored, without secrets."
    )


def moment(at: float) -> str:
    """Unix seconds as RFC 3339, UTC, milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def job_row(row: Row) -> JobRow:
    """A job as a line of a list; what cannot be read of it is guessed, and said to be."""
    key, accepted_at, fields = row
    status = fields.get("status", "failed")
    stands = status if status in get_args(Status) else "failed"
    try:
        job = read_job(key, fields)
        view = JobRow(**_row(job) | {"status": stands, "accepted_at": moment(accepted_at)})
        return JobRow.model_validate(to_reader(view.model_dump(mode="json"), spoken=job.category.spoken))
    except Exception:
        job = salvaged(key, fields, portal=PortalId(""), deadline=accepted_at)
    return JobRow(
        id=key,
        portal=job.portal,
        category=job.category,
        source=job.source,
        status=stands,
        accepted_at=moment(accepted_at),
        deadline=moment(job.deadline),
        held_since=None,
        lead=None,
        timeline=TimelineView(state="off", entity=None, activity_id=None, why=None),
        error=None,
        lacks=[],
        is_readable=False,
    )


def _row(job: Job) -> dict[str, Any]:
    failure = flow.error(job)
    if failure:  # a mend is to be typed as it stands
        failure = replace(failure, hint=failure.hint.replace(" ID`", f" {job.id}`"))
    return {
        "id": job.id,
        "portal": job.portal,
        "category": job.category,
        "source": job.source,
        "status": job.status,
        "accepted_at": moment(job.accepted_at),
        "deadline": moment(job.deadline),
        "held_since": moment(job.held_since) if job.held_since is not None else None,
        "lead": scores.lead(job),
        "timeline": _timeline(job),
        "error": failure,
        "lacks": list(flow.lacks(job)),
        "is_readable": True,
    }


def words_of(row: JobRow) -> str:
    """What a list says of a job beside its status."""
    if not row.is_readable:
        return "cannot be read"
    held = [f"held since {row.held_since}"] if row.held_since else []
    failed = [row.error.slug] if row.error else []
    return ", ".join([*held, *failed, *(f"no {lack}" for lack in row.lacks)])


def view_of(
    key: JobId,
    raw: Mapping[str, str],
    events: Iterable[Event],
    deliveries: Iterable[Delivery],
    waiting: Mapping[Step, float] | None = None,
) -> JobView:
    """A job by its stored fields; of a record that cannot be read what can, and all as it is stored."""
    try:
        return job_view(read_job(key, raw), events, deliveries, waiting)
    except Exception as broken:
        job = salvaged(key, raw, portal=PortalId(""), deadline=0.0)
        said = job_view(job, events, deliveries, waiting)
        error = broken if isinstance(broken, UnreadableRecord) else UnreadableRecord()
        failure = Failure(
            slug=error.slug, code=error.code, message=error.message, step=Step("record"), hint=error.hint
        )
        changes = {
            "status": raw["status"] if raw.get("status") in get_args(Status) else "failed",
            "is_readable": False,
            "error": failure,
            "stored": to_reader(REDACTOR.any(dict(raw)), spoken=job.category.spoken),
        }
        return said.model_copy(update=changes)


def job_view(
    job: Job,
    events: Iterable[Event],
    deliveries: Iterable[Delivery],
    waiting: Mapping[Step, float] | None = None,
) -> JobView:
    """A job with all that is known about it; waiting: as the store has it.

    What outsiders said, answered and sent is plain text in it.
    """
    done, parts = flow.progress(job)
    view = JobView(
        **_row(job),
        progress=Progress(parts_done=done, parts_total=parts),
        media=_media(job),
        transcript=flow.transcript(job),
        verdicts=[_verdict(said) for said in scores.verdicts(job)],
        corrected=scores.corrected(job) if scores.verdicts(job) else None,
        about=flow.about(job),
        reply=(job.facts.get("reply") or {}).get("text"),
        call=flow.call(job),
        images=(job.facts.get("draw") or {}).get("urls"),
        usage=Usage(**used(job)),
        deliveries=[
            DeliveryView(
                at=moment(item.at),
                kind=item.kind,
                status=item.status,
                answer=item.answer,
                accepted=item.accepted,
            )
            for item in deliveries
        ],
        events=[
            EventView(
                at=moment(item.at),
                step=item.step,
                what=item.what,
                took=item.took,
                attempt=item.attempt,
                why=item.why,
            )
            for item in events
        ],
        next_attempts={
            step: moment(at) for step, at in (waiting or {}).items() if at and kind_of(step) != "expire"
        },
        stored=None,
    )
    return JobView.model_validate(to_reader(view.model_dump(mode="json"), spoken=job.category.spoken))


def _timeline(job: Job) -> TimelineView:
    stands = flow.timeline(job)
    return TimelineView(
        state=stands.state, entity=stands.entity, activity_id=stands.activity_id, why=stands.why
    )


def _verdict(said: Verdict) -> VerdictView:
    return VerdictView(
        at=moment(said.at),
        who=said.who,
        why=said.why,
        criterion=said.criterion,
        met=said.met,
        score=said.score,
        quality=said.band,
    )


def _media(job: Job) -> MediaView | None:
    if "sniff" not in job.facts:
        return None
    media, plan = from_plain(Media, job.facts["sniff"]), flow.plan(job)
    return MediaView(
        codec=media.codec,
        container=media.container,
        seconds=plan.seconds if plan else media.seconds,
        channels=media.channels,
        sample_rate=media.sample_rate,
        bytes=media.size_bytes,
        sha256=media.sha256,
    )
