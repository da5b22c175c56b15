"""Jobs from a portal's POST to its callback, on parts as they run: the api, both workers and the store as
processes of their own, beside the usual recipe (`bench/rivals/recipe.py`) on the same store.

    .venv/bin/python -m bench.jobs [--seconds 5] [--rounds 3] [--quick]

The portal and the provider are one process of this benchmark, and answer at once: what is measured is the
service. A text's rate is taken with `FLIGHT` jobs under way; latencies one job at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvloop

from bench.intake import ROOT, TOKEN, ours, processor_seconds, store

FLIGHT = 64
CALL = ROOT / "fixtures" / "audio" / "phone-mp3"  # 31 s of one voice, 8 kHz
LEAST_SECONDS = 30.0  # that a job may take before the round is given up
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_HASH = re.compile(rb"[?&]hash=(\w+)")

CHAT = {
    "id": "c",
    "object": "chat.completion",
    "model": "instant",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "A text."}, "finish_reason": "stop"}
    ],
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
        if path.startswith(b"/recording"):
            return _http(RECORDING, kind="audio/mpeg")
        if path.startswith(b"/callback") and (name := _HASH.search(path)):
            self._heard(name[1])
        return _http(b'{"status":"success"}')


RECORDING = CALL.read_bytes()


def _http(body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One round: so many jobs under way, for so long."""

    category: str
    server: int  # port
    flight: int
    seconds: float
    first: int


def posted(ask: Ask, portal: str, number: int) -> bytes:
    """A request as a portal sends it."""
    prompt: Any = "Sum up what was said."
    if ask.category == "audio":
        prompt = {"file": f"{portal}/recording/{number}", "fields": [], "fileExtension": "mp3"}
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
            times.append(await asyncio.wait_for(heard, LEAST_SECONDS) - begun)
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


def main() -> None:
    """Prints a line per round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hold", action="store_true", help="print the process ids and wait, for a profiler")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        url = stack.enter_context(store(folder))
        port, ask = stack.enter_context(counterpart())
        api, api_pid = stack.enter_context(ours(url, folder, more=settings_for(port)))
        pids = stack.enter_context(workers(url, folder, port))
        first = itertools.count(1, 10_000_000)
        for category in ("text", "audio"):
            ask(Ask(category=category, server=api, flight=2, seconds=1, first=next(first)))
        if options.hold:
            sys.stderr.write(f"api {api_pid}, workers {pids}\n")
        for _ in range(options.rounds):
            for category, flight in (("text", FLIGHT), ("text", 1), ("audio", 1)):
                seconds = options.seconds if flight > 1 else options.seconds / 2
                used = [processor_seconds(pid) for pid in (api_pid, *pids)]
                seen = ask(
                    Ask(category=category, server=api, flight=flight, seconds=seconds, first=next(first))
                )
                for name, pid, before in zip(
                    ("api", "media", "upstream"), (api_pid, *pids), used, strict=True
                ):
                    seen[f"{name}_ms"] = (processor_seconds(pid) - before) / seen["jobs"] * 1000
                print(category, flight, {name: round(value, 1) for name, value in seen.items()}, flush=True)


if __name__ == "__main__":
    main()
