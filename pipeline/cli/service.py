"""What `callscribe up` does once its api is begun ahead: checks, starts, watches, drains."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from urllib.parse import urlsplit

import structlog

from pipeline.cli import CannotStart, attached, parts
from pipeline.cli.supervise import Leaves, Leaving, Supervisor
from pipeline.cli.terminal import echo
from pipeline.confinement.privileges import give_up
from pipeline.run import systemd
from pipeline.settings.environment import mistakes
from pipeline.settings.installation import Settings, load
from pipeline.settings.portals import Portals
from pipeline.web.auth import find_key, key_file

READY_SECONDS = 60.0
TRIES_TO_START = 3
READY_LOOK_SECONDS = 0.02
log = structlog.get_logger()


def serve(supervisor: Supervisor, listener: socket.socket, host: str, port: int) -> None:
    """Until it is told to leave. supervisor: knows the api, and kills what is left after an error.

    Raises SettingsError and CannotStart, before anything was done.
    """
    settings = load()
    portals = parts.checked(settings)
    parts.begin(settings, portals)
    for mistake in mistakes():
        log.warning("setting_unknown", why=mistake)
    if not any(portal.tokens for portal in portals.values()):
        _say("no portal has a token yet (CALLSCRIBE_PORTAL_TOKEN): engine URLs answer 404")
    for lack in lacking(portals):
        _say(lack)
    leave = Leaving()
    give_up()
    with attached.locked(settings.data_dir):
        try:
            parts.bind(listener, host, port)
            parts.check_storage(settings)
            find_key(settings, make=True)
            supervisor.add(parts.workers(settings), lost=attached.free_leases(settings), say=_say)
            if settings.redis_url is None:
                supervisor.add([attached.store_child(settings)])
            else:
                await_store(settings, leave)
                _say(attached.durability(settings))
            # the workers' start takes the processor for a second, in which portals are heard already
            supervisor.start(down_to=Leaves.SECOND)
            free_forgotten(settings)
            address = parts.address_of(listener)
            await_answer(supervisor, address, "/ready", leave)
            if not leave.is_set():
                supervisor.start()
                _greet(settings, address)
                systemd.tell("READY=1")
            while not leave.rest(supervisor.patience()):
                supervisor.tend()
                systemd.alive()
            _say("draining")
            systemd.tell("STOPPING=1")
            # from here on nobody takes over the socket: what comes later is refused, not left waiting
            supervisor.stop(before={Leaves.SECOND: listener.close})
        finally:
            supervisor.kill()


def lacking(portals: Portals) -> Iterator[str]:
    """What is sure to fail by the settings alone, a sentence each; `callscribe doctor` asks the rest."""
    for portal in portals.values():
        for work, provider in (("transcription", portal.transcription), ("chat", portal.chat)):
            if not provider.key:
                named = f"CALLSCRIBE_ROUTER_KEY or CALLSCRIBE_{work.upper()}_KEY"
                yield f"{portal.id}: no key for {work} is set ({named}): what needs it will fail"
        if portal.tokens and not portal.url:
            yield f"{portal.id}: no address is set (CALLSCRIBE_PORTAL_URL): its callbacks are refused"
        if portal.timeline == "bitrix24" and not portal.webhook:
            yield f"{portal.id}: no webhook is set (CALLSCRIBE_BITRIX24_WEBHOOK): no score can be written"


def await_store(settings: Settings, leave: threading.Event, *, seconds: float = 15.0) -> None:
    """Returns once an external store takes writes; raises its StoreUnavailable when it does not in time."""
    end = time.monotonic() + seconds
    while (error := attached.unreachable(settings)) and not leave.wait(0.5):
        if time.monotonic() > end:
            raise error


def free_forgotten(settings: Settings) -> None:
    """Frees what a service that was killed held in the embedded store: by the lock no other uses it."""
    if settings.redis_url is None:
        attached.free_leases(settings)("")


def await_answer(
    supervisor: Supervisor, address: str, path: str, leave: threading.Event | None = None,
    *, seconds: float = READY_SECONDS,
) -> None:  # fmt: skip
    """Returns once the path answers 200, or `leave` is set.

    Raises CannotStart when a process keeps dying, or after `seconds`.
    """
    end, why = time.monotonic() + seconds, "it does not answer"
    leave = leave or threading.Event()
    while not leave.wait(READY_LOOK_SECONDS):
        supervisor.tend()
        if supervisor.deaths() >= TRIES_TO_START:
            raise CannotStart("a process of the service keeps ending right after its start")
        with suppress(OSError, http.client.HTTPException):
            status, told = _answer(address, path)
            if status == 200:
                return
            why = f"{path} answers {status}: {told[:300]}"
        if time.monotonic() > end:
            raise CannotStart(f"{address}: {why}")


def _answer(address: str, path: str) -> tuple[int, str]:
    """Status and body of a GET by http, nothing of the environment's; raises OSError and HTTPException."""
    url = urlsplit(address)
    with closing(http.client.HTTPConnection(url.hostname or "", url.port, timeout=2.0)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")


def _greet(settings: Settings, address: str) -> None:
    echo(f"callscribe is ready at {address}")
    if attached.is_terminal():
        echo(f"the console: {address}/ (the key: {find_key(settings)})")
    elif settings.api_key is None:
        echo(
            f"the console: {address}/ (its key, which /v1 takes too, lies in {key_file(settings).resolve()})"
        )


def _say(line: str) -> None:
    log.warning("supervisor", says=line)
