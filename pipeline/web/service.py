"""What the api process holds while it serves: the store to accept into, and the tools of an operator."""

from __future__ import annotations

import asyncio
import functools
import resource
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import anyio
import anyio.to_thread
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request as WebRequest

from pipeline.clients.guard import callback_allowed
from pipeline.domain.errors import BadRequest, Conflict, QueueFull, StoreUnavailable
from pipeline.domain.job import Job
from pipeline.run.garbage import collect_seldom
from pipeline.run.new_jobs import first_dues
from pipeline.run.notifier import Notifier
from pipeline.run.pulse import Pulse
from pipeline.settings.installation import Settings
from pipeline.settings.portals import Portal, Portals
from pipeline.steps.tools import Tools, live_portals, open_tools
from pipeline.store import Intake, Prepared, Quota, prepare
from pipeline.telemetry import failpoints
from pipeline.telemetry.metrics import ACCEPT_SECONDS, ACCEPTED, REPEATED
from pipeline.telemetry.traces import TRACES
from pipeline.web.auth import COOKIE, Role, find_key, given_key, keyring
from pipeline.web.rate_limits import RateLimit
from pipeline.web.room import Room
from pipeline.web.shares import Shares
from pipeline.web.uploads import sweep

if TYPE_CHECKING:
    from pipeline.web.checkup import Checkup

log = structlog.get_logger()

P = ParamSpec("P")
R = TypeVar("R")

ACCEPT_BOUND_SECONDS = 2.25  # a portal waits 5 s, and has its answer in 3 s, body and way included
MOST_FILES = 65_536  # open at a time
THREADS = 16  # blocking calls to the store at a time, none of them on behalf of intake


