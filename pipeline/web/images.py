"""GET /images/{name}: images that we host for a while, for portals whose image model gives bytes."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.steps.pictures import load
from pipeline.web.service import service_of

_HEADERS = {
    "Cache-Control": "private, max-age=3600",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


async def shown(request: Request) -> Response:
    """The image; 404 for a name that is none of ours, and when its time is over. The name is the key."""
    service = service_of(request)
    found = await service.blocking(load, request.path_params["name"], service.tools)
    if found is None:
        raise HTTPException(404, "No such image, or not any more.")
    kind, data = found
    return Response(data, media_type=kind, headers=_HEADERS)
