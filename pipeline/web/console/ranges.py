"""A recording as players ask for it: the part that a Range names (RFC 9110, 14), read as it is sent."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from pipeline.web.answers import PRIVATE

AT_ONCE = 256 << 10  # bytes: a player that stops listening has cost no more than that for nothing
_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.ASCII)


def in_parts(
    request: Request,
    read: Callable[[int, int], Awaitable[bytes]],
    *,
    size: int,
    media_type: str,
    tag: str,
) -> Response:
    """Bytes that `read(start, end)` gives: all, or the one part that is asked for.

    tag: changes when they do. Several parts at once are answered by all of it, as the RFC allows. Raises
    HTTPException 400 for a Range that is none, 416 for one that lies behind the end.
    """
    start, end, status = 0, size, 200
    headers = {**PRIVATE, "Accept-Ranges": "bytes", "ETag": tag}
    asked = request.headers.get("range")
    if asked and "," not in asked and request.headers.get("if-range", tag) == tag:
        start, end = _part(asked, size)
        status, headers["Content-Range"] = 206, f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(start, end if request.method != "HEAD" else start, AT_ONCE):
            yield await read(at, min(at + AT_ONCE, end))

    return StreamingResponse(pieces(), status, headers, media_type)


def _part(asked: str, size: int) -> tuple[int, int]:
    found = _RANGE.fullmatch(asked)
    if (
        found is None
        or not (found[1] or found[2])
        or (found[1] and found[2] and int(found[2]) < int(found[1]))
    ):
        raise HTTPException(400, "Range: expected bytes=FIRST-LAST")
    if not found[1]:  # the last so many bytes
        start, end = max(size - int(found[2]), 0), size
    else:
        start, end = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
    if start >= end:
        raise HTTPException(416, "Range: behind the end.", {"Content-Range": f"bytes */{size}"})
    return start, end
