"""Reading request bodies: bounded in bytes and in time, since anybody may send them.

What is answered before its end is not read on here; see `pipeline/web/server.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from pipeline.domain.errors import BadRequest, TooLarge

PATIENCE_SECONDS = 10.0  # for a body to begin to flow
SLOWEST_BYTES_PER_SECOND = 16_384
BODY_IS_HERE = "callscribe.body_is_here"  # an extension of our server: no byte of it is waited for


async def pieces(request: Request, *, max_bytes: int) -> AsyncIterator[bytes]:
    """The body as it comes.

    Raises TooLarge beyond `max_bytes`, HTTPException 408 when it comes slower than 16 KiB/s after the
    first 10 s, BadRequest when the sender went away in the middle.
    """
    begun, size = time.monotonic(), 0
    _check_announced(request, max_bytes)
    stream = request.stream()
    while True:
        left = begun + PATIENCE_SECONDS + size / SLOWEST_BYTES_PER_SECOND - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, left)):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise HTTPException(408, "The body came too slowly.") from None
        except ClientDisconnect:
            raise BadRequest("body: the sender went away in the middle of it", field="body") from None
        size += len(piece)
        if size > max_bytes:
            raise _too_large(max_bytes)
        if piece:
            yield piece


async def whole(
    request: Request, *, max_bytes: int, hold: Callable[[int], None] = lambda size: None
) -> bytes:
    """The whole body in memory; raises as `pieces` does. hold: hears of bytes before they are kept."""
    _check_announced(request, max_bytes)
    parts: list[bytes] = []
    size = 0

    async def go_on() -> bool:
        nonlocal size
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("body: the sender went away in the middle of it", field="body")
        part = message.get("body", b"")
        size += len(part)
        if size > max_bytes:
            raise _too_large(max_bytes)
        hold(len(part))
        parts.append(part)
        return bool(message.get("more_body", False))

    if BODY_IS_HERE in request.scope.get("extensions", ()):  # as most are; nothing has to be timed
        await go_on()
        return parts[0]
    begun = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS) as patience:
            while await go_on():
                patience.reschedule(begun + PATIENCE_SECONDS + size / SLOWEST_BYTES_PER_SECOND)
    except TimeoutError:
        raise HTTPException(408, "The body came too slowly.") from None
    return b"".join(parts)


def _check_announced(request: Request, max_bytes: int) -> None:
    announced = next((value for name, value in request.scope["headers"] if name == b"content-length"), b"")
    if announced.isdigit() and int(announced[:18]) > max_bytes:
        raise _too_large(max_bytes)


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"The body is larger than {max_bytes} bytes.")
