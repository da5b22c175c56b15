"""Run by test_two_hosts.py inside network and process namespaces: `python -m tests.prove.hosts S3RVER`.

Two hosts, `one` and `two`, each with a network, a name and a DATA_DIR of its own, on a switch to which the
middle is connected, too. In the middle are what they share, a Valkey, an S3 server and the archive's
PostgreSQL, and whom they work for, the portal and the router. A host is cut off by pulling its cable: what it
sends vanishes and nobody refuses it. Nothing can leave the machine: no other device exists in here. Prints
one JSON object of what was seen; a guarantee that does not hold is an AssertionError.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

from pipeline.cli import parts
from pipeline.sandbox.portal import Job
from pipeline.storage.blobs import Blobs
from pipeline.store import embedded
from tests.archive.conftest import served
from tests.faults.harness import HEARING, Service
from tests.faults.part import Part

MIDDLE = "10.77.0.1"
HOSTS = {"one": "10.77.0.11", "two": "10.77.0.12"}
STORE, S3, API = 6379, 9000, 8000
LEASE_SECONDS = 8.0
KINDS = ("api", "media", "upstream")
KEYS = {
    "AWS_ACCESS_KEY_ID": "S3RVER",
    "AWS_SECRET_ACCESS_KEY": "S3RVER",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ENDPOINT_URL": f"http://{MIDDLE}:{S3}",
}


def ip(*arguments: str) -> None:
    """One command of iproute2."""
    subprocess.run(["ip", *arguments], check=True)


def answering(address: str, port: int) -> bool:
    """Whether something listens there, as seen from the middle."""
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex((address, port)) == 0


class Host:
    """A network and a name of its own, plugged into the switch; ends with the process that keeps it."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        self.cable = f"to-{name}"
        self._keeper = subprocess.Popen(
            ["unshare", "--net", "--uts", "sh", "-c", f"hostname {name} && echo && exec sleep infinity"],
            stdout=subprocess.PIPE,
        )
        assert self._keeper.stdout
        self._keeper.stdout.readline()  # by then the namespaces are there
        there = str(self._keeper.pid)
        ip("link", "add", self.cable, "type", "veth", "peer", "name", "uplink", "netns", there)
        ip("link", "set", self.cable, "master", "switch", "up")
        for command in (
            ("link", "set", "lo", "up"),
            ("addr", "add", f"{address}/24", "dev", "uplink"),
            ("link", "set", "uplink", "up"),
        ):
            subprocess.run([*self.inside, "ip", *command], check=True)

    @property
    def inside(self) -> tuple[str, ...]:
        """What runs the rest of a command on this host."""
        place = f"/proc/{self._keeper.pid}/ns"
        return ("nsenter", f"--net={place}/net", f"--uts={place}/uts", "--")

    def pull(self) -> None:
        """Cuts it off."""
        ip("link", "set", self.cable, "down")

    def plug(self) -> None:
        """Connects it again."""
        ip("link", "set", self.cable, "up")

    def close(self) -> None:
        """Its namespaces end."""
        self._keeper.kill()
        self._keeper.wait()


