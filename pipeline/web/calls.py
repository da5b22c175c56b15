"""POST /v1/calls: a call from elsewhere than a portal, by link or as an upload."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from pipeline.audio.arrival import likely_seconds
from pipeline.clients.guard import callback_allowed, why_forbidden
from pipeline.contract import read_call, read_upload
from pipeline.contract.php import read_json
from pipeline.domain import job
from pipeline.domain.errors import BadRequest, Conflict, ForbiddenURL, QueueFull, SettingsError, UnknownJob
from pipeline.domain.hosts import read_url
from pipeline.domain.job import Category, JobId, Source
from pipeline.domain.plain import to_plain
from pipeline.domain.recording import Fetched
from pipeline.run.new_jobs import new_job
from pipeline.settings.portals import Portal
from pipeline.store import job_id
from pipeline.web.answers import Json
from pipeline.web.bodies import pieces, whole
from pipeline.web.service import Service, service_of
from pipeline.web.uploads import Form, Upload, batches, workplace

MAX_KEY_CHARACTERS = 255
FORM_OVERHEAD_BYTES = 2 << 20  # a form's fields and boundaries beside the recording


async def take(request: Request) -> Response:
    """202 {"id"}: follow it with GET /v1/jobs/{id}, or by the callback."""
    service = service_of(request)
    await service.check_key(request)
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key.strip()) <= MAX_KEY_CHARACTERS:
        raise BadRequest("Idempotency-Key: expected 1 to 255 characters", field="Idempotency-Key")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _taken(service, *await take_upload(service, request, key))
    body = await whole(request, max_bytes=service.settings.api_bytes)
    portal, asked, digest = await service.blocking(_read, service, body)
    _check_link(service, portal, asked.file_url, field="url")
    _check_link(service, portal, asked.callback_url, field="callback_url")
    job, queues = await _accept(service, portal, key, asked, digest=digest)
    return _taken(service, job, queues)


def _taken(service: Service, job: JobId, queues: tuple[str, ...]) -> Response:
    answer = Json({"id": job}, 202, {"Location": f"/v1/jobs/{job}"})
    answer.background = BackgroundTask(service.notify, queues)
    return answer


def _read(service: Service, body: bytes) -> tuple[Portal, job.Request, str]:
    if body.lstrip().startswith(b"["):  # portals' PHP may mean an empty object by it, clients of /v1 do not
        raise BadRequest("body: expected a JSON object, got an array", field="body")
    sent = read_json(body)
    portal = _portal(service, sent.pop("portal", None))
    asked = read_call(sent)
    return portal, asked, hashlib.sha256(body).hexdigest()


async def take_upload(
    service: Service,
    request: Request,
    key: str | None = None,
    *,
    check: Callable[[dict[str, str]], None] = lambda fields: None,
) -> tuple[JobId, tuple[str, ...]]:
    """Accepts a recording that is uploaded as a form: its job, and the queues that have work.

    check: sees the form's other fields before anything is accepted, may take some away, and raises what it
    has against them.
    """
    service.room.check(uploads=True)
    place = await service.blocking(workplace, service.settings)
    try:
        upload = await _receive(service, request, place / "recording")
        if not upload.has_file or upload.size_bytes == 0:
            raise BadRequest("file: expected a recording", field="file")
        check(upload.fields)
        portal, asked, digest = await service.blocking(_read_form, service, upload)
        _check_link(service, portal, asked.callback_url, field="callback_url")
        job = job_id(portal.id, key and f"v1:{key}")
        if key and await _stands(service, job, digest):
            return job, ()
        # named after its content, so that another body under the same key does not overwrite it
        blob = f"{job}/recording-{upload.sha256[:16]}"
        await service.blocking(service.tools.blobs.put, blob, upload.path)
        seconds = await service.blocking(likely_seconds, upload.path)
    finally:
        await service.blocking(shutil.rmtree, place, ignore_errors=True)
    fetched = Fetched(
        blob=blob,
        size_bytes=upload.size_bytes,
        sha256=upload.sha256,
        content_type=upload.content_type,
        likely_seconds=seconds,
    )
    try:
        return await _accept(
            service, portal, key, replace(asked, upload=blob), digest=digest, fetched=fetched, job=job
        )
    except (Conflict, QueueFull):
        await service.blocking(service.tools.blobs.delete_prefix, blob)
        raise


def _read_form(service: Service, upload: Upload) -> tuple[Portal, job.Request, str]:
    portal = _portal(service, upload.fields.pop("portal", None))
    asked = read_upload(upload.fields)
    told = json.dumps([upload.sha256, upload.fields], sort_keys=True)
    return portal, asked, hashlib.sha256(told.encode()).hexdigest()


async def _accept(
    service: Service,
    portal: Portal,
    key: str | None,
    asked: job.Request,
    *,
    digest: str,
    fetched: Fetched | None = None,
    job: JobId | None = None,
) -> tuple[JobId, tuple[str, ...]]:
    job = job or job_id(portal.id, key and f"v1:{key}")
    made = new_job(
        portal,
        job,
        category=Category.AUDIO,
        source=Source.API,
        request=asked,
        now=time.time(),  # the store shifts it onto its own clock
        digest=digest,
        facts={"fetch": to_plain(fetched)} if fetched else None,
    )
    return job, await service.accept(await service.blocking(service.prepare, portal, made), strict=True)


async def _receive(service: Service, request: Request, path: Path) -> Upload:
    limit = service.settings.max_download_bytes
    form = Form(request.headers["content-type"], path, max_bytes=limit)
    try:
        async for batch in batches(pieces(request, max_bytes=limit + FORM_OVERHEAD_BYTES)):
            await service.blocking(form.feed, batch)
        return form.close()
    finally:
        form.abandon()


async def _stands(service: Service, job: JobId, digest: str) -> bool:
    try:
        standing = await service.blocking(service.tools.store.load, job)
    except UnknownJob:
        return False
    if standing.digest != digest:
        raise Conflict("This Idempotency-Key came before with another body.")
    return True


def _check_link(service: Service, portal: Portal, url: str | None, *, field: str) -> None:
    """https to what may be public, the portal's own, or trusted; names are resolved when they are used."""
    if url is None or callback_allowed(url, portal.own_hosts, service.settings.trusted_hosts):
        return
    try:
        target = read_url(url)
        if target.scheme != "https":
            raise ForbiddenURL("expected https")
        is_address = target.host.replace(".", "").isdigit() or ":" in target.host
        if is_address and (why := why_forbidden(target.host)):
            raise ForbiddenURL(f"a {why} address")
    except ForbiddenURL as error:
        raise BadRequest(f"{field}: {error.message}", field=field) from None


def _portal(service: Service, named: object) -> Portal:
    if named is not None and not isinstance(named, str):
        raise BadRequest("portal: expected a name", field="portal")
    try:
        return service.portals.one(named or None)
    except SettingsError as error:  # the client named the portal, so it is the client's mistake
        raise BadRequest(f"portal: {error.message}", field="portal") from None
