"""What an operator does to a job: have it done again, erase it."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from pipeline.archive.calls import Audited
from pipeline.domain.errors import BadRequest
from pipeline.domain.job import Due, Entity, Event, Job, JobId, Step
from pipeline.domain.kinds import KINDS, kind_of
from pipeline.steps import flow, keeping
from pipeline.steps.paid import breakers
from pipeline.steps.tools import Tools
from pipeline.store import Stale, Transition
from pipeline.store.records import COUNTS, dumps, readable

RETRY_TTL_SECONDS = 3600.0
_AFTERWARDS = set(flow.AFTERWARDS) - {"keep"}  # its recording is gone


def retry_job(
    tools: Tools, job_id: JobId, *, entity: Entity | None = None, anew: bool = False
) -> tuple[Job, tuple[Step, ...]]:
    """Has done what is lacking, from the facts that there are: what was paid for is not paid again.

    A failed job runs again, and its outcome is sent to the same callback, if its time has passed by then
    within another hour. A job that is done gets the score, deal or entry that it lacks. Of a job under way
    the steps that were put off are tried at once. Back-offs and breakers are passed. entity: where its score
    belongs, by a person's word. anew: its score is asked for once more, by the rubric and model of now; an
    entry that is written stays as it is. Returns the job, and its steps that are due now.
    Raises UnknownJob, UnreadableRecord; BadRequest where nothing can be done, and why.
    """
    while True:
        job, now = tools.store.load(job_id), tools.store.now()
        with readable(job_id):
            if entity:
                _check_entity(job, entity)
            again = _score_anew(job) if anew else _to_do_again(job, tools, entity)
        facts = {step: fact for step, fact in job.facts.items() if step not in again}
        ended = job.status in ("failed", "done")
        deadline = max(job.deadline, now + RETRY_TTL_SECONDS) if ended else job.deadline
        request = replace(job.request, entity=entity) if entity else job.request
        after = replace(
            job, facts=facts, deadline=deadline, request=request, attempts={} if ended else job.attempts
        )
        with readable(job_id):
            following = flow.advance(after, now)
        dues = [due if ended else _at_once(due, job) for due in following.dues]
        now_due = tuple(due.step for due in dues if not due.at and kind_of(due.step) not in flow.KEPT)
        if not ended and not any(step in job.attempts for step in now_due):
            raise BadRequest(f"job {job_id} is {job.status}, and nothing of it was put off", field="id")
        _check_material(after)
        try:
            tools.store.finish(
                job,
                Transition(
                    facts={},
                    dues=dues,
                    status="running" if job.status == "failed" else job.status,
                    forget=[f"fact:{step}" for step in again]
                    + [f"{kind}:{step}" for kind in COUNTS for step in job.attempts]
                    + ["held_since"],
                    fields={"deadline": f"{deadline:.6f}", "request": dumps(request)},
                    events=(Event(at=now, step=Step("retry"), what="retried"),),
                    reopened=ended,
                ),
                claim=None,
            )
        except Stale:
            continue
        for breaker in _breakers(job, tools):
            tools.store.breakers.passed(breaker)
        return tools.store.load(job_id), now_due


def _to_do_again(job: Job, tools: Tools, entity: Entity | None) -> list[str]:
    """The facts that stand in the way of what is wanted: never an entry that is written."""
    if job.status == "failed":
        return _failed_again(job, tools)
    if job.status != "done":
        return [step for step in job.facts if kind_of(step) in _AFTERWARDS] if entity else []
    lacks = flow.lacks(job)
    if not lacks and not entity:
        raise BadRequest(f"job {job.id} is done, and lacks nothing", field="id")
    again = {*_AFTERWARDS, *(["classify"] if "score" in lacks else [])}
    return [step for step in job.facts if kind_of(step) in again]


def _score_anew(job: Job) -> list[str]:
    if not job.category.spoken or "merge" not in job.facts or "callback" not in job.facts:
        raise BadRequest(f"job {job.id} has no transcript that could be scored anew", field="id")
    written = flow.timeline(job).state == "written"
    again = {"classify", "archive"} if written else {"classify", *_AFTERWARDS}
    return [step for step in job.facts if kind_of(step) in again]


def _failed_again(job: Job, tools: Tools) -> list[str]:
    ends = {"failure", "callback", "expire", "archive", "keep"}
    if flow.timeline(job).state != "written":
        ends |= _AFTERWARDS
    again = [step for step in job.facts if kind_of(step) in ends]
    fetched = job.facts.get("fetch")
    kept = replace(job, facts={step: fact for step, fact in job.facts.items() if step not in again})
    dues = flow.advance(kept, tools.store.now()).dues
    if (
        fetched
        and any(KINDS[kind_of(due.step)].hears for due in dues)
        and not tools.blobs.exists(fetched["blob"])
    ):
        # what was paid for is in the ledger, if it is not long ago; what people said stays
        again = [step for step in job.facts if kind_of(step) != "verdict"]
    return again


def _at_once(due: Due, job: Job) -> Due:
    """A step that was begun and put off is tried now; what has not been begun keeps its time."""
    return (
        replace(due, at=0.0, expedite=True)
        if job.attempts_at(due.step).begun and due.step != "expire"
        else due
    )


def _check_entity(job: Job, entity: Entity) -> None:
    stands = flow.timeline(job)
    if stands.state == "written" and stands.entity:
        where = f"{stands.entity.type} {stands.entity.id}"
        raise BadRequest(f"job {job.id} has its entry already, in {where}", field="link")
    if not job.category.spoken or flow.failure(job):
        raise BadRequest(f"job {job.id} has no score that could be written", field="link")


def _check_material(job: Job) -> None:
    if flow.has_outcome(job):
        return
    if not job.category.spoken and not job.request.prompt:
        raise BadRequest("its prompt was removed when the job ended", field="id")
    sources = (job.request.file_url, job.request.activity_id, job.request.call_id)
    if job.category.spoken and "fetch" not in job.facts and not any(sources):
        raise BadRequest("its recording, and the link to it, were removed when the job ended", field="id")


def _breakers(job: Job, tools: Tools) -> set[str]:
    """The circuit breakers between a job and its next attempt."""
    portal = tools.portals.get(job.portal)
    urls = (job.request.callback_url, job.request.error_callback_url)
    found = {f"callback:{urlsplit(url).netloc}" for url in urls if url}
    for provider in (portal.transcription, portal.chat, portal.image) if portal else ():
        if provider:
            found.update(name for kind in KINDS for name in breakers(provider, kind))
    return found


def erase_job(tools: Tools, job_id: JobId, *, who: str) -> bool:
    """Removes all there is of a job, and notes who did it; False where there was nothing.

    That is its record with its paid answers, its audio, the copy to be heard, its row in the archive; the
    store's append-only file is written anew. Raises StoreUnavailable and ArchiveUnavailable: then some of it
    may still be there, and erasing it again removes the rest.
    """
    tools.store.known.remember(f"erased:{job_id}", "yes", seconds=tools.memory_seconds)
    tools.blobs.delete_prefix(f"{job_id}/")
    tools.blobs.delete_prefix(keeping.key_of(job_id))
    erased = tools.store.erase(job_id)
    if erased:
        tools.store.disk.rewrite()
    if tools.archive.erase([job_id]) or erased:
        tools.archive.audit(Audited(at=tools.store.now(), who=who, what="erased", call=job_id))
        return True
    return False
