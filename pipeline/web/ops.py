"""What operators' machines ask: is it up, ready, which version."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from starlette.requests import Request
from starlette.responses import Response

from pipeline.web.answers import Json
from pipeline.web.service import service_of


def our_version() -> str:
    """The installed version."""
    try:
        return version("callscribe")
    except PackageNotFoundError:
        return "unknown"


async def health(request: Request) -> Response:
    """The process answers."""
    return Json({"status": "ok"})


async def ready(request: Request) -> Response:
    """The store and the audio storage take writes, and the disk has room."""
    service = service_of(request)
    service.room.check(uploads=True)
    await service.intake.ping()
    return Json({"status": "ready"})


async def which(request: Request) -> Response:
    """The version."""
    return Json({"name": "callscribe", "version": our_version()})
