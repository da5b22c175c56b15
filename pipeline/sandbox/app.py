"""The sandbox as one application: the portal at `/`, the AI router at `/v1`, administration at `/_...`.

`create_app` for a server of your own, `Sandbox` for tests and for the demo: it serves from a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipeline.sandbox.crm import CRM
from pipeline.sandbox.engines import Engines
from pipeline.sandbox.faults import Door
from pipeline.sandbox.fixtures import FIXTURES
from pipeline.sandbox.portal import Fixture, Job, Portal, plain_job
from pipeline.sandbox.rest import Bucket, Rest
from pipeline.sandbox.router import Router
from pipeline.sandbox.script import Ledger, Script

KEY = "sandbox-router-key"
WEBHOOK = "sandboxwebhook"
APPLICATION_TOKEN = "sandbox-application-token"  # noqa: S105 - known to all, opens nothing

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


@dataclasses.dataclass(kw_only=True)
class Parts:
    """What the sandbox is made of."""

    crm: CRM
    engines: Engines
    portal: Portal
    rest: Rest
    router: Router
    script: Script
    ledger: Ledger
    loop: asyncio.AbstractEventLoop | None = None


def create_app(
    *,
    key: str | None = KEY,
    webhook: str = WEBHOOK,
    application_token: str = APPLICATION_TOKEN,
    public_url: str | None = None,
    fixtures: Path = FIXTURES,
    boxed: bool = False,
) -> Door:
    """The sandbox, an ASGI application; its `app.state.parts` are `Parts`.

    key: of the router, None for no check. public_url: how others reach the sandbox, where that differs from
    the address in their requests. boxed: a portal without `ai.engine.*`.
    """
    crm, engines = CRM(), Engines(boxed=boxed)
    portal = Portal(crm=crm, engines=engines, fixtures=fixtures, application_token=application_token)
    portal.base_url = (public_url or "").rstrip("/")
    rest = Rest(crm=crm, engines=engines, webhook=webhook)
    parts = Parts(
        crm=crm,
        engines=engines,
        portal=portal,
        rest=rest,
        router=Router(key=key, crm=crm),
        script=Script(),
        ledger=Ledger(),
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        parts.loop = asyncio.get_running_loop()
        yield

    app = Starlette(
        routes=[
            Route("/", _about),
            Route("/disk/downloadFile/{id:int}/{name}", portal.download),
            Route("/bitrix/tools/crm_show_file.php", portal.show_file),
            Route("/callback", portal.callback, methods=["POST"]),
            Route("/error-callback", portal.error_callback, methods=["POST"]),
            Route("/rest/{user}/{webhook}/{method}", rest.endpoint, methods=["GET", "POST"]),
            Route("/rest/{method}", rest.endpoint, methods=["GET", "POST"]),
            *parts.router.routes(),
            *_administration(parts),
        ],
        lifespan=lifespan,
    )
    app.state.parts = parts
    return Door(app, script=parts.script, ledger=parts.ledger)


async def _about(request: Request) -> Response:
    return JSONResponse({"sandbox": "a stand-in Bitrix24 portal and AI router, all in memory"})


def _administration(parts: Parts) -> list[Route]:
    portal, script, ledger, crm = parts.portal, parts.script, parts.ledger, parts.crm

    async def scripts(request: Request) -> Response:
        if request.method == "DELETE":
            script.clear()
        elif request.method == "POST":
            given = await request.json()
            rules = given.get("rules", given) if isinstance(given, dict) else given
            for rule in rules if isinstance(rules, list) else [rules]:
                script.add(**rule)
        return JSONResponse({"rules": [dataclasses.asdict(rule) for rule in script.rules]})

    async def entries(request: Request) -> Response:
        if request.method == "DELETE":
            ledger.clear()
        return JSONResponse({"requests": ledger.find(request.query_params.get("path", "*"))})

    async def state(request: Request) -> Response:
        return JSONResponse({**crm.plain(), "engines": parts.engines.registered})

    async def send(request: Request) -> Response:
        given = await request.json()
        if not isinstance(given, dict) or not isinstance(given.get("fixture"), str | dict):
            raise ValueError(
                'expected {"fixture": a name in fixtures/requests, or the object itself, "to": URL}'
            )
        portal.base_url = portal.base_url or str(request.base_url).rstrip("/")
        if isinstance(given["fixture"], dict):
            if lacks := {"category", "body"} - given["fixture"].keys():
                raise ValueError(f"fixture: lacks {' and '.join(sorted(lacks))}")
            _own_files(request, given["fixture"].get("recording"))
        try:
            job = await portal.send(given["fixture"], to=given.get("to"), hash=given.get("hash"))
        except LookupError as error:
            return JSONResponse({"error": {"code": "unknown", "message": str(error)}}, status_code=404)
        return JSONResponse(plain_job(job))

    async def event(request: Request) -> Response:
        given = await request.json()
        portal.base_url = portal.base_url or str(request.base_url).rstrip("/")
        status = await portal.send_event(
            given["event"], given.get("data", {}), to=given["to"], token=given.get("application_token")
        )
        return JSONResponse({"status": status})

    async def jobs(request: Request) -> Response:
        return JSONResponse({"jobs": [plain_job(job) for job in portal.jobs.values()]})

    async def job(request: Request) -> Response:
        token = request.path_params["hash"]
        if token not in portal.jobs:
            return JSONResponse({"error": {"code": "unknown", "message": "no such job"}}, status_code=404)
        waited = await portal.wait(token, min(60.0, float(request.query_params.get("wait", 0))))
        return JSONResponse(plain_job(waited))

    async def change_crm(request: Request) -> Response:
        given = await request.json()
        answer: dict[str, Any] = {}
        for entity in given.get("entities", []):
            crm.add_entity(entity.pop("type"), entity.pop("id"), **entity)
        for call in [*given.get("calls", []), *given.get("attach", [])]:
            _own_files(request, call.get("recording"))
        for call in given.get("calls", []):
            recording = portal.recording(call.pop("recording", None))
            call["owner"] = tuple(call["owner"])
            call["bindings"] = tuple(tuple(pair) for pair in call.get("bindings", []))
            made = crm.add_call(**call, recording=recording)
            answer.setdefault("activities", []).append(made.fields)
        for attached in given.get("attach", []):
            recording = portal.recording(attached["recording"])
            assert recording
            crm.attach(attached["activity"], recording)
        if "limits" in given:
            parts.rest.bucket = Bucket(**given["limits"])
        return JSONResponse(answer)

    def route(path: str, handler: Handler, *methods: str) -> Route:
        return Route(path, handler, methods=list(methods))

    return [
        route("/_script", _told(scripts), "GET", "POST", "DELETE"),
        route("/_ledger", entries, "GET", "DELETE"),
        route("/_state", state, "GET"),
        route("/_send", _told(send), "POST"),
        route("/_event", _told(event), "POST"),
        route("/_crm", _told(change_crm), "POST"),
        route("/_jobs", jobs, "GET"),
        route("/_jobs/{hash}", job, "GET"),
    ]


def _own_files(request: Request, recording: str | None) -> None:
    """A file by its path is for callers on this machine; others name what is committed."""
    here = request.client is not None and request.client.host in ("127.0.0.1", "::1")
    if recording and Path(recording).name != recording and not here:
        raise ValueError("recording: expected a name in fixtures/audio")


def _told(handler: Handler) -> Handler:
    """What is wrong with a request to the administration is said, rather than a bare 500."""

    async def told(request: Request) -> Response:
        try:
            return await handler(request)
        except json.JSONDecodeError as error:
            message = f"expected JSON: {error}"
        except (AttributeError, KeyError, TypeError, ValueError, AssertionError) as error:
            message = f"{type(error).__name__}: {error}"
        return JSONResponse({"error": {"code": "bad_request", "message": message}}, status_code=400)

    return told


class Sandbox:
    """The sandbox served from a thread, on a free loopback port unless told otherwise.

        with Sandbox() as sandbox:
            job = sandbox.send("sales-call", to=engine_url)
            job = sandbox.wait(job.hash, 60)

    Its `portal`, `crm`, `rest`, `router`, `script`, `ledger` may be read, and changed between requests.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: tuple[Path, Path] | None = None,
        **options: Any,
    ) -> None:
        """tls: files of the certificate and its key, for clients that speak https alone. options: those of
        `create_app`."""
        self.app = create_app(**options)
        parts: Parts = self.app.app.state.parts
        self._parts = parts
        self.portal, self.crm, self.rest, self.router = parts.portal, parts.crm, parts.rest, parts.router
        self.script, self.ledger, self.engines = parts.script, parts.ledger, parts.engines
        self._socket = socket.create_server((host, port), backlog=1024)
        # asyncio sets it on sockets of its own alone; without it answers on kept connections take 40 ms
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound = self._socket.getsockname()[1]
        self.base_url = f"{'https' if tls else 'http'}://{host}:{bound}"
        self.portal.base_url = self.portal.base_url or self.base_url
        # asyncio's own loop: uvloop does not start processes (the recogniser's) outside the main thread
        config = uvicorn.Config(
            self.app,
            log_level="warning",
            loop="asyncio",
            ws="none",
            timeout_graceful_shutdown=1,
            ssl_certfile=tls[0] if tls else None,
            ssl_keyfile=tls[1] if tls else None,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    @property
    def router_url(self) -> str:
        """What CALLSCRIBE_ROUTER_URL is set to."""
        return f"{self.base_url}/v1"

    @property
    def webhook_url(self) -> str:
        """What CALLSCRIBE_BITRIX24_WEBHOOK is set to."""
        return f"{self.base_url}/rest/1/{self.rest.webhook}/"

    def start(self) -> Self:
        """Serves; returns once requests are answered."""
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the sandbox did not start")
            self._thread.join(0.005)
        return self

    def stop(self) -> None:
        """Stops serving, and the recogniser's processes with it."""
        self._server.should_exit = True
        self._thread.join(15)
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def send(self, fixture: Fixture | str, **options: Any) -> Job:
        """`Portal.send` from any thread."""
        return self._call(self.portal.send(fixture, **options))

    def send_event(self, event: str, data: dict[str, Any], **options: Any) -> int:
        """`Portal.send_event` from any thread."""
        return self._call(self.portal.send_event(event, data, **options))

    def wait(self, token: str, seconds: float = 30.0) -> Job:
        """The job once it has an outcome; TimeoutError when that takes longer."""
        job = self._call(self.portal.wait(token, seconds))
        if job.outcome is None:
            raise TimeoutError(f"no callback within {seconds} s")
        return job

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        loop = self._parts.loop
        assert loop, "the sandbox is not started"
        return asyncio.run_coroutine_threadsafe(work, loop).result()
