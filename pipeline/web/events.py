"""Events of the portal: a call has ended, an activity was added; sent once, never repeated."""

from __future__ import annotations

import time

import structlog
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.contract import PortalEvent, read_event
from pipeline.run.new_jobs import call_job
from pipeline.web.answers import Json
from pipeline.web.service import service_of

log = structlog.get_logger()

MAX_EVENT_BYTES = 1 << 17  # an event has 2,000


async def hear(request: Request) -> Response:
    """POST: 200 for whatever is authentic; a call becomes a job, one per activity."""
    service = service_of(request)
    portal = service.portal_of(request)
    if not portal.application_token:
        raise HTTPException(404, "No such address.")
    async with service.shares.body(request, portal.id, max_bytes=MAX_EVENT_BYTES) as body:
        event = await service.shares.read(portal.id, body, lambda: read_event(body))
        if not event.authentic(portal.application_token):
            service.wrong_tokens.spend(request)
            raise HTTPException(403, "The application token is wrong.")
        answer = Json({"result": "OK"})
        if why := _ignored(event, webhook=portal.webhook):
            log.info("event_ignored", portal=portal.id, name=event.name, why=why)
            return answer
        # the store shifts the time onto its own clock
        job = call_job(portal, now=time.time(), activity_id=event.activity_id, call_id=event.call_id)
        queues = await service.accept(service.prepare(portal, job))
    answer.background = BackgroundTask(service.notify, queues)
    return answer


def _ignored(event: PortalEvent, *, webhook: str | None) -> str | None:
    if not event.of_a_call:
        return "it tells of no call"
    if event.duration_seconds == 0:
        return "nobody answered the call"
    if not webhook:
        return "without CALLSCRIBE_BITRIX24_WEBHOOK the recording cannot be found"
    return None