class Service:
    """Opened by the app's lifespan, closed with it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._live = live_portals(settings)
        self.keys = keyring(settings)
        self.wrong_tokens = RateLimit(rate=1, burst=20)  # wrong tokens

    async def open(self) -> None:
        """Opens the store, storage and notifier; none of them has to be there yet."""
        _allow_files(MOST_FILES)
        self._log = log.bind()  # once, and not for each job
        await asyncio.to_thread(sweep, self.settings)
        self.intake = Intake(self.settings.store_url, bound_seconds=ACCEPT_BOUND_SECONDS)
        self.tools: Tools = await asyncio.to_thread(open_tools, self.settings, self._live)
        self.notifier = Notifier(self.settings.store_url)
        self.pulse = Pulse(self.tools.store, "api")
        self.pulse.start()
        TRACES.begin()
        self._closing = threading.Event()
        self._threads = anyio.CapacityLimiter(THREADS)
        self.shares = Shares()
        self.room = Room(self.settings, self.intake, self.tools.blobs)
        await self.room.open()
        collect_seldom()
        if find_key(self.settings) is None:
            log.warning("no_api_key", hint="Set CALLSCRIBE_API_KEY: /v1, /metrics and the list are closed.")

    async def warm(self) -> None:
        """What is not needed to accept a request is loaded, then begun, once this process serves."""
        await self.blocking(self._warm)

    def _warm(self) -> None:
        from pipeline.run.notices import Watch

        self.notifier.load()
        Watch(self.tools, self._closing.wait).start()

    @functools.cached_property
    def checkup(self) -> Checkup:
        """What `callscribe doctor` finds, for the console."""
        from pipeline.web.checkup import Checkup

        return Checkup(self.tools)

    async def close(self) -> None:
        """Gives everything back; notifications that wait are sent first."""
        await self.room.close()
        self.shares.close()
        self._closing.set()
        await asyncio.to_thread(self.pulse.stop)
        await asyncio.to_thread(TRACES.end)
        await asyncio.to_thread(self.notifier.close)
        await self.intake.close()
        await asyncio.to_thread(self.tools.close)

    async def blocking(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs a blocking call in one of the few threads for that."""
        return await anyio.to_thread.run_sync(
            functools.partial(call, *args, **kwargs), limiter=self._threads, abandon_on_cancel=False
        )

    @property
    def portals(self) -> Portals:
        """The portals in force."""
        return self._live.current()

    # -- who may

    async def check_key(self, request: WebRequest) -> None:
        """Raises HTTPException 401 without the API key or a session, 429 for too many tries or requests.

        A session is good for reading only, so that no other site can make a browser change anything.
        """
        fits = self.keys.fits(given_key(request))
        if not fits and request.method in ("GET", "HEAD"):
            session = self.keys.session(request.cookies.get(COOKIE, ""), Role.OPERATE)
            fits = (
                session is not None
                and await self.blocking(self.tools.store.sessions.who, session) is not None
            )
        if not fits:
            raise self.keys.refuse(request)
        self.keys.used.spend(request)

    # -- accepting

    def portal_of(self, request: WebRequest) -> Portal:
        """The portal whose token the URL carries; 404 for a wrong one, 429 for too many of those."""
        portal = self.portals.by_token(request.path_params["token"])
        if portal is None:
            self.wrong_tokens.spend(request)
            raise HTTPException(404, "No such address.")
        return portal

    def check_callback(self, portal: Portal, url: str | None, *, field: str) -> None:
        """Raises BadRequest unless the URL is on the portal, one of its hosts, or a trusted host."""
        if url is None:
            return
        own = portal.own_hosts
        if callback_allowed(url, own, self.settings.trusted_hosts):
            return
        if not own:
            raise BadRequest(
                f"{field}: which hosts are the portal's is not known here: its operator has to set "
                "CALLSCRIBE_PORTAL_URL (or name the host in CALLSCRIBE_TRUSTED_HOSTS)",
                field=field,
            )
        raise BadRequest(f"{field}: not on the portal's own host, nor on one that is trusted", field=field)

    def prepare(self, portal: Portal, job: Job) -> Prepared:
        """A job ready to be written; needs no store and may run in any thread."""
        return prepare(job, first_dues(job), quota=Quota(portal.queue_limit, portal.queue_bytes))

    async def accept(self, prepared: Prepared, *, strict: bool = False) -> tuple[str, ...]:
        """Writes the job durably: the queues to tell of it, none for a job that stands already.

        strict: another body under the same key is a Conflict. Raises StoreUnavailable and QueueFull.
        """
        self.room.check()
        job, begun = prepared.job, time.monotonic()
        try:
            verdict = await self.intake.accept(prepared)
        except StoreUnavailable:
            self.shares.refuse_waiting()
            raise
        failpoints.hit("accept.after")
        ACCEPT_SECONDS.observe(time.monotonic() - begun)
        if verdict.what == "full":
            most = f"{prepared.quota.jobs} unfinished jobs, or {prepared.quota.bytes} bytes of them"
            raise QueueFull(f"The portal has {most}, as many as it may.")
        if verdict.what == "known":
            REPEATED.inc(job.portal, job.source.value)
            if strict and verdict.digest != job.digest:
                raise Conflict("This Idempotency-Key came before with another body.")
            log.info("job_known", job=job.id, portal=job.portal, source=job.source.value)
            return ()
        category, source = job.category.value, job.source.value
        ACCEPTED.inc(job.portal, category, source)
        with TRACES.step(job.id, "accept", portal=job.portal, category=category, source=source):
            pass  # a moment: how long it took is among the metrics
        self._log.info("job_accepted", job=job.id, portal=job.portal, category=category, source=source)
        return verdict.news

    async def notify(self, queues: Iterable[str]) -> None:
        """Says that there is work; to be called after the answer was sent."""
        for queue in queues:
            self.notifier.notify(queue)


def service_of(request: WebRequest) -> Service:
    """The service that answers this request."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


def _allow_files(most: int) -> None:
    """Idle connections of strangers must not use up what valid requests need; Linux begins with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
