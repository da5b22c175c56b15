"""How many engine requests a second one api process accepts, beside a bare Starlette that writes each body
durably: the same store, server, client and requests, in one run, taking turns.

    .venv/bin/python -m bench.intake [--quick]
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis.asyncio
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bench.report import Row
from pipeline.run.garbage import collect_seldom
from pipeline.store import embedded

TOKEN = "bench-token-0123456789-0123456789"
PORTAL = "https://portal.example"
WARM_SECONDS = 3.0
ROOT = Path(__file__).resolve().parents[1]


# -- the floor


def floor(url: str) -> Starlette:
    """A route that writes what it was sent and answers 202: no validation, no job, no log."""
    store = redis.asyncio.Redis.from_url(url)
    number = itertools.count()

    async def ask(request: Request) -> JSONResponse:
        await store.set(f"floor:{next(number)}", await request.body())
        return JSONResponse({"result": "OK"}, 202)

    return Starlette(routes=[Route("/engines/{token}/{category}", ask, methods=["POST"])])


def _serve_floor(url: str, fd: int, seldom: bool) -> None:
    gc.freeze()  # what this process was forked with
    if seldom:
        collect_seldom()
    config = uvicorn.Config(
        floor(url), ws="none", log_config=None, access_log=False, server_header=False, timeout_keep_alive=15
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=os.dup(fd))])


# -- the client


def request_of(number: int) -> bytes:
    """A recording's request as a portal sends it; each is a job of its own."""
    callback = f"{PORTAL}/bitrix/services/main/ajax.php?action=ai.callback&hash={number:032x}&rid={number}"
    body = json.dumps(
        {
            "prompt": {
                "file": f"{PORTAL}/download/{number}?token=abcdef",
                "fields": [],
                "fileExtension": "mp3",
            },
            "payload_raw": "",
            "payload_provider": "audio",
            "payload_prompt_text": None,
            "payload_markers": {"type": "audio/mpeg", "language": "ru", "callId": f"{number:x}"},
            "payload_role": None,
            "context": [],
            "auth": None,
            "category": "audio",
            "ttl": 14400,
            "callbackUrl": callback,
            "errorCallbackUrl": callback.replace("callback", "error"),
        }
    ).encode()
    head = (
        f"POST /engines/{TOKEN}/audio HTTP/1.1\r\nHost: engine.example\r\nUser-Agent: Bitrix24\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Asker(asyncio.Protocol):
    """Sends the next request as soon as the one before is answered, until `end`."""

    def __init__(self, numbers: Iterator[int], end: float, done: asyncio.Future[None]) -> None:
        self._numbers, self._end, self._done = numbers, end, done
        self.times: list[float] = []
        self.statuses: dict[bytes, int] = {}
        self._got = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(request_of(next(self._numbers)))

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found or not body.endswith(b"}"):
            return
        self._got = b""
        status = head[9:12]
        self.statuses[status] = self.statuses.get(status, 0) + 1
        now = time.perf_counter()
        self.times.append(now - self._sent)
        if now < self._end:
            self._ask()
        else:
            self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError("the server closed the connection"))


