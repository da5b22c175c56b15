"""Routes that are loaded when somebody asks for one, or when there is time: half of the api's code."""

from __future__ import annotations

import asyncio
from importlib import import_module

import anyio.to_thread
from starlette.routing import Router
from starlette.types import Receive, Scope, Send


class Later:
    """A router's last resort: brings it the ROUTES of a module, once, and asks it again."""

    def __init__(self, router: Router, module: str) -> None:
        self._router, self._module = router, module
        self._loading = asyncio.Lock()
        self._loaded = False
        router.default = self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.load()
        await self._router(scope, receive, send)

    async def load(self) -> None:
        """In a thread, beside the requests that are served meanwhile."""
        async with self._loading:
            if not self._loaded:
                found = await anyio.to_thread.run_sync(import_module, self._module)
                self._router.routes += found.ROUTES
                self._router.default = self._router.not_found
                self._loaded = True
