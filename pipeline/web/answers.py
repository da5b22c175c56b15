"""What every answer has in common: JSON, and the one shape of errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.domain.errors import (
    BadRequest,
    CallscribeError,
    Conflict,
    QueueFull,
    Refused,
    StoreUnavailable,
    TooLarge,
    UnknownJob,
    UnreadableRecord,
)
from pipeline.telemetry.metrics import REFUSED

log = structlog.get_logger()

RETRY_SECONDS = {StoreUnavailable: 5, QueueFull: 30}
_STATUS: dict[type[CallscribeError], int] = {
    UnknownJob: 404,
    Conflict: 409,
    UnreadableRecord: 409,
    TooLarge: 413,
    Refused: 400,
    StoreUnavailable: 503,
    QueueFull: 503,
}
_NAMES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "slow_request",
    413: "too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
    503: "unavailable",
}


PRIVATE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Json(Response):
    """JSON as it stands, in UTF-8; never cached, since it tells of calls."""

    media_type = "application/json"

    def __init__(
        self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(content, status_code, {**PRIVATE, **(headers or {})})

    def render(self, content: Any) -> bytes:
        if isinstance(content, bytes):  # large ones come as JSON from the thread that made them
            return content
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def error(
    status: int, code: str, message: str, *, fields: Mapping[str, str] | None = None, **headers: str
) -> Json:
    """{"error": {"code", "message", "fields"?}}; fields: name -> what is wrong with it."""
    body: dict[str, Any] = {"code": code, "message": message}
    if fields:
        body["fields"] = dict(fields)
    return Json({"error": body}, status, {name.replace("_", "-"): value for name, value in headers.items()})


async def on_our_error(request: Request, failure: Exception) -> Response:
    """An error of the tree in `pipeline/domain/errors.py`."""
    assert isinstance(failure, CallscribeError)
    REFUSED.inc(failure.slug)
    kind = next((kind for kind in type(failure).__mro__ if kind in _STATUS), None)
    status = _STATUS[kind] if kind else 503 if failure.transient else 500
    headers: dict[str, str] = {}
    fields = {failure.field: failure.message} if isinstance(failure, BadRequest) and failure.field else None
    if status == 503:
        headers["Retry_After"] = str(next((s for k, s in RETRY_SECONDS.items() if isinstance(failure, k)), 5))
        log.error("request_refused", error=failure.slug, why=failure.message, hint=failure.hint)
    elif status == 500:
        log.error("request_failed", error=failure.slug, why=failure.message, exc_info=failure)
    else:  # logged here, since portals show nobody why their request was refused
        path = request.url.path
        log.info("request_refused", error=failure.slug, why=failure.message, method=request.method, path=path)
    return error(status, failure.slug, failure.message, fields=fields, **headers)


async def on_http_error(request: Request, failure: Exception) -> Response:
    """An error of the web itself: no such page, wrong method, no key."""
    assert isinstance(failure, HTTPException)
    slug = _NAMES.get(failure.status_code, "http_error")
    REFUSED.inc(slug)
    answer = error(failure.status_code, slug, str(failure.detail))
    for name, value in (failure.headers or {}).items():
        answer.headers[name] = value
    if failure.status_code == 405:  # a path has a route for each of its methods
        answer.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return answer


def _methods(request: Request) -> set[str]:
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    return {m for route in routes if route.path_regex.match(request.url.path) for m in route.methods or ()}


async def on_bug(request: Request, failure: Exception) -> Response:
    """What nobody foresaw; the server logs it with its trace (without secrets) and goes on."""
    REFUSED.inc("internal")
    return error(500, "internal", "Something broke here; the log tells more.")
