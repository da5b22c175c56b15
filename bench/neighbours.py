"""What one portal feels while another does its worst: p50 and p99 of its requests, from outside.

.venv/bin/python -m bench.neighbours [--quick]
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import uvloop

from bench.intake import PORTAL, TOKEN, ours, request_of, store
from bench.report import Row

GREEDY = "bench-greedy-token-0123456789-012345"


def posted(body: bytes, category: str = "audio") -> bytes:
    """The body as a request to the greedy portal's engine."""
    head = f"POST /engines/{GREEDY}/{category} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def small(number: int) -> bytes:
    return request_of(number).replace(TOKEN.encode(), GREEDY.encode(), 1)


def context(number: int) -> bytes:
    """A text request with a long conversation, such as a portal might really send."""
    return posted(
        json.dumps(
            {
                "prompt": "Sum it up",
                "category": "text",
                "collect_context": True,
                "context": [{"role": "user", "content": "слово " * 30}] * 700,
                "callbackUrl": f"{PORTAL}/callback?hash=text{number}",
            }
        ).encode(),
        "text",
    )


ATTACKS: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "nothing": (0, small),
    "4 connections, 8 MiB of JSON with small members": (
        4,
        lambda n: posted(b"[" + b"[],0," * (8 << 20 >> 3)),
    ),
    "4 connections, 1 MiB of JSON with small members": (
        4,
        lambda n: posted(b"[" + b"[],0," * 200_000 + b"0]"),
    ),
    "4 connections, 1 MiB with 45,000 members": (
        4,
        lambda n: posted(json.dumps({"context": [{"a": "x" * 30}] * 22_000, "n": n}).encode()),
    ),
    "16 connections, text requests of 800 KB": (16, context),
    "256 connections, requests of recordings": (256, small),
    "1,000 connections, requests of recordings": (1000, small),
}


def attack(port: int, connections: int, make: Callable[[int], bytes], seconds: float, statuses) -> None:  # type: ignore[no-untyped-def]
    """Sends as much as it can."""
    end = time.monotonic() + seconds
    seen: Counter[str] = Counter()
    bodies = [make(number) for number in range(8)] if make is not small else None

    async def one(first: int) -> None:
        number = first
        while time.monotonic() < end:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                while time.monotonic() < end:
                    number += 1
                    writer.write(bodies[number % 8] if bodies else make(number))
                    await writer.drain()
                    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
                    seen[head[9:12].decode()] += 1
                    if b"connection: close" in head.lower():
                        break
                    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                    await reader.readexactly(length)
                writer.close()
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                seen[type(error).__name__] += 1

    async def everybody() -> None:
        await asyncio.gather(*(one(10**8 + n * 10**5) for n in range(connections)))

    uvloop.run(everybody())
    statuses.put(dict(seen))


async def honest(port: int, seconds: float, first: int) -> tuple[list[float], Counter[str]]:
    """Twenty requests a second, each on a connection of its own, as a portal sends them."""
    times: list[float] = []
    seen: Counter[str] = Counter()

    async def ask(number: int) -> None:
        begun = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_of(number))
        head = await reader.readuntil(b"\r\n\r\n")
        times.append(time.perf_counter() - begun)
        seen[head[9:12].decode()] += 1
        writer.close()

    asked = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        first += 1
        asked.append(asyncio.create_task(ask(first)))
        await asyncio.sleep(0.05)
    await asyncio.gather(*asked)
    return sorted(times), seen


def measure(quick: bool) -> list[Row]:
    """The worst of a hundred answers to an honest portal, by what another one does."""
    seconds = 2.0 if quick else 5.0
    context_ = multiprocessing.get_context("fork")
    worst: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        portals = folder / "portals.toml"
        portals.write_text(
            f'[honest]\nurl = "{PORTAL}"\ntokens = ["{TOKEN}"]\n'
            f'[greedy]\nurl = "{PORTAL}"\ntokens = ["{GREEDY}"]\n'
        )
        url = stack.enter_context(store(folder))
        port, _ = stack.enter_context(ours(url, folder, portals=portals))
        asyncio.run(honest(port, 1.0, 10**6))
        for number, (what, (connections, make)) in enumerate(ATTACKS.items()):
            answers = context_.Queue()
            attacker = context_.Process(target=attack, args=(port, connections, make, seconds + 1, answers))
            attacker.start()
            time.sleep(0.7)
            times, seen = asyncio.run(honest(port, seconds, 10**7 * (number + 2)))
            assert set(seen) == {"202"}, f"{what}: {seen}"
            worst[what] = times[int(len(times) * 0.99)] * 1000
            answers.get()
            attacker.join()
    calm = [worst.pop("nothing")]
    return [
        Row(
            what=f"p99 of a portal beside {what}", unit="ms", ours=[value],
            beside={"nothing": calm}, wanted="< 250",
        )
        for what, value in worst.items()
    ]  # fmt: skip


if __name__ == "__main__":
    for row in measure("--quick" in sys.argv):
        print(row.told())
