"""What an operator does to a job: run it again, erase it."""

from __future__ import annotations

from dataclasses import replace

from pipeline.domain.errors import BadRequest
from pipeline.domain.job import Event, Job, JobId, Step
from pipeline.domain.kinds import KINDS, kind_of
from pipeline.steps import flow
from pipeline.steps.tools import Tools
from pipeline.store import Stale

RETRY_TTL_SECONDS = 3600.0


def retry_job(tools: Tools, job_id: JobId) -> Job:
    """Runs a failed job again from the facts that it has: what was paid for is not paid again.

    Its outcome is sent to the same callback, if its time has passed by then within another hour. Raises
    UnknownJob; BadRequest when the job has not failed or what it needs was removed.
    """
    while True:
        job, now = tools.store.load(job_id), tools.store.now()
        if job.status != "failed":
            raise BadRequest(f"job {job_id} is {job.status}; only a failed job is run again", field="id")
        ended = _to_do_again(job, tools)
        facts = {step: fact for step, fact in job.facts.items() if step not in ended}
        if job.category.spoken and not facts.keys() & {"fetch", "merge"} and not _source(job):
            raise BadRequest("its recording, and the link to it, were removed when the job ended", field="id")
        if (
            not job.category.spoken
            and not job.request.prompt
            and not flow.has_outcome(replace(job, facts=facts))
        ):
            raise BadRequest("its prompt was removed when the job ended", field="id")
        again = replace(job, facts=facts, deadline=max(job.deadline, now + RETRY_TTL_SECONDS), tries={})
        following = flow.advance(again, now)
        try:
            tools.store.finish(
                job,
                claim=None,
                facts={},
                dues=following.dues,
                status="running",
                forget=[f"fact:{step}" for step in ended]
                + [f"{kind}:{step}" for kind in ("tries", "lost", "doubt") for step in job.tries]
                + ["held_since"],
                fields={"deadline": f"{again.deadline:.6f}"},
                events=(Event(at=now, step=Step("retry"), what="retried"),),
                reopened=True,
            )
            return tools.store.load(job_id)
        except Stale:
            continue


def _to_do_again(job: Job, tools: Tools) -> list[str]:
    """The facts that stand in the way of another outcome: never an entry that is written."""
    again = ["failure", "callback", "expire"]
    if flow.timeline(job).state != "written":
        again += ["link", "timeline"]
    fetched = job.facts.get("fetch")
    kept = replace(job, facts={step: fact for step, fact in job.facts.items() if step not in again})
    dues = flow.advance(kept, tools.store.now()).dues
    if (
        fetched
        and any(KINDS[kind_of(due.step)].hears for due in dues)
        and not tools.blobs.exists(fetched["blob"])
    ):
        again = list(job.facts)  # what was paid for is in the ledger, if it is not long ago
    return [step for step in again if step in job.facts]


def _source(job: Job) -> str | int | None:
    return job.request.file_url or job.request.activity_id or job.request.call_id


def erase_job(tools: Tools, job_id: JobId) -> bool:
    """Removes the record, its audio and its paid answers, and has the append-only file written anew."""
    tools.store.remember(f"erased:{job_id}", "yes", seconds=tools.memory_seconds)
    tools.blobs.delete_prefix(f"{job_id}/")
    erased = tools.store.erase(job_id)
    if erased:
        tools.store.rewrite()
    return erased
