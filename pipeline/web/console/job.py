"""/jobs/{id}: what happened to a job, drawn; why it waits, and what can be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from pipeline.domain.errors import UnknownJob
from pipeline.domain.job import Event, Job, JobId, Step
from pipeline.domain.kinds import KINDS, kind_of
from pipeline.domain.recording import Chunk
from pipeline.run.views import job_view
from pipeline.steps import flow
from pipeline.store.records import readable
from pipeline.web.auth import Role
from pipeline.web.console.drawing import steps
from pipeline.web.console.twins import Rows
from pipeline.web.console.under_way import ENDED
from pipeline.web.console.view import View
from pipeline.web.jobs import job_id

ACTIVE_SECONDS, CALM_SECONDS = 2.0, 15.0  # between two looks of a page


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One upload to the recogniser. attempts: how often it was begun; text: None while no answer came."""

    chunk: Chunk
    attempts: int
    lost: int
    paid_seconds: float | None
    model: str | None
    text: str | None


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A step that is not done: since its last attempt, why, and when it is tried next (0: it is its turn)."""

    step: Step
    at: float
    why: str | None
    doing: str


async def shown(view: View) -> Response:
    """GET /jobs/{id}."""
    key = job_id(view.request)
    try:
        all_of = await view.blocking(_all_of, view, key)
    except UnknownJob:
        if await view.archived(lambda archive: archive.call(key)) is None:
            raise
        return view.page("job_gone.html", id=key)
    told, left = all_of["told"], all_of["left"]
    return view.page(
        "job.html", live=CALM_SECONDS if told.status in ENDED and not left else ACTIVE_SECONDS, **all_of
    )


async def rows(view: View, cursor: str | None) -> Rows:
    """The same for machines: the job as /v1 has it as JSON, its events as CSV."""
    all_of = await view.blocking(_all_of, view, job_id(view.request))
    told = all_of["told"].model_dump(mode="json")
    if not all_of["reads"]:
        told |= {"reply": None, "images": None}
    return Rows(name=f"job-{told['id']}", rows=told["events"], whole=told)


def _all_of(view: View, key: JobId) -> dict[str, Any]:
    """What its template shows; a call of hours has thousands of sentences, so not on the loop."""
    store = view.service.tools.store
    job, events, deliveries = store.load(key), store.events(key), store.deliveries(key)
    due = store.waiting(key)
    with readable(key):
        told, left = job_view(job, events, deliveries, due), waiting(due, events)
        return {
            "job": job,
            "told": told,
            "picture": steps(events),
            "events": events,
            "deliveries": deliveries,
            "pieces": pieces(job),
            "left": left,
            "media": told.media,
            "retryable": job.status == "failed" or bool(told.lacks) or any(each.at for each in left),
            # what a portal asked in writing is for operators
            "reads": view.person is not None and (job.category.spoken or view.person.role >= Role.OPERATE),
            "outcome": told.reply,
        }


def pieces(job: Job) -> list[Piece]:
    """The uploads of a recording, each with what came of it."""
    answers = flow.parts(job)
    found = []
    for chunk in flow.pieces(job):
        tried, answer = job.attempts_at(f"transcribe:{chunk.id}"), answers.get(chunk.id)
        found.append(
            Piece(
                chunk=chunk,
                attempts=tried.begun,
                lost=tried.lost,
                paid_seconds=answer.paid_seconds if answer else None,
                model=answer.model if answer else None,
                text=answer.text if answer else None,
            )
        )
    return found


def waiting(due: dict[Step, float], events: list[Event]) -> list[Waiting]:
    """What is not done yet, in words; the end of the job's time is nothing that it waits for."""
    last = {event.step: event.why for event in events if event.why}
    return [
        Waiting(step=step, at=at, why=last.get(step), doing=KINDS[kind_of(step)].doing)
        for step, at in sorted(due.items(), key=lambda item: (item[1], item[0]))
        if kind_of(step) in KINDS and kind_of(step) != "expire"
    ]
