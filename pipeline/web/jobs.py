"""GET /v1/jobs and what belongs to one job: its whole state, exports, running again, erasure."""

from __future__ import annotations

import time
from typing import get_args

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.contract import known_only, subtitles
from pipeline.domain.errors import BadRequest, UnknownJob
from pipeline.domain.job import Category, Job, JobId
from pipeline.run.operate import erase_job, retry_job
from pipeline.run.views import JobRows, Row, Status, job_row, view_of
from pipeline.steps import flow
from pipeline.store.records import readable
from pipeline.web.answers import PRIVATE, Json, error
from pipeline.web.service import Service, service_of

MOST_ROWS = 500
LOOK_AT_MOST = 5_000  # records that one request filters through; `next` goes on from there


async def listed(request: Request) -> Response:
    """GET /v1/jobs: {"jobs": [...], "next"}, newest first."""
    service = service_of(request)
    await service.check_key(request)
    query = request.query_params
    known_only(query, ("status", "portal", "category", "limit", "cursor"))
    wanted = {name: query[name] for name in ("status", "portal", "category") if query.get(name)}
    one_of(wanted, "status", get_args(Status))
    one_of(wanted, "category", tuple(Category))
    limit = _number(query.get("limit", "100"), "limit", most=MOST_ROWS)
    before = read_cursor(query.get("cursor"))
    return Json(await service.blocking(_listed, service, wanted, before, limit))


def _listed(service: Service, wanted: dict[str, str], before: float | None, limit: int) -> bytes:
    rows, following = find_jobs(service, wanted, before, limit)
    return JobRows(jobs=[job_row(row) for row in rows], next=following).model_dump_json().encode()


async def shown(request: Request) -> Response:
    """GET /v1/jobs/{id}."""
    service = service_of(request)
    await service.check_key(request)
    return Json(await service.blocking(_view, service, job_id(request)))


def _view(service: Service, key: JobId) -> bytes:
    """JSON of it, of any size."""
    store = service.tools.store
    raw = store.raw(key)
    view = view_of(key, raw, store.events(key), store.deliveries(key), store.waiting(key))
    return view.model_dump_json().encode()


async def exported(request: Request) -> Response:
    """GET /v1/jobs/{id}/transcript.txt, .srt, .vtt or .json."""
    kind = request.path_params["format"]
    if kind not in subtitles.FORMATS:
        raise HTTPException(404, "Expected transcript.txt, .srt, .vtt or .json.")
    service, job = await _job(request)
    text = await service.blocking(_export, service, job, kind)
    if text is None:
        raise HTTPException(404, f"The job has no transcript; it is {job.status}.")
    return Response(text, media_type=subtitles.CONTENT_TYPES[kind], headers=PRIVATE)


def _export(service: Service, job: Job, kind: str) -> str | None:
    with readable(job.id):
        found = flow.transcript(job)
        portal = service.portals.get(job.portal)
        return subtitles.export(found, kind, language=portal.language if portal else "en") if found else None


async def again(request: Request) -> Response:
    """POST /v1/jobs/{id}/retry: what failed, or is put off, is done now; 202, else 409."""
    service = service_of(request)
    await service.check_key(request)
    try:
        job, _ = await service.blocking(retry_job, service.tools, job_id(request))
    except BadRequest as refusal:
        return error(409, "not_retryable", refusal.message)
    await service.notify({due.queue for due in flow.advance(job, time.time()).dues if due.at == 0})
    return Json({"id": job.id, "status": job.status}, 202)


async def erased(request: Request) -> Response:
    """DELETE /v1/jobs/{id}: the record, its audio and its paid answers go, also from the store's files."""
    service = service_of(request)
    await service.check_key(request)
    job = job_id(request)
    if not await service.blocking(erase_job, service.tools, job, who="the API key"):
        raise UnknownJob(f"no job {job}")
    return Response(status_code=204)


async def _job(request: Request) -> tuple[Service, Job]:
    service = service_of(request)
    await service.check_key(request)
    return service, await service.blocking(service.tools.store.load, job_id(request))


def job_id(request: Request) -> JobId:
    """The id in the path; raises UnknownJob where it can be none."""
    found = request.path_params["id"]
    if not (found.startswith("job_") and found[4:].isalnum() and found.isascii() and len(found) <= 40):
        raise UnknownJob("no such job")
    return JobId(found)


def find_jobs(
    service: Service, wanted: dict[str, str], before: float | None, limit: int
) -> tuple[list[Row], str | None]:
    """Jobs of which the store says just that, newest first, accepted before `before`; and `next`."""
    found: list[Row] = []
    seen = 0
    while seen < LOOK_AT_MOST:
        page = service.tools.store.page(before=before, limit=min(max(limit, 100), MOST_ROWS))
        if not page:
            return found, None
        for row in page:
            before = row[1]
            if all(row[2].get(name) == value for name, value in wanted.items()):
                found.append(row)
                if len(found) == limit:
                    return found, _next(service, before)
        seen += len(page)
    assert before is not None
    return found, _next(service, before)


def _next(service: Service, before: float) -> str | None:
    return f"{before:.6f}" if service.tools.store.page(before=before, limit=1) else None


def one_of(wanted: dict[str, str], name: str, values: tuple[str, ...]) -> None:
    """Raises BadRequest unless what is asked for is one of these, or nothing."""
    if name in wanted and wanted[name] not in values:
        raise BadRequest(f"{name}: expected one of {', '.join(values)}", field=name)


def _number(text: str, name: str, *, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise BadRequest(f"{name}: expected a number from 1 to {most}", field=name)
    return min(int(text), most)


def read_cursor(text: str | None) -> float | None:
    """Where a page of jobs begins; raises BadRequest."""
    if not text:
        return None
    whole, _, part = text.partition(".")
    if not (text.isascii() and whole.isdigit() and (part or "0").isdigit() and len(text) < 24):
        raise BadRequest("cursor: expected `next` of the page before", field="cursor")
    return float(text)