def load(port: int, connections: int, seconds: float, first: int) -> dict[str, Any]:
    """What one client saw: answers per second, their statuses, latencies in ms."""

    async def run() -> dict[str, Any]:
        loop, numbers = asyncio.get_running_loop(), itertools.count(first)
        begun = time.perf_counter()
        askers, waits = [], []
        for _ in range(connections):
            done = loop.create_future()
            asker = _Asker(numbers, begun + seconds, done)
            await loop.create_connection(lambda asker=asker: asker, "127.0.0.1", port)
            askers.append(asker)
            waits.append(done)
        await asyncio.gather(*waits)
        took = time.perf_counter() - begun
        times = sorted(time for asker in askers for time in asker.times)
        statuses: dict[str, int] = {}
        for asker in askers:
            for status, count in asker.statuses.items():
                statuses[status.decode()] = statuses.get(status.decode(), 0) + count
        return {
            "rate": statuses.get("202", 0) / took,
            "statuses": statuses,
            "p50": times[len(times) // 2] * 1000,
            "p99": times[int(len(times) * 0.99)] * 1000,
        }

    return uvloop.run(run())


# -- both sides


@contextmanager
def store(folder: Path) -> Iterator[str]:
    """The embedded store with the service's own settings."""
    path = folder / "redis.sock"
    process = subprocess.Popen(embedded.command(folder / "store", path), stdout=subprocess.DEVNULL)
    try:
        embedded.wait(process, path, seconds=20)
        yield f"unix://{path}"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def bare(url: str, *, seldom: bool = False) -> Iterator[tuple[int, int]]:
    """The floor as a process: its port and process id. seldom: it collects garbage as seldom as the api."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        process = multiprocessing.get_context("fork").Process(
            target=_serve_floor, args=(url, listener.fileno(), seldom)
        )
        process.start()
        assert process.pid
        try:
            yield listener.getsockname()[1], process.pid
        finally:
            process.terminate()
            process.join()


@contextmanager
def ours(
    url: str, folder: Path, *, portals: Path | None = None, more: Mapping[str, str] | None = None
) -> Iterator[tuple[int, int]]:
    """The api as a process: its port and process id. more: further settings."""
    settings = {
        "REDIS_URL": url,
        "DATA_DIR": str(folder / "data"),
        **({"PORTALS_FILE": str(portals)} if portals else {"PORTAL_URL": PORTAL, "PORTAL_TOKEN": TOKEN}),
        "API_KEY": "bench-key",
        "QUEUE_LIMIT": "10000000",
        **(more or {}),
    }
    env = {name: value for name, value in os.environ.items() if not name.startswith("CALLSCRIBE_")}
    env |= {f"CALLSCRIBE_{name}": value for name, value in settings.items()} | {"PYTHONPATH": str(ROOT)}
    with (
        socket.create_server(("127.0.0.1", 0), backlog=2048) as listener,
        (folder / "api.log").open("wb") as log,
    ):
        command = [sys.executable, "-m", "pipeline", "api", "--fd", str(listener.fileno())]
        process = subprocess.Popen(
            command, env=env, cwd=folder, pass_fds=[listener.fileno()], stdout=log, stderr=log
        )
        try:
            yield listener.getsockname()[1], process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def processor_seconds(pid: int) -> float:
    """What a process and its threads have used of the processor (proc_pid_stat(5)): on a busy machine a
    truer measure of what a request costs than the clock."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rounds(count: int, seconds: float, connections: int = 64) -> dict[str, list[dict[str, Any]]]:
    """Side -> what each round saw, with the processor time of a request in us; the sides take turns."""
    first = itertools.count(1, 10_000_000)
    seen: dict[str, list[dict[str, Any]]] = {"bare": [], "seldom": [], "callscribe": []}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        url = stack.enter_context(store(folder))
        servers = {
            "bare": stack.enter_context(bare(url)),
            "seldom": stack.enter_context(bare(url, seldom=True)),
            "callscribe": stack.enter_context(ours(url, folder)),
        }
        for port, _ in servers.values():  # ours still loads what pages need when it serves already
            load(port, 8, WARM_SECONDS, next(first))
        for _ in range(count):
            for side, (port, pid) in servers.items():
                used = processor_seconds(pid)
                round_ = load(port, connections, seconds, next(first))
                answered = sum(round_["statuses"].values())
                round_["processor_us"] = (processor_seconds(pid) - used) / answered * 1e6
                seen[side].append(round_)
    return seen


def measure(quick: bool) -> list[Row]:
    """Accepted requests a second, and their cost."""
    seen = rounds(3 if quick else 7, 2.0 if quick else 4.0)
    figures = {
        figure: {side: [each[figure] for each in rounds_] for side, rounds_ in seen.items()}
        for figure in ("rate", "processor_us")
    }
    floor_, seldom = "bare Starlette, one durable write", "the same, collecting garbage as seldom"
    rate, cost = figures["rate"], figures["processor_us"]
    return [
        Row(
            what="engine requests accepted by one process", unit="1/s", ours=rate["callscribe"],
            beside={floor_: rate["bare"], seldom: rate["seldom"]}, more=True, wanted=">= 0.6 of the floor",
        ),
        Row(
            what="processor time of an accepted request", unit="us", ours=cost["callscribe"],
            beside={floor_: cost["bare"], seldom: cost["seldom"]}, wanted="<= 1.67 of the floor",
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    for row in measure("--quick" in sys.argv):
        print(row.told())
