"""Scores in deal timelines, on portals as they are: how soon each call is answered and has its entry, and how
many REST requests it takes. A service of processes, portals with the cloud's limits, calls by the minute.

    .venv/bin/python -m bench.crm [day] [burst] [waiting] [--minutes 4.5]

day: three portals, fifteen, six and three calls a minute, each call by an engine request and by an event, one
in five recordings late, a provider with 5 % passing faults. burst: forty calls in forty seconds by engine
requests alone. waiting: 200 calls whose transcript the portal has not stored, and an event among them.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pipeline.sandbox.app import APPLICATION_TOKEN, Sandbox
from pipeline.sandbox.portal import Job
from pipeline.sandbox.script import Rule, Script
from tests.faults import recordings
from tests.faults.harness import HEARING, Service

WORDS = ("need", "seats", "budget", "contract", "users", "demo", "price", "offer", "office", "phone", "month")
LATE_SECONDS = (10.0, 40.0)  # a recording that is attached after the call's end
FAULTS = 0.05
ENTRY = "*logmessage.add"


class Talk(Script):
    """A recogniser that hears other words in each recording, and passing faults."""

    def __init__(self, chance: random.Random, faults: float) -> None:
        super().__init__()
        self._chance, self._faults = chance, faults

    def take(self, *, method: str, path: str, query: str, body: bytes, sha256: str | None) -> Rule | None:
        if rule := super().take(method=method, path=path, query=query, body=body, sha256=sha256):
            return rule
        if not path.startswith("/v1/"):
            return None
        if self._chance.random() < self._faults:
            status = self._chance.choice([429, 500, 503])
            return Rule(status=status, body={"error": {"message": "for a moment", "code": "x"}})
        if path == HEARING:
            words = random.Random(sha256).choices(WORDS, k=12)
            return Rule(text=" ".join(words), delay_seconds=0.5)
        return None


@dataclass
class Call:
    """One call: when it ended, when its recording was there, what became of it."""

    deal: int
    ended_at: float
    ready_at: float = 0.0
    job: Job | None = None
    entry_at: float | None = None


@dataclass
class Portal:
    """A portal with its calls."""

    name: str
    sandbox: Sandbox
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    calls: list[Call] = field(default_factory=list)

    def table(self) -> dict[str, Any]:
        """As TOML has it."""
        return {
            "url": self.sandbox.base_url, "tokens": [self.token], "application_token": APPLICATION_TOKEN,
            "webhook": self.sandbox.webhook_url, "timeline": "bitrix24",
        }  # fmt: skip


class Simulation:
    """A service with some portals."""

    def __init__(self, portals: int, *, faults: float = 0.0, events: bool = True) -> None:
        self.chance = random.Random(7)
        self.portals = [Portal(f"portal{n}", Sandbox()) for n in range(portals)]
        self.events = events
        self._deals = iter(range(1, 1_000_000))
        self._senders = ThreadPoolExecutor(64)
        hosts = ",".join(p.sandbox.base_url.partition("://")[2] for p in self.portals)
        self.service = Service(
            PORTALS_FILE="portals.toml", PORTAL_URL="", PORTAL_TOKEN="", BITRIX24_WEBHOOK="", TIMELINE="",
            LEASE_SECONDS="60", SWEEP_SECONDS="1", UPSTREAM_THREADS="16", CHAT_MODEL="sandbox-rules",
        )  # fmt: skip
        trusted = f"{hosts},{self.service.sandbox.base_url.partition('://')[2]}"
        self.service.env["CALLSCRIBE_TRUSTED_HOSTS"] = trusted
        self.service.sandbox.app.script = Talk(self.chance, faults)

    def __enter__(self) -> Simulation:
        for portal in self.portals:
            portal.sandbox.start()
        lines = []
        for portal in self.portals:
            lines.append(f"[{portal.name}]")
            fields = portal.table()
            if not self.events:
                del fields["application_token"]
            lines += [f"{key} = {_toml(value)}" for key, value in fields.items()]
        (self.service.folder / "here" / "portals.toml").write_text("\n".join(lines))
        self.service.__enter__()
        self.service.start()
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._senders.shutdown(cancel_futures=True)
        self.service.__exit__(error[0], error[1], error[2])
        for portal in self.portals:
            portal.sandbox.stop()

    def call(self, portal: Portal, *, late: float = 0.0, engine: bool = True, stores: bool = True) -> Call:
        """A call ends now; the events and the engine request follow."""
        number = next(self._deals)
        path = self.service.folder / "recordings" / f"{number}.wav"
        recordings.write(path, seconds=1.5, seed=number)
        sandbox = portal.sandbox
        made = sandbox.crm.add_call(owner=("contact", number), bindings=(("deal", number),))
        activity = int(made.fields["ID"])
        call = Call(number, time.time())
        portal.calls.append(call)

        def run() -> None:
            stored = sandbox.crm.store(path, content_type="audio/wav")
            if not late:
                sandbox.crm.attach(activity, stored)
            if self.events:
                sandbox.send_event(
                    "ONCRMACTIVITYADD", {"FIELDS": {"ID": activity}},
                    to=f"{self.service.api_url}/events/{portal.token}",
                )  # fmt: skip
            time.sleep(late)
            if late:
                sandbox.crm.attach(activity, stored)
            call.ready_at = time.time()
            if engine:
                link = sandbox.crm.link(sandbox.base_url, stored)
                fixture = {
                    "name": None, "category": "audio",
                    "body": {
                        "prompt": {"file": link, "fields": [], "fileExtension": ""}, "category": "audio",
                        "payload_markers": {"language": "English"}, "ttl": 14_400,
                        "callbackUrl": "{callback}", "errorCallbackUrl": "{error_callback}",
                    },
                }  # fmt: skip
                url = f"{self.service.api_url}/engines/{portal.token}/audio"
                call.job = sandbox.send(fixture, to=url)
                if stores:
                    call.job.activity = activity

        self._senders.submit(run).add_done_callback(_told)
        return call

    def _watch(self) -> None:
        """Notes when each entry came to stand."""
        while True:
            for portal in self.portals:
                standing = {entry["entityId"] for entry in list(portal.sandbox.crm.log_entries)}
                for call in list(portal.calls):
                    if call.entry_at is None and call.deal in standing:
                        call.entry_at = time.time()
            time.sleep(0.1)

    def until(self, true: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not true() and time.monotonic() < end:
            self.service.tend()
            time.sleep(0.2)

    def report(self, *, entry_within: float) -> bool:
        """The figures of each portal; whether they are as they should be."""
        good = True
        for portal in self.portals:
            calls, entries = portal.calls, portal.sandbox.crm.log_entries
            answers = [c.job.finished_at - c.job.sent_at for c in calls if c.job and c.job.finished_at]
            waits = [c.entry_at - c.ready_at for c in calls if c.entry_at and c.ready_at]
            asked = portal.sandbox.ledger.find("/rest/*")
            refused = sum(entry["status"] == 503 for entry in asked)
            each = len(asked) / max(len(calls), 1)
            doubled = len(entries) - len({entry["entityId"] for entry in entries})
            sent = sum(c.job is not None for c in calls)
            lines = {
                "calls": len(calls),
                "answered": f"{len(answers)} of {sent}, {_spread(answers)}",
                "entries": f"{len(waits)}, {_spread(waits)}, twice {doubled}",
                "REST requests a call": f"{each:.2f} ({len(asked)} in all, {refused} refused)",
            }
            sys.stdout.write(f"{portal.name}\n" + "".join(f"  {k:22} {v}\n" for k, v in lines.items()))
            answers.sort()
            good &= len(answers) == sent and len(waits) == len(calls) and not doubled and each <= 3.0
            good &= not answers or answers[int(len(answers) * 0.95) - 1] <= 6.0
            good &= max(waits, default=0.0) <= entry_within
        return good


def _told(future: Any) -> None:
    if error := future.exception():
        sys.stderr.write(f"{type(error).__name__}: {error}\n")


def _spread(seconds: list[float]) -> str:
    if not seconds:
        return "none"
    found = sorted(seconds)
    marks = [found[min(int(len(found) * share), len(found) - 1)] for share in (0.5, 0.95, 1.0)]
    return "median {:.1f} s, 95 % within {:.1f} s, all within {:.1f} s".format(*marks)


def _toml(value: Any) -> str:
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, list) else f'"{value}"'


def day(minutes: float) -> bool:
    """Three portals as they are."""
    with Simulation(3, faults=FAULTS) as world:
        chance, begun = random.Random(11), time.monotonic()
        plan = [
            (60.0 * (number + chance.random()) / rate, portal)
            for portal, rate in zip(world.portals, (15, 6, 3), strict=True)
            for number in range(int(rate * minutes))
        ]
        for at, portal in sorted(plan, key=lambda one: one[0]):
            world.until(lambda: False, begun + at - time.monotonic())
            world.call(portal, late=chance.uniform(*LATE_SECONDS) if chance.random() < 0.2 else 0.0)
        every = [call for portal in world.portals for call in portal.calls]
        world.until(lambda: all(c.entry_at and c.job and c.job.finished_at for c in every), 180)
        time.sleep(3)
        return world.report(entry_within=120)


def burst(minutes: float) -> bool:
    """Forty calls in forty seconds, by engine requests alone; half an hour of calls before them."""
    with Simulation(1, events=False) as world:
        (portal,) = world.portals
        for number in range(30):
            portal.sandbox.crm.add_call(owner=("deal", 10_000 + number)).transcript = f"earlier talk {number}"
        for _ in range(40):
            world.call(portal)
            world.until(lambda: False, 1.0)
        world.until(lambda: all(call.entry_at for call in portal.calls), 90)
        return world.report(entry_within=60)


def waiting(minutes: float) -> bool:
    """Calls that no deal is found for, and an event among them."""
    with Simulation(1) as world:
        (portal,) = world.portals
        world.events = False
        for _ in range(200):
            world.call(portal, stores=False)
            time.sleep(0.05)
        world.until(lambda: all(c.job and c.job.finished_at for c in portal.calls), 120)
        world.until(lambda: False, 30)
        world.events = True
        before = len(portal.sandbox.ledger.find("/rest/*"))
        one = world.call(portal, engine=False)
        world.until(lambda: one.entry_at is not None, 60)
        took = (one.entry_at or time.time()) - one.ended_at
        asked = len(portal.sandbox.ledger.find("/rest/*"))
        sys.stdout.write(f"200 calls wait, {before} REST requests; the event's entry after {took:.1f} s")
        sys.stdout.write(f", {asked - before} requests\n")
        return one.entry_at is not None and took < 5.0


SCENES = {"day": day, "burst": burst, "waiting": waiting}


def main() -> int:
    """Prints the figures; 1 when one of them is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("scene", nargs="*", choices=[*SCENES, []], default=list(SCENES))
    parser.add_argument("--minutes", type=float, default=4.5)
    asked = parser.parse_args()
    good = True
    for name in asked.scene or SCENES:
        sys.stdout.write(f"-- {name}\n")
        good &= SCENES[name](asked.minutes)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
