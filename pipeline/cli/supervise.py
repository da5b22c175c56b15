"""One supervisor: starts the service's processes, restarts them, and leaves none behind.

- The kernel kills every child as soon as the supervisor is gone, however it goes (Linux: PDEATHSIG).
- Each child leads a process group of its own, so a terminal's Ctrl-C reaches the supervisor alone, and
  what a dead child leaves behind is killed by its group.
- A worker that dies unasked has its leases freed at once, by the name of its node.
- Draining goes in order: workers stop claiming and leave, then the api, what stands beside, the store.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import IO

from pipeline.cli import CannotStart
from pipeline.run import systemd

ROOT = Path(__file__).resolve().parents[2]
PR_SET_PDEATHSIG = 1  # linux/prctl.h
# while the api or the store is away portals lose calls: the pause only keeps a loop from burning a core
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, SETTLED_SECONDS = 0.2, 2.0, 10.0
GONE_SECONDS = 1.0
LOOK_SECONDS, RETRY_SECONDS = 1.0, 0.1


class Leaves(IntEnum):
    """When a child is stopped: in this order."""

    FIRST = 0  # workers
    SECOND = 1  # the api
    THIRD = 2  # what stands beside: the sandbox
    LAST = 3  # the store


@dataclass(frozen=True, kw_only=True)
class Child:
    """A process to be kept running.

    grace_seconds: how long it may take to leave after SIGTERM before it is killed.
    worker: it gets CALLSCRIBE_NODE, a name that is new with each start and begins its lease owners.
    ready: called once after each start, returns when the child serves, raises when it does not.
    held: what its command takes to be begun ahead: it loads its code, then waits for a byte on its standard
    input, and leaves when that ends without one.
    """

    name: str
    command: tuple[str, ...]
    leaves: Leaves
    grace_seconds: float = 10.0
    worker: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    pass_fds: tuple[int, ...] = ()
    ready: Callable[[subprocess.Popen[bytes]], None] | None = None
    held: tuple[str, ...] = ()


@dataclass
class _Kept:
    child: Child
    process: subprocess.Popen[bytes] | None = None
    word: IO[bytes] | None = None  # on which a child that was begun ahead hears that it may go on
    node: str = ""
    started: float = 0.0
    deaths: int = 0  # in a row, without a settled run between
    due: float = math.inf  # when it is to be started again, monotonic; begun by `start` alone


class Supervisor:
    """Not thread-safe; all methods are called from the main thread, since the kernel ties children to it.

    env: of all children. cwd: where they run. logs: a folder for one file per child; None: they inherit
    stderr. lost: called with the node name of a worker that died unasked, after all of it is dead; it may
    raise, then it is called again later. say: hears one line per thing that happened.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        logs: Path | None = None,
        lost: Callable[[str], None] | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._kept: list[_Kept] = []
        self._env = dict(env if env is not None else os.environ)
        self._cwd, self._logs, self._lost, self._say = cwd, logs, lost, say
        self._lost_nodes: list[str] = []
        self._parent = os.getpid()
        self._libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        self.add(children)

    def add(
        self,
        children: Iterable[Child],
        *,
        lost: Callable[[str], None] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        """More children, for the next `start`; lost, say: in place of the constructor's."""
        self._kept += [_Kept(child=child) for child in children]
        self._kept.sort(key=lambda kept: -kept.child.leaves)
        self._lost, self._say = lost or self._lost, say or self._say

    def prepare(self) -> None:
        """Begins ahead what may be: it loads its code while the caller still looks whether it may start."""
        for kept in self._kept:
            if kept.child.held and kept.process is None:
                kept.process = self._spawn(kept, held=True)
                kept.word = kept.process.stdin

    def start(self, *, down_to: Leaves = Leaves.FIRST) -> None:
        """Starts what does not run yet, the store first; raises what a child's `ready` raises.

        down_to: the last group, so that the rest can be started when what comes first serves.
        """
        for kept in self._kept:
            if (kept.process is None or kept.word) and kept.child.leaves >= down_to:
                self._start(kept)

    def tend(self) -> None:
        """One look at all children: frees what the dead held, starts again what is due. Does not block."""
        for kept in self._kept:
            process = kept.process
            if process is not None and process.poll() is not None:
                self._buried(kept, process)
            if kept.process is None and time.monotonic() >= kept.due:
                self._start(kept, wait=False)
        while self._lost_nodes and self._lost:
            try:
                self._lost(self._lost_nodes[0])
            except Exception as error:  # the store may be down just now; its leases expire in any case
                self._say(f"leases of {self._lost_nodes[0]} are not freed yet: {error}")
                break
            self._lost_nodes.pop(0)

    def patience(self) -> float:
        """Seconds until there is something to tend, if no child ends meanwhile."""
        due = min((kept.due for kept in self._kept if kept.process is None), default=math.inf)
        again = RETRY_SECONDS if self._lost_nodes else LOOK_SECONDS
        return min(again, max(0.0, due - time.monotonic()))

    def deaths(self) -> int:
        """The most deaths in a row of any child, by which a start that cannot succeed is told."""
        return max(kept.deaths for kept in self._kept)

    def pids(self) -> dict[str, int]:
        """Process ids of the running children by name."""
        return {kept.child.name: kept.process.pid for kept in self._kept if kept.process}

    def stop(self, *, before: Mapping[Leaves, Callable[[], None]] | None = None) -> None:
        """Drains in order and returns when nothing is left; `before` is called ahead of each group."""
        for leaves in Leaves:
            if before and leaves in before:
                before[leaves]()
            group = [kept for kept in self._kept if kept.child.leaves is leaves and kept.process]
            for kept in group:
                assert kept.process
                kept.process.terminate()
            for kept in group:
                self._await_end(kept)

    def kill(self) -> None:
        """Ends everything at once."""
        for kept in self._kept:
            if kept.process:
                self._end(kept, kept.process)

    # -- one child

    def _start(self, kept: _Kept, *, wait: bool = True) -> None:
        if kept.word:
            with contextlib.suppress(BrokenPipeError), kept.word:  # one that has ended is started again
                kept.word.write(b"\n")
            kept.word = None
        else:
            kept.process = self._spawn(kept)
        kept.started = time.monotonic()
        if kept.child.ready and wait:
            assert kept.process
            kept.child.ready(kept.process)

    def _spawn(self, kept: _Kept, *, held: bool = False) -> subprocess.Popen[bytes]:
        child = kept.child
        kept.node = f"{child.name}-{secrets.token_hex(5)}."
        env = {**self._env, **child.env, "PYTHONPATH": _python_path(self._env)}
        env.pop(systemd.SOCKET, None)  # it is the supervisor that is watched
        if child.worker:
            env["CALLSCRIBE_NODE"] = kept.node
        log = self._log(child.name)
        try:
            return subprocess.Popen(  # noqa: S603 (our own command lines)
                (*child.command, *(child.held if held else ())),
                env=env,
                cwd=self._cwd,
                stdin=subprocess.PIPE if held else subprocess.DEVNULL,
                stdout=log or sys.stderr,
                stderr=log or sys.stderr,
                start_new_session=True,
                pass_fds=child.pass_fds,
                preexec_fn=self._tie,  # the supervisor has no threads, so nothing can be locked here
            )
        except OSError as error:
            raise CannotStart(f"{child.name}: {error}") from None
        finally:
            if log:
                log.close()

    def _tie(self) -> None:
        if self._libc is not None:
            self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != self._parent:  # the parent died between the fork and this line
                os._exit(1)

    def _log(self, name: str) -> IO[bytes] | None:
        if self._logs is None:
            return None
        self._logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        return (self._logs / f"{name}.log").open("ab")

    def _buried(self, kept: _Kept, process: subprocess.Popen[bytes]) -> None:
        _kill_group(process.pid)  # pool processes must be dead before their leases are given to others
        settled = time.monotonic() - kept.started > SETTLED_SECONDS
        kept.deaths = 1 if settled else kept.deaths + 1
        delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** (kept.deaths - 1))
        kept.process, kept.due = None, time.monotonic() + delay
        if kept.child.worker:
            self._lost_nodes.append(kept.node)
        self._say(f"{kept.child.name} {_ending(process.returncode)}; starting it again in {delay:.1f} s")

    def _await_end(self, kept: _Kept) -> None:
        process = kept.process
        assert process
        try:
            process.wait(kept.child.grace_seconds)
        except subprocess.TimeoutExpired:
            self._say(f"{kept.child.name} did not leave in {kept.child.grace_seconds:.0f} s and is killed")
        self._end(kept, process)

    def _end(self, kept: _Kept, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        _kill_group(process.pid)
        if kept.word:
            kept.word.close()
        kept.process = kept.word = None


class Leaving(threading.Event):
    """Set by SIGTERM, Ctrl-C or a terminal that closes; a second signal ends at once (KeyboardInterrupt).

    Made in the main thread, once.
    """

    def __init__(self) -> None:
        super().__init__()
        self._heard, self._told = socket.socketpair()
        for end in (self._heard, self._told):
            end.setblocking(False)
        signal.set_wakeup_fd(self._told.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # a signal without a handler wakes nobody
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._hear)

    def rest(self, seconds: float) -> bool:
        """Until it is set, a child has ended, or the time is over; whether it is set."""
        select.select([self._heard], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            self._heard.recv(4096)
        return self.is_set()

    def _hear(self, number: int, frame: object) -> None:
        if self.is_set():
            raise KeyboardInterrupt
        self.set()


def _kill_group(leader: int) -> None:
    """Kills what is left of the group and waits until it is gone, for a moment at the most.

    Where nobody reaps the orphans of a container they stay as zombies, which hold and write nothing.
    """
    end = time.monotonic() + GONE_SECONDS
    with contextlib.suppress(
        ProcessLookupError, PermissionError
    ):  # the group is empty; macOS answers this for zombies
        os.killpg(leader, signal.SIGKILL)
        while time.monotonic() < end:
            os.killpg(leader, 0)
            time.sleep(0.005)


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"left with code {code}"


def _python_path(env: Mapping[str, str]) -> str:
    """Children run in any directory, also where the package is not installed."""
    known = env.get("PYTHONPATH", "")
    return f"{ROOT}{os.pathsep}{known}" if known else str(ROOT)
