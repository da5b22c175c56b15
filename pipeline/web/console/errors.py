"""What a browser gets instead of a bare error; who asks for no page needs nothing of the console loaded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

Handler = Callable[[Request, Exception], Awaitable[Response]]


def for_browsers(handler: Handler) -> Handler:
    """An error's JSON as a page, where a browser asks for a page; 401 is the form to sign in."""

    async def answered(request: Request, failure: Exception) -> Response:
        plain = await handler(request, failure)
        if "text/html" not in request.headers.get("accept", "") or request.url.path.startswith("/v1"):
            return plain
        await anyio.to_thread.run_sync(import_module, "pipeline.web.console.signing")
        from pipeline.web.console.signing import error_page

        return error_page(request, failure, plain)

    return answered
