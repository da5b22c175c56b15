"""New jobs: the one place where each way of coming in writes down what it knows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pipeline.domain.job import Category, Due, Job, JobId, Request, Source
from pipeline.settings.portals import Portal
from pipeline.steps import flow
from pipeline.store import Quota, Store, fields_of, job_id

CALL_TTL_SECONDS = 86_400  # of a call that no portal waits for


def new_job(
    portal: Portal,
    key: JobId,
    *,
    category: Category,
    source: Source,
    request: Request,
    now: float,
    ttl_seconds: float = CALL_TTL_SECONDS,
    digest: str = "",
    facts: Mapping[str, Any] | None = None,
) -> Job:
    """A job that begins now, unix seconds. digest: of what asked for it. facts: plain, known already."""
    return Job(
        id=key,
        portal=portal.id,
        category=category,
        source=source,
        accepted_at=now,
        deadline=now + ttl_seconds,
        request=request,
        digest=digest,
        facts=facts or {},
    )


def call_job(
    portal: Portal, *, now: float, activity_id: int | None = None, call_id: str | None = None
) -> Job:
    """A job for a call of the CRM, one per activity: whether an event told of it or a poll found it."""
    key = f"activity:{activity_id}" if activity_id else f"call:{call_id}"
    return new_job(
        portal,
        job_id(portal.id, key),
        category=Category.AUDIO,
        source=Source.EVENT,
        request=Request(activity_id=activity_id, call_id=call_id),
        now=now,
        digest=hashlib.sha256(key.encode()).hexdigest(),
    )


def first_dues(job: Job) -> tuple[Due, ...]:
    """What is due of a new job."""
    return flow.advance(job, job.accepted_at).dues


def accept(store: Store, portal: Portal, job: Job) -> str:
    """Writes the job durably: "new", "known" (it stands already) or "full" (the portal's queue)."""
    return store.accept(job, first_dues(job), fields_of(job), Quota(portal.queue_limit, portal.queue_bytes))[
        0
    ]
