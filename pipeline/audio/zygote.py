"""The process in which recordings are read: `python -m pipeline.audio.zygote FOLDER`, started by decoder.py
alone; FOLDER is for temporary files.

It begins with an empty environment and knows no settings, no store and no key. It has FFmpeg and libmagic in
memory and forks a process for each call, since importing them anew takes longer than reading a short call;
the next one is there before its call comes.
What a recording breaks into is that process: it reads one recording, in limits that cannot be raised, without
network, sockets, other files, other programs or other processes, says what it found in JSON, and ends.
What its files take together is looked at from here.

On the standard input comes a call after the other, pickled by our own worker; on the standard output go
frames: HEAD, then what is told. A first one names what the system cannot confine; then, for each call, one
per answer (a function that yields gives many), and a last one, empty, that tells how the process ended. Both
are closed in the process that reads.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import json
import mmap
import os
import pickle
import select
import signal
import struct
import sys
import tempfile
import time
import traceback
import wave
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.audio.confine import Limits, confined, data_bytes
from pipeline.confinement.files import landlock_version, python_code, restrict_files
from pipeline.confinement.privileges import die_with_parent, drop_capabilities, give_up, leave_network
from pipeline.confinement.scratch import scratch
from pipeline.confinement.system_calls import can_refuse, refuse_system_calls
from pipeline.domain.errors import Refused, StoreUnavailable
from pipeline.domain.plain import to_plain

# of a call: milliseconds that it may take; of an answer: MORE, or how the process ended (negative: by which
# signal); then the bytes that follow
HEAD = struct.Struct(">iQ")
MORE = 1 << 16
REST_SECONDS = 0.02  # before the next reader is made: about what follows the reading of a short call
LOOK_SECONDS = 0.5  # between two looks at what its files take
MOST_BYTES = 64 << 20  # of all answers; the plan of four hours of two channels takes a twentieth
LARGE_BYTES = 16 << 20  # more than a call of minutes takes
LARGE_PAGE = 2 << 20
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Limits]


def main() -> None:
    """Serves calls until the standard input ends, as it does with the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the worker, who lets a step come to its end
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tempfile.tempdir = sys.argv[1]
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):  # native code may write there whatever it likes
        os.dup2(nothing, number)
    os.close(nothing)
    lacks = [] if leave_network() else ["network"]
    lacks += [] if landlock_version() else ["files"]
    lacks += [] if can_refuse() else ["system calls"]
    give_up()
    drop_capabilities()
    _load()
    _put(answers, 0, json.dumps(lacks).encode())
    while True:
        # ahead of its call, which need not wait for it; what the last one found is gone on with meanwhile
        reader = None if _comes(calls.fileno(), REST_SECONDS) else _Reader.forked(calls, answers)
        if not (head := calls.read(HEAD.size)):
            break
        milliseconds, size = HEAD.unpack(head)
        asked = calls.read(size)
        reader = reader or _Reader.forked(calls, answers)
        for frame in reader.read(asked, milliseconds / 1000, calls) if reader else _failed(errno.EAGAIN):
            _put(answers, *frame)


def _load() -> None:
    """Has ready what every call needs, so that the forked processes share it."""
    _keep_memory()
    os.environ["PATH"] = ""  # pydub looks for programs there, and breaks where there is none
    import_module("encodings.ascii")  # in which the limits' begin is read
    for name in ("halve", "join", "keep", "sniff", "split"):
        import_module(f"pipeline.audio.{name}")
    import_module("pipeline.audio.opening").sound_decoders()
    import_module("pipeline.audio.libmagic").packed(b"")
    import_module("pipeline.audio.arrays").load()
    os.environ.clear()
    python_code()
    _rehearse(1, 2)
    gc.collect()
    gc.freeze()
    _align_memory()


def _keep_memory() -> None:
    """Has the C library keep the memory that it was given (mallopt(3)): each second of a recording takes the
    same again, and the system's pages cost more than what is done with them.
    """
    if set_option := getattr(ctypes.CDLL(None), "mallopt", None):  # glibc
        set_option(M_MMAP_THRESHOLD, 32 << 20)
        set_option(M_TRIM_THRESHOLD, 1 << 30)
        set_option(M_TOP_PAD, 1 << 20)


