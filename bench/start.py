"""How soon a command answers and the service is ready, and what the service takes with nothing to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from bench.intake import PORTAL, ROOT, TOKEN, processor_seconds
from bench.report import Row

IDLE_SECONDS, SETTLE_SECONDS = 10.0, 3.0
PROCESSES = 4  # that say that they live: the api, upstream, two of media
ASKED = (
    "evalsha",
    "brpop",
    "multi",
    "mget",
    "info",
    "lpush",
    "set",
    "hscan",
)  # by clients, not within scripts


def environment(**settings: str) -> dict[str, str]:
    """A clean environment with these settings."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CALLSCRIBE_")}
    return env | {f"CALLSCRIBE_{name}": value for name, value in settings.items()} | {"PYTHONPATH": str(ROOT)}


def took(*command: str) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL, env=environment())
    return (time.perf_counter() - begun) * 1000


@contextmanager
def up(folder: str, **settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`callscribe up` in that folder, once it is ready: its process and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "up", "--port", "0"],
        env=environment(DATA_DIR=folder, PORTAL_URL=PORTAL, PORTAL_TOKEN=TOKEN, **settings),
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout
    try:
        while "is ready at" not in (line := process.stdout.readline()):
            assert process.poll() is None, "the service did not start"
        yield process, line.split("is ready at ")[1].split()[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def service(idle_seconds: float) -> tuple[float, float, float]:
    """Seconds until `up` is ready; percent of a core and commands a second at the store while it is idle."""
    with tempfile.TemporaryDirectory(prefix="cs-") as name:
        begun = time.perf_counter()
        with up(name) as (process, _):
            ready = time.perf_counter() - begun
            if not idle_seconds:
                return ready, 0.0, 0.0
            with redis.Redis.from_url(f"unix://{name}/redis.sock") as store:
                while store.hlen("cs:processes") < PROCESSES:
                    time.sleep(0.5)
                time.sleep(SETTLE_SECONDS)
                used, calls = _used(process.pid), _commands(store)
                time.sleep(idle_seconds)
                used, calls = _used(process.pid) - used, _commands(store) - calls - 1
            return ready, 100 * used / idle_seconds, calls / idle_seconds


def _used(pid: int) -> float:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return processor_seconds(pid) + sum(_used(int(child)) for child in children)


def _commands(store: redis.Redis) -> int:
    """What clients ask for; what scripts do within is not counted."""
    stats = store.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ASKED)


def measure(quick: bool) -> list[Row]:
    """Start of a command and of the service; the idle service."""
    rounds = 3 if quick else 7
    bare, help_ = [], []
    for _ in range(rounds):
        bare.append(took("-c", "import click"))
        help_.append(took("-m", "pipeline", "--help"))
    ready = [service(0.0)[0] for _ in range(1 if quick else 3)]
    last = service(IDLE_SECONDS)
    return [
        Row(
            what="`callscribe --help`",
            unit="ms",
            ours=help_,
            beside={"Python with click": bare},
            wanted="< 150",
        ),
        Row(what="`callscribe up` until it is ready", unit="s", ours=[*ready, last[0]], wanted="< 1.5"),
        Row(what="the idle service", unit="% of a core", ours=[last[1]], wanted="< 1"),
        Row(what="the idle service's commands to the store", unit="1/s", ours=[last[2]], wanted="< 30"),
    ]


if __name__ == "__main__":
    for row in measure("--quick" in sys.argv):
        print(row.told())
