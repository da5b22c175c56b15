"""Jobs from a portal's POST to its callback, on parts as they run: the api, both workers and the store as
processes of their own, beside the usual recipe (`bench/rivals/recipe.py`) on the same store.

    .venv/bin/python -m bench.jobs [--quick]

The portal and the provider are one process of this benchmark, and answer at once: what is measured is the
service. A text's rate is taken with `FLIGHT` jobs under way; latencies one job at a time.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import multiprocessing
import os
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvloop

from bench.intake import ROOT, TOKEN, ours, processor_seconds, store
from bench.report import Row

FLIGHT = 64
CALL = ROOT / "fixtures" / "audio" / "phone-mp3"  # 31 s of one voice, 8 kHz
PATIENCE_SECONDS = (
    120.0  # that a job may take, the start of the workers included, before the round is given up
)
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_HASH = re.compile(rb"[?&]hash=(\w+)")

# a score that can be used, and a text like any other
SCORE = json.dumps({"quality": "high", "score": 80, "reason": "They want fifty licences this month."})
CHAT = {
    "id": "c",
    "object": "chat.completion",
    "model": "instant",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": SCORE}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}
SAID = {
    "text": "We would like to buy fifty licences this month.",
    "language": "en",
    "duration": 31.3,
    "segments": [
        {"id": 0, "start": 0.5, "end": 30.0, "text": "We would like to buy fifty licences this month."}
    ],
}


class Counterpart(asyncio.Protocol):
    """The provider, the portal's callbacks and its recordings: one request at a time on a connection."""

    def __init__(self, heard: Callable[[bytes], None]) -> None:
        self._heard, self._got = heard, b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or len(body) < (int(length[1]) if length else 0):
            return
        self._got = b""
        self._transport.write(self._answer(head, body))
        if b"connection: close" in head.lower():
            self._transport.close()

    def _answer(self, head: bytes, body: bytes) -> bytes:
        path = head.split(b" ", 2)[1]
        if path.startswith(b"/v1/chat"):
            return _http(json.dumps(CHAT).encode())
        if path.startswith(b"/v1/audio"):
            return _http(json.dumps(SAID).encode())
        if path.startswith(b"/recording/"):
            return _http(another(int(path.rpartition(b"/")[2])), kind="audio/wav")
        if path.startswith(b"/error"):
            sys.stderr.write(f"failed: {body[:300]!r}\n")
        if path.startswith(b"/callback") and (name := _HASH.search(path)):
            self._heard(name[1])
        return _http(b'{"status":"success"}')


def recording() -> bytes:
    """The call as wav, which the recipe reads without an FFmpeg of the machine."""
    import av

    made = io.BytesIO()
    with av.open(str(CALL)) as source, wave.open(made, "wb") as to:
        to.setnchannels(1)
        to.setsampwidth(2)
        to.setframerate(8000)
        resampler = av.AudioResampler(format="s16", layout="mono", rate=8000)
        for frame in source.decode(audio=0):
            for piece in resampler.resample(frame):
                to.writeframes(piece.to_ndarray().tobytes())
    return made.getvalue()


RECORDING = recording()


def another(number: int) -> bytes:
    """The call as nobody has sent it yet, so that it is heard anew: it ends in a few faint samples."""
    samples = (number >> 4 * at & 15 for at in range(8))
    return RECORDING[:-16] + struct.pack("<8h", *samples)


def _http(body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One round: so many jobs under way, for so long; pause_seconds: between one and the next."""

    category: str
    server: int  # port
    flight: int
    seconds: float
    first: int
    pause_seconds: float = 0.0


def posted(ask: Ask, portal: str, number: int) -> bytes:
    """A request as a portal sends it."""
    prompt: Any = "Sum up what was said."
    if ask.category == "audio":
        prompt = {"file": f"{portal}/recording/{number}", "fields": [], "fileExtension": ""}
    callback = f"{portal}/callback?hash={number:032x}"
    body = json.dumps(
        {
            "prompt": prompt,
            "payload_markers": {"language": "en"},
            "context": [],
            "auth": None,
            "category": ask.category,
            "ttl": 14400,
            "callbackUrl": callback,
            "errorCallbackUrl": callback.replace("/callback", "/error"),
        }
    ).encode()
    head = (
        f"POST /engines/{TOKEN}/{ask.category} HTTP/1.1\r\nHost: engine.example\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Sender(asyncio.Protocol):
    """A connection to the service, on which requests follow each other."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 202"):
            sys.stderr.write(f"refused: {data[:300]!r}\n")


