"""What is tried from within the process that reads a recording; so it imports little."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.audio.split import split
from pipeline.domain.errors import NoSpeech
from pipeline.domain.recording import Chunk, Media, Plan, Span


def counted(to: int, seconds: float = 0.0) -> Iterator[Span]:
    """So many spans, with a pause before the last; a refusal where they would be too many."""
    for number in range(to):
        if number == to - 1:
            time.sleep(seconds)
        if number == 1000:
            raise NoSpeech("a thousand")
        yield Span(start=number, end=number + 1)


def dies(after: int) -> Iterator[Span]:
    """The process ends in the middle."""
    yield from counted(after)
    os._exit(3)
    yield Span(start=0, end=0)


Told = dict[str, str | int | list[str] | list[int]]


def found() -> Told:
    """What the process has."""
    open_ones = []
    for number in range(256):
        with contextlib.suppress(OSError):
            fcntl.fcntl(number, fcntl.F_GETFD)
            open_ones.append(number)
    libc = ctypes.CDLL(None)
    return {
        "environment": sorted(os.environ),
        "modules": sorted(name for name in sys.modules if name.count(".") <= 1),
        "open": open_ones,
        "no_new_privileges": libc.prctl(39, 0, 0, 0, 0),
        "dumpable": libc.prctl(3, 0, 0, 0, 0),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
    }


def refused(secret: Path, near: str, port: int, worker: int, folder: Path) -> dict[str, str]:
    """What each attempt to get out brings: the error's name, or "done"."""
    name = str(secret.parent / "near.sock")
    parent = os.getppid()

    def connect_tcp() -> None:
        socket.create_connection(("127.0.0.1", port), timeout=2)

    def connect_unix() -> None:
        socket.socket(socket.AF_UNIX).connect(near)

    def raise_limit() -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (soft + (1 << 30), hard + (1 << 30)))

    libc = ctypes.CDLL(None, use_errno=True)

    def ok(found: int) -> None:
        if found < 0:
            raise OSError(ctypes.get_errno(), "")

    def unlinked(path: Path) -> None:
        path.write_bytes(b"x")
        path.unlink()

    tries: dict[str, Callable[[], object]] = {
        "connect by TCP": connect_tcp,
        "connect to a socket of a file": connect_unix,
        "send by UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "listen": lambda: socket.create_server(("127.0.0.1", 0)),
        "a pair of sockets": socket.socketpair,
        "read another file": lambda: Path(name).with_name("secret").read_text(),
        "list a folder": lambda: list(Path("/").iterdir()),
        "write elsewhere": lambda: Path(name).with_name("new").write_text("x"),
        "link to another file": lambda: (folder / "link").symlink_to(name),
        "give another file a name": lambda: os.link(Path(name).with_name("secret"), folder / "taken"),
        "the environment of the one that forked it": lambda: Path(f"/proc/{parent}/environ").read_bytes(),
        "the environment of the worker": lambda: Path(f"/proc/{worker}/environ").read_bytes(),
        "the memory of the worker": lambda: os.open(f"/proc/{worker}/mem", os.O_RDONLY),
        "the worker's files": lambda: list(Path(f"/proc/{worker}/fd").iterdir()),
        "a signal to the worker": lambda: os.kill(worker, 0),
        "a signal to the one that forked it": lambda: os.kill(parent, 0),
        "limits of the worker": lambda: resource.prlimit(worker, resource.RLIMIT_CORE, (0, 0)),
        "its own limits": raise_limit,
        "a process of its own": os.fork,
        "memory of a file": lambda: os.memfd_create("x"),
        "memory that is shared": lambda: mmap.mmap(-1, 4096),
        "memory that outlives it": lambda: ok(libc.shmget(0, 4096, 0o1600)),
        "a queue that outlives it": lambda: ok(libc.msgget(0, 0o1600)),
        "semaphores that outlive it": lambda: ok(libc.semget(0, 1, 0o1600)),
        "a file without a name": lambda: os.open(folder, os.O_TMPFILE | os.O_RDWR),
        "a file that is open without its name": lambda: unlinked(folder / "made"),
        "another folder": lambda: (folder / "more").mkdir(),
        "another program": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
    }
    told = {}
    for what, attempt in tries.items():
        try:
            attempt()
            told[what] = "done"
        except (OSError, ValueError) as error:
            told[what] = type(error).__name__
    return told


def bent(span: Span, factor: float, *, names: tuple[str, ...]) -> tuple[Span, ...]:
    """Values of many kinds, there and back."""
    return tuple(Span(start=span.start * factor, end=span.end + at) for at, _ in enumerate(names))


def silent(path: Path) -> int:
    """A refusal, with a word."""
    raise NoSpeech(f"nobody speaks in {path.name}")


def no_room(number: int) -> int:
    """An error of the system."""
    raise OSError(number, os.strerror(number))


def broken() -> int:
    """What nobody foresaw."""
    raise ZeroDivisionError("the caller said: my number is 123456")


def kill_itself(number: int) -> int:
    """A crash of native code, as FFmpeg's would be."""
    signal.setitimer(signal.ITIMER_PROF, 0)
    if number == signal.SIGSEGV:
        ctypes.string_at(0)
    ctypes.CDLL(None).abort()
    return 0


def spin() -> int:
    """Native code that is deaf to signals."""
    return sum(range(10**13))


def fill(folder: Path, files: int, size: int) -> int:
    """So many files of that size, then a wait."""
    for number in range(files):
        with (folder / str(number)).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size) if size else None
    time.sleep(60)
    return files


def thread() -> int:
    """FFmpeg decodes in threads."""
    found: list[int] = []
    worker = threading.Thread(target=lambda: found.append(7))
    worker.start()
    worker.join()
    return found[0]


def swell(most: int) -> int:
    """Takes memory."""
    return len(bytearray(most))


def wait(path: Path) -> int:
    """Tells that it began, and goes on for a long time without working."""
    (path / "begun").touch()
    signal.pause()
    return 0


def crash(path: Path, **_: object) -> Iterator[Plan]:
    """In the place of `split`: over this recording its process dies."""
    os._exit(1)


def poisoned(path: Path, **facts: Any) -> Iterator[Media | Plan | Chunk]:
    """In the place of `split`: a large recording crashes its process, any other is read."""
    if path.stat().st_size > 40_000:
        ctypes.string_at(0)
    yield from split(path, **facts)


def lie(answer: str, size: int) -> Span:
    """What a process says that was taken over."""
    for number in range(3, 64):
        with contextlib.suppress(OSError):
            while size > 0:
                size -= os.write(number, answer.encode()[:size] or bytes(min(size, 1 << 16)))
    os._exit(0)


def lingers(seconds: float) -> int:
    """Says that it has come to its end, and does not."""
    for number in range(3, 64):
        with contextlib.suppress(OSError):
            os.write(number, b"\n")
    time.sleep(seconds)
    return 7


def niceness() -> int:
    """How far this process gives way to others."""
    return os.nice(0)
