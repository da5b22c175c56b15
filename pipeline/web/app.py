"""The api process: intake for portals, `/v1` for others, what operators ask, and the console.

uvicorn pipeline.web.app:create_app --factory --no-proxy-headers
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from pipeline.domain.errors import CallscribeError
from pipeline.run import systemd
from pipeline.settings.installation import Settings, load
from pipeline.telemetry import failpoints
from pipeline.telemetry.logs import configure, secrets_of
from pipeline.web import answers, engines, events, ops
from pipeline.web.console.errors import for_browsers
from pipeline.web.console.people import ProxyUser
from pipeline.web.later import Later
from pipeline.web.service import Service

WARM_AFTER_SECONDS = 1.0  # that the workers have for their own start
WARM_AGAIN_SECONDS = 5.0
log = structlog.get_logger()

FIRST = [
    Route("/engines/{token}/{category}", engines.ask, methods=["POST"]),  # the first that is looked at
    Route("/engines/{token}/{category}", engines.look, methods=["GET"]),
    Route("/events/{token}", events.hear, methods=["POST"]),
    Route("/health", ops.health, methods=["GET"]),
    Route("/ready", ops.ready, methods=["GET"]),
    Route("/version", ops.which, methods=["GET"]),
]


def create_app(settings: Settings | None = None) -> Starlette:
    """The app over these settings, else over the environment's; raises SettingsError."""
    settings = settings or load()
    failpoints.arm(settings.failpoints)
    service = Service(settings)
    configure(settings.log_format, secrets=secrets_of(settings, service.portals))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await service.open()
        systemd.tell("READY=1")
        warming = asyncio.create_task(_warm(service, later), name="warm")
        try:
            yield
        finally:
            warming.cancel()
            await asyncio.gather(warming, return_exceptions=True)
            await service.close()

    app = Starlette(
        routes=FIRST,
        lifespan=lifespan,
        middleware=[*_behind_proxies(settings), Middleware(engines.First)],
        exception_handlers={
            CallscribeError: for_browsers(answers.on_our_error),
            HTTPException: for_browsers(answers.on_http_error),
            Exception: for_browsers(answers.on_bug),
        },
    )
    app.state.service = service
    later = Later(app.router, "pipeline.web.routes")
    return app


async def _warm(service: Service, later: Later) -> None:
    """What takes the first page a second and more is loaded once the service is ready, beside intake."""
    await asyncio.sleep(WARM_AFTER_SECONDS)
    while True:
        try:
            await later.load()
            await service.warm()  # last: what it begins is begun once
            break
        except Exception:  # no file can be opened just now, for one; who asks for a page tries as well
            log.exception("loading_failed")
            await asyncio.sleep(WARM_AGAIN_SECONDS)
    from pipeline.web.console import view  # loaded by now

    await service.blocking(view.warm, service)


def _behind_proxies(settings: Settings) -> list[Middleware]:
    proxies = list(settings.trusted_proxies)
    layers = [Middleware(ProxyHeadersMiddleware, trusted_hosts=proxies)] if proxies else []
    if settings.user_header:
        layers.insert(0, Middleware(ProxyUser, header=settings.user_header, proxies=proxies))
    return layers