class Hosts(Service):
    """The service on two hosts: parts are called `one-api`, `two-upstream` and so on."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._ends = ExitStack()
        ip("link", "set", "lo", "up")
        ip("link", "add", "switch", "type", "bridge")
        ip("addr", "add", f"{MIDDLE}/24", "dev", "switch")
        ip("link", "set", "switch", "up")
        self.hosts = {name: Host(name, address) for name, address in HOSTS.items()}
        super().__init__(
            host=MIDDLE,
            REDIS_URL=f"redis://{MIDDLE}:{STORE}/0",
            STORAGE_URL="s3://calls/audio",
            DATABASE_URL=f"postgresql://callscribe@{MIDDLE}/postgres",
            LEASE_SECONDS=str(LEASE_SECONDS),
        )
        self.env |= KEYS
        os.environ.update(KEYS)
        self.blobs = Blobs.open(self.settings.storage)

    def engine(self, name: str) -> str:
        """Where a portal sends its requests to that host."""
        return f"http://{HOSTS[name]}:{API}/engines/{self.token}/audio"

    def __enter__(self) -> Self:
        super().__enter__()
        pg = self.folder / "pg"
        pg.mkdir()
        self._ends.enter_context(served(pg, address=MIDDLE))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._ends.close()
            super().__exit__(kind, error, trace)
        finally:
            for host in self.hosts.values():
                host.close()

    def start_all(self) -> None:
        """What is shared, then both hosts; returns once they serve."""
        self.start_store()
        command = (self._server, "--directory", str(self.folder / "s3"), "--address", MIDDLE)
        command += ("--port", str(S3), "--configure-bucket", "calls", "--silent")
        self._spawn(Part("s3", command, dict(os.environ), kept=False))
        self.until(lambda: answering(MIDDLE, S3), 60, "the S3 server listens")
        names = [f"{host}-{kind}" for host in self.hosts for kind in KINDS]
        for name in names:
            self.start_part(name)
        for name in names:
            self.await_log(name, "startup complete" if name.endswith("api") else "worker_begins", seconds=120)
        self.api_url = f"http://{HOSTS['two']}:{API}"

    def start_store(self) -> None:
        """Over TCP for the hosts, by its socket for the ledger."""
        command = embedded.command(self.data / "store", self.socket)
        listening = ("--bind", MIDDLE, "--port", str(STORE), "--protected-mode", "no")
        self._spawn(Part("store", (*command, *listening), dict(os.environ), kept=False))
        process = self.parts["store"].process
        assert process
        embedded.wait(process, self.socket)

    def start_part(self, name: str, *, failpoints: str = "", **env: str) -> None:
        """The api or a worker of a host, in its network, with its DATA_DIR."""
        host, kind = name.split("-")
        (self.folder / "tmp" / host).mkdir(exist_ok=True)
        own = {
            "CALLSCRIBE_DATA_DIR": str(self.folder / host),
            "TMPDIR": str(self.folder / "tmp" / host),
            "CALLSCRIBE_PUBLIC_URL": f"http://{HOSTS[host]}:{API}",
        }
        api = (sys.executable, "-m", "pipeline", "api", "--host", HOSTS[host], "--port", str(API))
        command = api if kind == "api" else parts.worker_command(self.settings, kind)
        inside = self.hosts[host].inside
        self._spawn(Part(name, (*inside, *command), {**self.env, **own, **env}))

    def held(self, host: str, step: str = "") -> int:
        """How many steps (of a kind) are leased to a host just now."""
        leases = self.redis.zrange("cs:owners", 0, -1)
        return sum(one.startswith(f"{host}-") and one.split("|")[4].startswith(step) for one in leases)

    def files(self) -> list[str]:
        """Audio on the object store that nobody needs any more, and what lies in the hosts' own folders."""
        folders = [folder for folder in self.blobs.folders() if folder != "kept"]
        places = [self.folder / "tmp", *(self.folder / host / "audio" for host in self.hosts)]
        return folders + [str(path) for place in places for path in place.rglob("*") if path.is_file()]

    def spread(self, number: int) -> list[Job]:
        """So many calls, to both hosts by turns."""
        return [job for _ in range(number // 2) for job in map(self.to, self.hosts)]

    def to(self, host: str) -> Job:
        """A call sent to a host."""
        return self.call(to=self.engine(host))

    @contextmanager
    def only_one(self) -> Iterator[None]:
        """Host two's worker stands still for this moment: who began to wait for word last is woken first, so
        that few calls may all be one host's.
        """
        self.signal("two-upstream", signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal("two-upstream", signal.SIGCONT)

    def repeated(self) -> int:
        """Callbacks beyond the first of each job."""
        return sum(len(job.callbacks) - 1 for job in self.jobs)


def shortly(service: Hosts) -> dict[str, Any]:
    """A host is off for less than a lease, in the middle of paid calls: it goes on with them itself."""
    service.spread(8)
    with service.only_one():
        service.spread(8)
        service.until(lambda: service.held("one", "transcribe") >= 3, 60, "host one is in paid calls")
        service.hosts["one"].pull()
    held = service.held("one", "transcribe")
    time.sleep(LEASE_SECONDS / 4)
    service.hosts["one"].plug()
    service.settle(120)
    service.check()
    return {"held": held, "repaid": service.repaid(), "repeated": service.repeated()}


def for_long(service: Hosts) -> dict[str, Any]:
    """A host is off for longer than a lease: the other one does its work and what comes."""
    jobs = service.spread(16)
    filed = [service.file() for _ in range(4)]
    with service.only_one():
        jobs += service.spread(8)
        service.until(lambda: service.held("one", "transcribe") >= 3, 60, "host one is in paid calls")
        service.hosts["one"].pull()
    held, delivering = service.held("one", "transcribe"), service.held("one", "callback")
    begun = time.monotonic()
    lost = service.to("one")  # the portal sends it again, to whom its balancer finds alive
    assert not lost.accepted
    lost.url = service.engine("two")
    service.sandbox.send("", hash=lost.hash)
    service.refused.remove(lost)
    service.jobs.append(lost)
    meanwhile = [service.to("two") for _ in range(8)]
    filed += [service.file() for _ in range(2)]
    service.settle(180)
    off = time.monotonic() - begun
    assert not service.held("one")
    before = service.repaid()
    service.hosts["one"].plug()
    time.sleep(LEASE_SECONDS)  # whatever it still does of old work, it does now
    with service.only_one():
        late = service.spread(16)
        service.until(lambda: service.held("one") > 0, 90, "host one works again")
    service.settle(120)
    # what it was reading from the object store ends when its driver gives that connection up
    service.until(lambda: not service.files(), 180, f"no file is left: {service.files()}")
    service.check(repaid=held, repeated=delivering)
    return {
        "held": held,
        "delivering": delivering,
        "off_seconds": round(off, 1),
        "repaid": service.repaid(),
        "repaid_after_it_came_back": service.repaid() - before,
        "repeated": service.repeated(),
        "own_count": service.usage("repeated_calls"),
        "ended_meanwhile": len(jobs) + len(meanwhile) + 1,
        "entries": len(filed),
        "late": len(late),
    }


def main() -> None:
    with Hosts(sys.argv[1]) as service:
        service.start_all()
        service.fault(HEARING, delay_seconds=1.5, times=None)
        report: dict[str, Any] = {"shortly": shortly(service), "for_long": for_long(service)}
        report["outcomes"] = dict(service.outcomes())
        report["own_folders"] = sorted(
            path.name for host in HOSTS for path in (service.folder / host).glob("audio*")
        )
        report["calls"] = len(service.jobs) + len(service.filed)
        report["pieces"] = len(service.heard())
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