async def _round(ask: Ask, portal: str, waiting: dict[bytes, asyncio.Future[float]]) -> dict[str, Any]:
    loop, numbers = asyncio.get_running_loop(), itertools.count(ask.first)
    end = loop.time() + ask.seconds
    times: list[float] = []

    async def one() -> None:
        _, sender = await loop.create_connection(_Sender, "127.0.0.1", ask.server)
        while loop.time() < end:
            number = next(numbers)
            heard = waiting[f"{number:032x}".encode()] = loop.create_future()
            begun = time.perf_counter()
            sender.transport.write(posted(ask, portal, number))
            times.append(await asyncio.wait_for(heard, PATIENCE_SECONDS) - begun)
            await asyncio.sleep(ask.pause_seconds)
        sender.transport.close()

    begun = loop.time()
    await asyncio.gather(*(one() for _ in range(ask.flight)))
    ms = sorted(each * 1000 for each in times)
    return {
        "rate": len(ms) / (loop.time() - begun),
        "p50": statistics.median(ms),
        "p99": ms[int(len(ms) * 0.99)],
        "jobs": len(ms),
    }


def _serve(pipe: Connection) -> None:
    """The process of the portal and the provider: asks as it is told, and tells what it saw."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        waiting: dict[bytes, asyncio.Future[float]] = {}

        def heard(name: bytes) -> None:
            future = waiting.pop(name, None)
            if future and not future.done():
                future.set_result(time.perf_counter())

        server = await loop.create_server(lambda: Counterpart(heard), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        pipe.send(port)
        while ask := await loop.run_in_executor(None, pipe.recv):
            pipe.send(await _round(ask, f"http://127.0.0.1:{port}", waiting))

    uvloop.run(run())


@contextmanager
def counterpart() -> Iterator[tuple[int, Callable[[Ask], dict[str, Any]]]]:
    """Its port, and how to have it ask."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(there,))
    process.start()

    def ask(what: Ask) -> dict[str, Any]:
        here.send(what)
        answer: dict[str, Any] = here.recv()
        return answer

    try:
        yield here.recv(), ask
    finally:
        here.send(None)
        process.join(5)
        process.kill()


def settings_for(port: int) -> dict[str, str]:
    """The settings of a service whose portal and provider are the counterpart."""
    return {
        "PORTAL_URL": f"http://127.0.0.1:{port}",
        "TRUSTED_HOSTS": f"127.0.0.1:{port}",
        "ROUTER_URL": f"http://127.0.0.1:{port}/v1",
        "ROUTER_KEY": "bench",
        "TIMELINE": "off",
    }


@contextmanager
def workers(url: str, folder: Path, port: int) -> Iterator[list[int]]:
    """Both workers, as `callscribe up` starts them; their process ids."""
    from pipeline.cli import parts
    from pipeline.settings.installation import load

    env = {name: value for name, value in os.environ.items() if not name.startswith("CALLSCRIBE_")}
    env |= {f"CALLSCRIBE_{name}": value for name, value in settings_for(port).items()}
    env |= {"CALLSCRIBE_REDIS_URL": url, "CALLSCRIBE_DATA_DIR": str(folder / "data")}
    env |= {"PYTHONPATH": str(ROOT), "CALLSCRIBE_PORTAL_TOKEN": TOKEN}
    processes = []
    try:
        for child in parts.workers(load()):
            with (folder / f"{child.name}.log").open("wb") as log:
                processes.append(subprocess.Popen(child.command, env=env, cwd=folder, stdout=log, stderr=log))
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)


