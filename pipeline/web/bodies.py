"""Reading request bodies: bounded in bytes and in time, since anybody may send them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from pipeline.errors import BadRequest, TooLarge

PATIENCE_SECONDS = 10.0  # for a body to begin to flow
SLOWEST_BYTES_PER_SECOND = 16_384
DISCARD_SECONDS = 2.0  # how long an oversized body is still read, so that its sender hears the answer


async def pieces(request: Request, *, max_bytes: int) -> AsyncIterator[bytes]:
    """The body as it comes.

    Raises TooLarge beyond `max_bytes`, HTTPException 408 when it comes slower than 16 KiB/s after the
    first 10 s, BadRequest when the sender went away in the middle.
    """
    begun, size = time.monotonic(), 0
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:18]) > max_bytes:
        await _too_large(request, max_bytes)
    stream = request.stream()
    while True:
        left = begun + PATIENCE_SECONDS + size / SLOWEST_BYTES_PER_SECOND - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, left)):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise HTTPException(408, "The body came too slowly.", {"Connection": "close"}) from None
        except ClientDisconnect:
            raise BadRequest("body: the sender went away in the middle of it", field="body") from None
        size += len(piece)
        if size > max_bytes:
            await _too_large(request, max_bytes)
        if piece:
            yield piece


async def whole(request: Request, *, max_bytes: int) -> bytes:
    """The whole body in memory; raises as `pieces` does."""
    return b"".join([piece async for piece in pieces(request, max_bytes=max_bytes)])


async def _too_large(request: Request, max_bytes: int) -> None:
    # closing on unread bytes resets the connection, and the sender would never read the answer
    if "expect" not in request.headers:
        try:
            async with asyncio.timeout(DISCARD_SECONDS):
                while (await request.receive()).get("more_body"):
                    pass
        except TimeoutError:
            pass
    raise TooLarge(f"The body is larger than {max_bytes} bytes.")
