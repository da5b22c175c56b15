"""The job store at hand: REDIS_URL's, else the one whose socket lies in DATA_DIR, else one of our own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.cli import CannotStart
from pipeline.cli.supervise import Child, Leaves, Supervisor
from pipeline.domain.errors import StoreUnavailable
from pipeline.settings.installation import Settings
from pipeline.settings.store_url import read_sentinels
from pipeline.store import Store, embedded

LONGEST_FOLDER = 60
STORE_START_SECONDS = 60.0  # a large append-only file takes time to load


class StoreAway(StoreUnavailable):
    """The store of REDIS_URL does not answer, or refuses us."""

    hint = (
        "Start that server, or correct CALLSCRIBE_REDIS_URL: its host, port, password. "
        "Unset, callscribe keeps a store of its own in CALLSCRIBE_DATA_DIR."
    )


class NoStore(CannotStart):
    """No store was ever kept in this DATA_DIR."""

    slug = "no_store"
    hint = (
        "run this in the folder that the service is started in, or name its store by CALLSCRIBE_DATA_DIR or "
        "CALLSCRIBE_REDIS_URL"
    )


class InUse(CannotStart):
    """Another callscribe runs on this DATA_DIR."""

    slug = "in_use"
    hint = "Use that one or end it; a second one takes a folder of its own, CALLSCRIBE_DATA_DIR."


def place(settings: Settings) -> str:
    """Where the store is that a command looks at, without any secret."""
    if settings.redis_url is None:
        return f"{settings.data_dir.resolve()} (CALLSCRIBE_DATA_DIR)"
    url = urlsplit(settings.store_url)
    if url.scheme == "unix":
        return url.path
    if found := read_sentinels(settings.store_url):
        return f"{found.service} of {', '.join(f'{host}:{port}' for host, port in found.hosts)}"
    return f"{url.hostname or 'localhost'}:{url.port or 6379}"


def away(settings: Settings, error: StoreUnavailable) -> StoreUnavailable:
    """The error with the server's host and port, and with what its client says."""
    if settings.redis_url is None:
        return error
    from pipeline.clients.wire import tls_hint

    why = str(error.__cause__ or error.message).strip().rstrip(".")
    found = StoreAway(f"the job store at {place(settings)} does not serve: {why}")
    found.hint = tls_hint(error) or found.hint
    return found


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Holds DATA_DIR for this process; raises CannotStart when another holds it.

    The kernel drops the lock with the process, so nothing stale is ever left.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = (data_dir / "lock").open("a+")
    except OSError as error:
        raise CannotStart(f"CALLSCRIBE_DATA_DIR: {data_dir}: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise InUse(f"another callscribe (process {holder}) runs on {data_dir.resolve()}") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def is_served(settings: Settings) -> bool:
    """Whether the embedded store runs: a service, or another command, uses it now."""
    return embedded.answers(settings.socket)


def store_child(settings: Settings) -> Child:
    """The embedded store as a child; raises StoreUnavailable when this machine has no server for it."""
    socket = settings.socket
    command = embedded.command(_folder(settings), socket)
    socket.unlink(missing_ok=True)  # of a server that was killed; the caller holds the lock
    return Child(
        name="store",
        command=tuple(command),
        leaves=Leaves.LAST,
        ready=lambda process: embedded.wait(process, socket, seconds=STORE_START_SECONDS),
    )


@contextmanager
def opened_store(settings: Settings) -> Iterator[Store]:
    """The store, for as long as the context lasts; starts the embedded one when none runs, and makes none.

    Raises StoreUnavailable; CannotStart, NoStore where nothing lies in DATA_DIR.
    """
    if settings.redis_url or is_served(settings):
        yield from _opened(settings)
        return
    if not _folder(settings).is_dir():
        raise NoStore(f"there is no store in {place(settings)}")
    with locked(settings.data_dir):
        supervisor = Supervisor([store_child(settings)])
        with interrupted_by(signal.SIGTERM):
            try:
                supervisor.start()
                yield from _opened(settings)
            finally:
                supervisor.stop()


def _folder(settings: Settings) -> Path:
    return settings.socket.parent / "store"


def _opened(settings: Settings) -> Iterator[Store]:
    with contextlib.closing(Store(settings.store_url)) as store:
        try:
            store.now()
        except StoreUnavailable as error:
            raise away(settings, error) from None
        yield store


@contextmanager
def interrupted_by(*signals: signal.Signals) -> Iterator[None]:
    """Lets these signals end the context as Ctrl-C does, so that its clean-up runs."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    known = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in known.items():
            signal.signal(number, handler)


def free_leases(settings: Settings) -> Callable[[str], None]:
    """What gives the work of a dead node to others at once; raises StoreUnavailable."""

    def free(node: str) -> None:
        with contextlib.closing(Store(settings.store_url, timeout_seconds=1.0)) as store:
            store.release(node, crashed=True)

    return free


def unreachable(settings: Settings) -> StoreUnavailable | None:
    """Why the store does not take writes, if so."""
    with contextlib.closing(Store(settings.store_url, timeout_seconds=2.0)) as store:
        try:
            store.ping()
        except StoreUnavailable as error:
            return away(settings, error)
    return None


def durability(settings: Settings) -> str:
    """What the store's settings mean for an accepted job, and the remedy; raises StoreUnavailable."""
    with contextlib.closing(Store(settings.store_url, timeout_seconds=2.0)) as store:
        found = store.disk.durability()
    return " ".join(filter(None, (f"the store: {found.says}.", found.hint)))


def short_folder() -> str:
    """Where temporary folders go, with a path short enough for the store's socket (107 bytes)."""
    usual = tempfile.gettempdir()
    return usual if len(usual) <= LONGEST_FOLDER else "/tmp"  # noqa: S108


def is_terminal() -> bool:
    """Whether a person reads our output."""
    return sys.stdout.isatty()