@contextmanager
def recipe(url: str, folder: Path, port: int) -> Iterator[int]:
    """The usual recipe, as uvicorn and Celery: its port."""
    env = os.environ | {
        "RECIPE_REDIS": url,
        "RECIPE_ROUTER": f"http://127.0.0.1:{port}/v1",
        "PYTHONPATH": str(ROOT),
    }
    celery = "-m celery -A bench.rivals.recipe:tasks --quiet worker -P threads -c 40 -Q recipe -n recipe@%h"
    celery += " -l ERROR --without-gossip --without-mingle"
    with (
        socket.create_server(("127.0.0.1", 0), backlog=2048) as listener,
        (folder / "recipe.log").open("wb") as log,
    ):
        fd = listener.fileno()
        web = [sys.executable, "-m", "uvicorn", "bench.rivals.recipe:app", "--fd", str(fd), "--no-access-log"]
        processes = [
            subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=log, pass_fds=[fd])
            for command in ([sys.executable, *celery.split()], web)
        ]
        try:
            yield listener.getsockname()[1]
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait(60)


# name -> category, jobs under way, seconds between one and the next: the score's way to the CRM, the archive
# and the copy to be heard follow a call's outcome, and meet the next one where that comes at once
KINDS = {
    "text jobs from POST to callback": ("text", FLIGHT, 0.0),
    "added latency of a text": ("text", 1, 0.0),
    "added latency of a call of 31 s, transcribed and scored": ("audio", 1, 0.5),
    "the same, each call at once after the one before": ("audio", 1, 0.0),
}


def rounds(count: int, seconds: float) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Kind -> side -> what each round saw; the sides take turns."""
    seen: dict[str, dict[str, list[dict[str, Any]]]] = {
        kind: {"callscribe": [], "recipe": []} for kind in KINDS
    }
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        url = stack.enter_context(store(folder))
        port, ask = stack.enter_context(counterpart())
        api, api_pid = stack.enter_context(ours(url, folder, more=settings_for(port)))
        pids = [api_pid, *stack.enter_context(workers(url, folder, port))]
        sides = {"callscribe": api, "recipe": stack.enter_context(recipe(url, folder, port))}
        first = itertools.count(1, 10_000_000)
        for server in sides.values():
            for category in ("text", "audio"):
                ask(Ask(category=category, server=server, flight=2, seconds=1, first=next(first)))
        for _ in range(count):
            for kind, (category, flight, pause) in KINDS.items():
                for side, server in sides.items():
                    used = [processor_seconds(pid) for pid in pids]
                    what = Ask(
                        category=category, server=server, flight=flight, seconds=seconds, first=next(first),
                        pause_seconds=pause,
                    )  # fmt: skip
                    round_ = ask(what)
                    if side == "callscribe":
                        spent = sum(
                            processor_seconds(pid) - before for pid, before in zip(pids, used, strict=True)
                        )
                        round_["processor_ms"] = spent / round_["jobs"] * 1000
                    seen[kind][side].append(round_)
    return seen


def measure(quick: bool) -> list[Row]:
    """Text jobs a second, and what a job waits for us alone."""
    seen = rounds(2 if quick else 5, 2.0 if quick else 5.0)

    def row(kind: str, figure: str, unit: str, wanted: str, *, more: bool = False) -> Row:
        sides = {side: [each[figure] for each in rounds_] for side, rounds_ in seen[kind].items()}
        return Row(
            what=kind, unit=unit, ours=sides["callscribe"], beside={"recipe": sides["recipe"]}, more=more,
            wanted=wanted,
        )  # fmt: skip

    rate, text, call, next_call = KINDS
    return [
        row(rate, "rate", "1/s", ">= 300", more=True),
        row(text, "p50", "ms", "<= 10"),
        row(call, "p50", "ms", "<= 40"),
        row(next_call, "p50", "ms", "as little as can be"),
        Row(
            what="processor time of a text job, api and workers",
            unit="ms",
            ours=[each["processor_ms"] for each in seen[rate]["callscribe"]],
            wanted="as little as can be",
        ),
    ]


if __name__ == "__main__":
    for row in measure("--quick" in sys.argv):
        print(row.told())
