"""A master, its replica and a sentinel, of the server that comes along."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from pipeline.store import embedded


@dataclass
class Group:
    """Its servers by port, and the address of the service."""

    folder: Path
    sentinel: int
    servers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel}/callscribe/0"

    def master(self) -> int:
        """Whom the sentinel takes for the master: its port."""
        with redis.Redis(port=self.sentinel, decode_responses=True) as known:
            return int(known.sentinel_get_master_addr_by_name("callscribe")[1])

    def fail_over(self) -> None:
        """Kills the master; returns when another one is."""
        before = self.master()
        dead = self.servers.pop(before)
        dead.kill()
        dead.wait()
        end = time.monotonic() + 30
        while self.master() == before:
            assert time.monotonic() < end, "no other master"
            time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def sentinels(folder: Path) -> Iterator[Group]:
    """A group that lives as long as the context; its files lie in `folder`."""
    group = Group(folder=folder, sentinel=free_port())
    binary = embedded.command(folder / "unused", folder / "s")[0]
    master, replica = free_port(), free_port()
    watch = folder / "sentinel.conf"
    watch.write_text(
        f"port {group.sentinel}\ndir {folder}\nsentinel monitor callscribe 127.0.0.1 {master} 1\n"
        "sentinel down-after-milliseconds callscribe 500\nsentinel failover-timeout callscribe 3000\n"
    )
    started = []
    try:
        for port, more in ((master, []), (replica, ["--replicaof", "127.0.0.1", str(master)])):
            home = folder / str(port)
            home.mkdir()
            group.servers[port] = _start(
                [binary, "--port", str(port), "--dir", str(home), "--appendonly", "yes", "--appendfsync",
                 "always", "--repl-diskless-sync-delay", "0", *more]
            )  # fmt: skip
        with redis.Redis(port=replica, decode_responses=True) as second:
            _until(lambda: second.info("replication").get("master_link_status") == "up")
        started.append(_start([binary, str(watch), "--sentinel"]))
        with redis.Redis(port=group.sentinel, decode_responses=True) as known:
            _until(lambda: known.sentinel_master("callscribe")["num-slaves"] == 1)
        yield group
    finally:
        for process in [*started, *group.servers.values()]:
            process.kill()
            process.wait()


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _until(true: object) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            if true():  # type: ignore[operator]
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < end, "the servers do not come up"
        time.sleep(0.05)