def _align_memory() -> None:
    """Has what the C library gives next begin with a large page."""
    if not (libc := _libc()):
        return
    libc.malloc_trim(ctypes.c_size_t(0))
    for _ in range(8):  # some of what fills it up may come from elsewhere
        libc.free(ctypes.c_void_p(at := libc.malloc(ctypes.c_size_t(LARGE_BYTES))))
        if not at or (left := -at % LARGE_PAGE) < mmap.PAGESIZE:
            return
        libc.malloc(ctypes.c_size_t(left))


def _take_memory() -> None:
    """Has the system give the memory that is new to this process in large pages (madvise(2)): one is there as
    soon as some twenty of the five hundred small ones that it stands for.
    """
    libc = _libc()
    if libc and (at := libc.malloc(ctypes.c_size_t(LARGE_BYTES))):
        page = at // mmap.PAGESIZE * mmap.PAGESIZE
        libc.madvise(ctypes.c_void_p(page), ctypes.c_size_t(LARGE_BYTES), mmap.MADV_HUGEPAGE)
        libc.free(ctypes.c_void_p(at))  # it stays with the C library


def _libc() -> Any:
    """None where it is not glibc."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    return libc if hasattr(libc, "mallopt") else None


def _rehearse(*kinds: int) -> None:
    """Reads sounds of our own making, on so many sides each: what is imported late is here then, Python's
    code is warm, and the memory that it changes is this process's own.
    """
    split, limits = (import_module(f"pipeline.audio.{name}") for name in ("split", "limits"))
    for sides in kinds:
        # where there is no room for it the call finds its way by itself
        with suppress(OSError, Refused, StoreUnavailable), scratch() as folder:
            path = folder / "sound"
            path.write_bytes(_hum(sides))
            parts = split.split(
                path, sha256="", content_type=None, out=folder, chunk_seconds=600, uploads_per_minute=20,
                limits=limits.UploadLimits(), name="piece", max_seconds=60.0,
            )  # fmt: skip
            for _ in parts:
                pass


@cache
def _hum(sides: int) -> bytes:
    """A wav of a second, in which somebody hums with pauses, or two take turns on a side each."""
    one = [(at % 80 * 99 - 4000) * (at % 2000 < 1500) for at in range(8000)]
    turns = (lambda at: (at % 80 * 99 - 4000, 0), lambda at: (0, at % 50 * 160 - 4000))
    two = [sample for at in range(8000) for sample in turns[at // 2000 % 2](at)]
    made = BytesIO()
    with wave.open(made, "wb") as sound:
        sound.setparams((sides, 2, 8000, 0, "NONE", ""))
        sound.writeframes(array("h", one if sides == 1 else two).tobytes())
    return made.getvalue()


def _put(answers: BinaryIO, ended: int, answer: bytes) -> None:
    answers.write(HEAD.pack(ended, len(answer)) + answer)
    answers.flush()


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """A process that waits for one call, and ends with it; it does not outlive this one.

    call: where it is written; answers: where they come from.
    """

    process: int
    call: int
    answers: int

    @classmethod
    def forked(cls, calls: BinaryIO, answers: BinaryIO) -> _Reader | None:
        """A new one; None where the system has no room for it now."""
        parent, pipes = os.getpid(), list[int]()
        try:
            pipes += os.pipe()
            pipes += os.pipe()
            process = os.fork()
        except OSError:
            for number in pipes:
                os.close(number)
            return None
        call, asks, tells, told = pipes
        if not process:
            try:
                die_with_parent()
                for number in (calls.fileno(), answers.fileno(), asks, tells):
                    os.close(number)
                _take_memory()
                if not _comes(call, 0.0):
                    _rehearse(1)
                if os.getppid() == parent:
                    _answer(call, told)
            finally:
                os._exit(0)
        os.close(call)
        os.close(told)
        return cls(process=process, call=asks, answers=tells)

    def read(self, asked: bytes, seconds: float, calls: BinaryIO) -> Iterator[tuple[int, bytes]]:
        """What it answers to the call, as it comes, and how it ended."""
        with suppress(BrokenPipeError), os.fdopen(self.call, "wb") as call:  # killed: its end tells
            call.write(asked)
        called: Call = pickle.loads(asked)  # noqa: S301 (of our own worker, never of a recording)
        _, args, kwargs, limits = called
        folders = [path for path in _paths([args, kwargs]) if path.is_dir()]
        line = bytearray()  # that is not whole yet
        total, look, short, done = 0, 0.0, 0, False
        with os.fdopen(self.answers, "rb", buffering=0) as pipe:
            poll = select.poll()
            poll.register(pipe, select.POLLIN)
            poll.register(calls, 0)  # tells when the worker has gone
            end = time.monotonic() + seconds
            while not done:
                pause = min(LOOK_SECONDS, max(0.0, end - time.monotonic()))
                ready = [number for number, _ in poll.poll(pause * 1000)]
                if (now := time.monotonic()) >= look:
                    short, look = _short_of(folders, limits), now + LOOK_SECONDS
                if short or now >= end or calls.fileno() in ready or total > MOST_BYTES:
                    break
                if not ready:
                    continue
                if not (more := pipe.read(1 << 16)):
                    break
                total += len(more)
                *whole, rest = more.split(b"\n")
                for part in whole:
                    if done := not line + part:
                        break
                    yield MORE, bytes(line) + part
                    line.clear()
                line += rest
        if done:  # it is not waited for: to take its memory apart takes as long as to read a second
            yield 0, b""
        os.kill(self.process, signal.SIGKILL)  # nor does one live on that answers no more
        _, status = os.waitpid(self.process, 0)
        if done:
            return
        if short == errno.ENOSPC:
            yield from _failed(short)
            return
        if line:
            yield MORE, bytes(line)
        yield os.waitstatus_to_exitcode(status), b""


def _short_of(folders: list[Path], limits: Limits) -> int:
    """EDQUOT where the files that it made there take more than they may; ENOSPC where the disk has less left
    than a quarter of what they take, before others who write there feel it; else 0.
    """
    for folder in folders:
        try:
            with os.scandir(folder) as found:
                sizes = [
                    file.stat(follow_symlinks=False).st_blocks * 512
                    for file in islice(found, limits.folder_files)
                ]
            disk = os.statvfs(folder)
        except OSError:  # the folder went, and the worker with it
            continue
        if len(sizes) >= limits.folder_files or sum(sizes) > limits.folder_bytes:
            return errno.EDQUOT
        if sum(sizes) > 4 * disk.f_bavail * disk.f_frsize:
            return errno.ENOSPC
    return 0


def _failed(code: int) -> Iterator[tuple[int, bytes]]:
    """The system lacks something now: a process, room on the disk."""
    yield MORE, json.dumps({"errno": code}).encode()
    yield 0, b""


def _comes(call: int, seconds: float) -> bool:
    """Whether there is a call by then, or the worker has gone."""
    poll = select.poll()
    poll.register(call, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _answer(call: int, told: int) -> None:
    """In the process that reads: the one call, and its answers. What can be done before it comes is."""
    refuse_system_calls()
    held_bytes = data_bytes()
    with os.fdopen(call, "rb") as pipe:
        asked = pipe.read()
    if not asked:  # no call will come
        return
    called: Call = pickle.loads(asked)  # noqa: S301 (of our own worker, never of a recording)
    with os.fdopen(told, "wb") as pipe:
        for answer in _done(called, held_bytes):
            pipe.write(json.dumps(answer).encode() + b"\n")
            pipe.flush()
        pipe.write(b"\n")  # that was all


def _done(call: Call, held_bytes: int | None) -> Iterator[dict[str, Any]]:
    """The call's answers in plain values: what it yields and returns, how the recording is refused, or what
    broke.
    """
    try:
        function, args, kwargs, limits = call
        with confined(limits, held_bytes):
            paths = list(_paths([args, kwargs]))
            restrict_files(
                read=[path for path in paths if not path.is_dir()],
                write=[path for path in paths if path.is_dir()],
            )
            made = function(*args, **kwargs)
            if isinstance(made, Iterator):
                yield from ({"item": to_plain(item)} for item in made)
                made = None
            yield {"value": to_plain(made)}
    except Refused as error:
        yield {"refused": error.slug, "message": error.message}
    except Exception as error:
        code = error.errno if isinstance(error, OSError) else None
        where = [f"{at.filename}:{at.lineno} {at.name}" for at in traceback.extract_tb(error.__traceback__)]
        yield {"broke": type(error).__name__, "errno": code, "where": where}


def _paths(value: Any) -> Iterator[Path]:
    """The paths among a call's arguments: what it may open."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, dict):
        yield from _paths(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _paths(item)


if __name__ == "__main__":
    main()
