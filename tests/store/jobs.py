"""Jobs as intake makes them, and what a worker does to them first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipeline.domain.job import Category, Claim, Due, Job, PortalId, Request, Source, Step
from pipeline.domain.kinds import WORK
from pipeline.store import Store, fields_of, job_id


def a_job(store: Store, number: int = 0, portal: str = "acme", **changes: Any) -> Job:
    """A job as intake makes it."""
    now = store.now()
    made = Job(
        id=job_id(portal, str(number)), portal=PortalId(portal), category=Category.AUDIO,
        source=Source.ENGINE, accepted_at=now, deadline=now + 3600, request=Request(file_url="https://e.example"),
    )  # fmt: skip
    return replace(made, **changes)


def due(step: str, queue: str = "media", at: float = 0.0, expedite: bool = False, urgency: int = WORK) -> Due:
    """A due step."""
    return Due(step=Step(step), queue=queue, at=at, expedite=expedite, urgency=urgency)


def accept(store: Store, job: Job, *steps: Due, limit: int = 100) -> str:
    """Accepts the job with these steps due."""
    return str(store.accept(job, steps or (due("fetch"),), fields_of(job), limit)[0])


def claim(store: Store, queue: str = "media", lease: float = 30, **options: Any) -> Claim:
    """Claims what must be there."""
    found = store.claim(queue, "node:task", lease_seconds=lease, **options)
    assert found is not None
    return found
