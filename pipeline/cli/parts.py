"""The processes that make up the service, each as a child to supervise and as a command of its own.

Little is imported before it is needed: the supervisor begins the api ahead of its own code.
"""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from pipeline.cli import CannotListen, CannotStart
from pipeline.cli.supervise import Child, Leaves
from pipeline.domain.errors import SettingsError
from pipeline.domain.kinds import BACKGROUND, MEDIA, UPSTREAM

if TYPE_CHECKING:
    from pipeline.settings.installation import Settings
    from pipeline.settings.portals import Portals

PORT = 8000  # of the api, unless told otherwise
at_port = click.option(
    "--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0: any free."
)
# Which queues a worker serves: media in processes, the others in threads beside each other.
WORKERS = {MEDIA: (MEDIA,), UPSTREAM: (UPSTREAM, BACKGROUND)}
STORAGE_SECONDS = 15.0  # for the audio storage to answer at the start
LEAVE_SECONDS = 10.0  # beyond what a child was told to wait for its work


def worker_command(settings: Settings, queue: str) -> tuple[str, ...]:
    """Celery for one worker: media in processes (native code on untrusted bytes), upstream in threads."""
    pool, size = (
        ("prefork", settings.media_processes)
        if queue == MEDIA
        else ("threads", sum(settings.places.values()))
    )
    options = [
        "--queues",
        ",".join(WORKERS[queue]),
        "--pool",
        pool,
        "--concurrency",
        str(size),
        "--hostname",
        f"{queue}@%h",
    ]
    quiet = ["--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    return (sys.executable, "-m", "workers", *options, *quiet)


def workers(settings: Settings, queues: Sequence[str] = tuple(WORKERS)) -> list[Child]:
    """A worker per queue."""
    return [
        Child(
            name=queue,
            command=worker_command(settings, queue),
            leaves=Leaves.FIRST,
            grace_seconds=settings.drain_seconds + LEAVE_SECONDS,
            worker=True,
        )
        for queue in queues
    ]


class NoStorage(CannotStart):
    """Audio could not be kept."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def check_storage(settings: Settings) -> None:
    """Raises NoStorage where audio cannot be kept, SettingsError where STORAGE_URL makes no sense."""
    from pipeline.storage.blobs import Blobs, StorageFails
    from pipeline.web.storage_watch import StorageWatch

    watch = StorageWatch(Blobs.open(settings.storage))
    try:
        if why := watch.first(STORAGE_SECONDS):
            place = urlsplit(settings.storage)
            url = f"{place.scheme}://{place.netloc.rpartition('@')[2]}{place.path}"
            raise NoStorage(f"{url}: {why}", StorageFails.hint)
    finally:
        watch.close()


def begin(settings: Settings, portals: Portals) -> None:
    """From here on this process of the service speaks in log lines alone, in the format that is set."""
    from pipeline.telemetry.logs import configure, secrets_of, take_over

    configure(settings.log_format, secrets=secrets_of(settings, portals))
    take_over()


def unwritable(folder: Path) -> str | None:
    """Makes the folder if need be: why no file can be written there, or None."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or type(error).__name__


def checked(settings: Settings) -> Portals:
    """The portals in force; raises SettingsError for what would keep the service from its work."""
    if settings.capture_dir and (why := unwritable(settings.capture_dir)):
        raise SettingsError(f"CALLSCRIBE_CAPTURE_DIR: {settings.capture_dir} cannot be written: {why}")
    from pipeline.steps.tools import checked_portals

    return checked_portals(settings)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, port 0: any free one.

    The supervisor keeps it while it hands it to the api, so that connections wait, and are not refused,
    while the api is started again. Raises CannotListen.
    """
    listener = unbound(host, port)
    bind(listener, host, port)
    return listener


def unbound(host: str, port: int) -> socket.socket:
    """The socket that `bind` makes a listening one; that an address is none is left to `bind` to say."""
    try:
        family = _resolved(host, port)[0]
    except OSError:
        family = socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM)


def bind(listener: socket.socket, host: str, port: int) -> None:
    """From here on connections wait at it. Raises CannotListen, and closes it."""
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # asyncio sets it on sockets of its own alone; without it answers on kept connections take 40 ms
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(_resolved(host, port)[1])
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror}") from None


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return family, address


def address_of(listener: socket.socket) -> str:
    """http://HOST:PORT of a listening socket, as this machine reaches it."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (compared, not bound)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def api(listener: socket.socket, processes: int = 1) -> list[Child]:
    """The api on an open socket, in as many processes that take turns at it."""
    return [
        Child(
            name="api" if number == 1 else f"api-{number}",
            command=(sys.executable, "-m", "pipeline", "api", "--fd", str(listener.fileno())),
            leaves=Leaves.SECOND,
            pass_fds=(listener.fileno(),),
            held=("--held",),
        )
        for number in range(1, processes + 1)
    ]
