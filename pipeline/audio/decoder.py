"""Functions that read recordings, run in a process that holds nothing worth stealing (zygote.py).

What comes back is an outsider's word, since native code that reads hostile bytes may have been taken over: it
is bounded, read as JSON, and believed only as far as the function's own return type goes.
"""

from __future__ import annotations

import errno
import json
import math
import os
import pickle
import re
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, get_args, get_type_hints

import structlog
from pydantic import TypeAdapter, ValidationError

import pipeline
from pipeline.audio.confine import Limits
from pipeline.audio.zygote import HEAD, MORE, MOST_BYTES
from pipeline.domain.errors import CallscribeError, DecoderDied, NoSpeech, NotAudio, TooLarge, TooLong

P = ParamSpec("P")
T = TypeVar("T")

REFUSALS = {cls.slug: cls for cls in (NotAudio, NoSpeech, TooLarge, TooLong)}
MESSAGE_CHARACTERS = 300
ASIDE = 10  # nice(2): a tenth of a processor that others want as well
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

log = structlog.get_logger()


class DecoderUnavailable(CallscribeError):
    """The process that reads recordings cannot be started."""

    slug = "decoder_unavailable"
    transient = True
    hint = "The package, or what it rests on, is damaged: install it anew."


class Decoder:
    """Runs functions apart, one at a time; thread-safe. Its process starts with the first call."""

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008 (frozen)
        self._limits = limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._greeted = False
        self.unconfined: tuple[str, ...] = ()  # what its system cannot confine, known after a call

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """function(*args, **kwargs), run apart. It sees those files that are among its arguments: a path to a
        file is for reading, a path to a folder for writing files into it.

        The function stands on a module's top level, and its return type is what JSON can hold, or dataclasses
        of it. Raises what it refuses a recording with (NotAudio, NoSpeech, TooLarge, TooLong), OSError,
        DecoderDied when its process ended over it, DecoderUnavailable.
        """
        return self._ran(self._limits, function, args, kwargs)

    def run_aside(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run`, for what nobody waits for: it gives way to the machine's other work."""
        return self._ran(replace(self._limits, niceness=ASIDE), function, args, kwargs)

    def _ran(self, limits: Limits, function: Callable[..., T], args: Any, kwargs: Any) -> T:
        *_, answer = [b"", *self._answers(pickle.dumps((function, args, kwargs, limits)))]
        value: T = _read(answer, _type_of(function))
        return value

    def stream(self, function: Callable[P, Iterator[T]], *args: P.args, **kwargs: P.kwargs) -> Generator[T]:
        """What function(*args, **kwargs) yields, each as soon as it is there; else as `run`.

        No other call is served until its end, or until it is closed, which ends the process.
        """
        with closing(self._answers(pickle.dumps((function, args, kwargs, self._limits)))) as answers:
            last = b""
            for answer in answers:
                if answer.startswith(b'{"item":'):
                    yield _read(answer, _items_of(function), "item")
                else:
                    last = answer
        _read(last, TypeAdapter(None))

    def _answers(self, call: bytes) -> Generator[bytes]:
        """The answers to a call; raises DecoderDied where its process did not come to its end."""
        with self._lock:
            process = self._started()
            ended = MORE
            try:
                self._ask(process, call)
                while ended == MORE:
                    ended, answer = self._frame(process)
                    if ended == MORE:
                        yield answer
            finally:
                if ended == MORE:  # an interruption, for one: what else it answers belongs to no later call
                    self._end()
        if ended:
            raise DecoderDied(f"The process that read the recording ended with {ended}.")

    def start(self) -> None:
        """Starts the process now, so that the first call need not wait for it; does not wait itself."""
        with self._lock:
            self._begun()

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            self._end()

    def _begun(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._greeted = False
            self._process = subprocess.Popen(  # noqa: S603 (of ours)
                [sys.executable, "-m", "pipeline.audio.zygote", tempfile.gettempdir()],
                cwd=Path(pipeline.__file__).parents[1],
                env={},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # a terminal's signals are for the worker
            )
        return self._process

    def _started(self) -> subprocess.Popen[bytes]:
        process = self._begun()
        if not self._greeted:
            try:
                _, greeting = _frame(process)
            except EOFError:
                self._end()
                raise DecoderUnavailable from None
            self._greeted = True
            self.unconfined = tuple(json.loads(greeting))
            if self.unconfined:
                log.info("decoder_not_confined", of=self.unconfined, why="The system does not allow it.")
        return process

    def _ask(self, process: subprocess.Popen[bytes], call: bytes) -> None:
        assert process.stdin
        try:
            process.stdin.write(HEAD.pack(int(self._limits.wall_seconds * 1000), len(call)) + call)
            process.stdin.flush()
        except BrokenPipeError:
            raise DecoderDied("The process that reads recordings was killed.") from None

    def _frame(self, process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
        try:
            return _frame(process)
        except EOFError:
            raise DecoderDied("The process that reads recordings was killed.") from None

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            with suppress(BrokenPipeError):
                pipe.close()
        self._process = None


def written(folder: Path, name: str) -> Path:
    """A file that was written apart, by the name that was answered: an ordinary one, in that folder.

    Raises DecoderDied for any other: a link would make us send another file of this machine to a recogniser.
    """
    if not NAME.fullmatch(name):
        raise DecoderDied("The process that read the recording named a file that it may not name.")
    path = folder / name
    found = path.lstat() if path.exists() else None
    if found is None or not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise DecoderDied("The process that read the recording wrote something other than a file.")
    return path


def _frame(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    assert process.stdout
    head = process.stdout.read(HEAD.size)
    if len(head) < HEAD.size:
        raise EOFError
    ended, size = HEAD.unpack(head)
    body = process.stdout.read(size)
    if len(body) < size:
        raise EOFError
    return ended, body


@cache
def _type_of(function: Callable[..., Any]) -> TypeAdapter[Any]:
    return TypeAdapter(get_type_hints(function)["return"])


@cache
def _items_of(function: Callable[..., Any]) -> TypeAdapter[Any]:
    return TypeAdapter(get_args(get_type_hints(function)["return"])[0])


def _read(answer: bytes, kind: TypeAdapter[Any], name: str = "value") -> Any:
    """The answer as what the function returns or raises; raises DecoderDied for what is no such thing."""
    try:
        if len(answer) > MOST_BYTES:
            raise ValueError
        told = json.loads(answer, parse_constant=_finite, parse_float=_finite)
        if name in told:
            return kind.validate_python(told[name])
        if "refused" in told:
            error: Exception = REFUSALS[told["refused"]](str(told["message"])[:MESSAGE_CHARACTERS])
        elif (code := told["errno"]) in errno.errorcode:
            error = OSError(code, os.strerror(code))
        else:
            log.error("decoder_broke", error=str(told["broke"])[:100], where=str(told["where"])[:2000])
            error = CallscribeError(f"{str(told['broke'])[:100]} while reading the recording")
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError, ValidationError):
        raise DecoderDied("The process that read the recording answered nonsense.") from None
    raise error


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise ValueError(number)
    return value
