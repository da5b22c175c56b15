"""The engine's address, as portals know it: GET proves that it is there, POST asks for work.

https://apidocs.bitrix24.com/api-reference/ai/ai-engine-register.html
"""

from __future__ import annotations

import hashlib
import time

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.contract import read_engine_request
from pipeline.domain.errors import BadRequest, CallscribeError
from pipeline.domain.job import Category, Source
from pipeline.run.new_jobs import new_job
from pipeline.settings.portals import Portal
from pipeline.steps.served import is_served
from pipeline.store import Prepared, job_id
from pipeline.telemetry.captures import capture_request
from pipeline.web.answers import Json
from pipeline.web.service import Service, service_of

REFUSAL = "callscribe.refusal"  # in the scope: what `First` was answered


async def look(request: Request) -> Response:
    """GET: exactly 200 for a known token and a category that is served, else 404.

    Not for images of which every model has shown that it cannot draw: a portal that asks so learns it now.
    """
    service = service_of(request)
    portal, category = _engine(service, request)
    if category is Category.IMAGE:
        why = await service.blocking(_why_unserved, service, portal)
        if why:
            raise HTTPException(404, "This engine is not served here: its models do not draw.")
    return Json({"engine": "callscribe", "category": category.value})


class _Ask:
    """POST: 202 {"result": "OK"} once the job is durable.

    Portals count 200 and 503 alike as failures, and hang on an empty object. An ASGI app, since what
    Starlette puts around a function is dear; what this raises is answered all the same. It never begins to
    answer before it is sure of its answer.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if REFUSAL in scope:
            raise scope[REFUSAL]
        request = Request(scope, receive, send)
        service = service_of(request)
        portal, category = _engine(service, request)
        async with service.shares.body(request, portal.id, max_bytes=service.settings.engine_bytes) as body:
            try:
                job = await service.shares.read(
                    portal.id, body, lambda: _job(service, portal, category, body)
                )
            except BadRequest:
                await _capture(service, category, body, 400)
                raise
            queues = await service.accept(job)
        await _TAKEN(scope, receive, send)
        await service.notify(queues)
        await _capture(service, category, body, 202)


ask = _Ask()


class First:
    """A middleware before the routes: takes what `ask` is for, and leaves it to the route to refuse.

    The way to a route costs a tenth of what an accepted request costs above a bare one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and not scope.get("root_path"):
            parts = scope["path"].split("/")
            if len(parts) == 4 and parts[1] == "engines" and parts[2] and parts[3]:
                scope["path_params"] = {"token": parts[2], "category": parts[3]}
                try:
                    await ask(scope, receive, send)
                    return
                except (CallscribeError, HTTPException) as refusal:
                    scope[REFUSAL] = refusal
        await self._app(scope, receive, send)


_TAKEN = Response(b'{"result":"OK"}', 202, media_type="application/json")


def _job(service: Service, portal: Portal, category: Category, body: bytes) -> Prepared:
    asked = read_engine_request(body, category)
    service.check_callback(portal, asked.request.callback_url, field="callbackUrl")
    service.check_callback(portal, asked.request.error_callback_url, field="errorCallbackUrl")
    job = new_job(
        portal,
        job_id(portal.id, asked.key),
        category=category,
        source=Source.ENGINE,
        request=asked.request,
        now=time.time(),  # the store shifts it onto its own clock
        ttl_seconds=asked.ttl_seconds,
        digest=hashlib.sha256(body).hexdigest(),
    )
    return service.prepare(portal, job)


def _why_unserved(service: Service, portal: Portal) -> str | None:
    from pipeline.steps.pictures import (
        why_unserved,  # it brings the providers' clients, as no POST needs them
    )

    return why_unserved(portal, service.tools)


async def _capture(service: Service, category: Category, body: bytes, status: int) -> None:
    if folder := service.settings.capture_dir:
        await service.blocking(capture_request, folder, category, body, status=status)


def _engine(service: Service, request: Request) -> tuple[Portal, Category]:
    portal = service.portal_of(request)
    category = request.path_params["category"]
    if not is_served(portal, category, service.settings):
        raise HTTPException(404, "This engine is not served here.")
    return portal, Category(category)
