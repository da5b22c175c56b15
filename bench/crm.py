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
import sys
import time
from collections.abc import Callable
from typing import Any

from pipeline.steps import flow
from tests.faults.harness import Service
from tests.faults.telephony import Talk, Telephony

LATE_SECONDS = (10.0, 40.0)  # a recording that is attached after the call's end
FAULTS = 0.05


class Simulation:
    """A service with some portals."""

    def __init__(self, portals: int, *, faults: float = 0.0, events: bool = True) -> None:
        self.portals = [Telephony(f"portal{n}", events=events) for n in range(portals)]
        self.service = Service(
            telephony=self.portals, LEASE_SECONDS="60", SWEEP_SECONDS="1", UPSTREAM_THREADS="16"
        )
        self._faults = faults

    def __enter__(self) -> Simulation:
        self.service.__enter__()
        self.service.sandbox.app.script = Talk(faults=self._faults, delay_seconds=0.5)
        self.service.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.service.__exit__(error[0], error[1], error[2])

    def until(self, true: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not true() and time.monotonic() < end:
            self.service.tend()
            for portal in self.portals:
                portal.watch()
            time.sleep(0.1)

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
        store = self.service.store
        for identifier, _, _ in store.page(limit=1000):
            state = flow.timeline(store.load(identifier))
            if state.state != "written":
                sys.stdout.write(f"{identifier}: {state}\n")
                for event in store.events(identifier)[-6:]:
                    sys.stdout.write(f"  {event.at:.1f} {event.step} {event.what} {event.why or ''}\n")
        return good


def _spread(seconds: list[float]) -> str:
    if not seconds:
        return "none"
    found = sorted(seconds)
    marks = [found[min(int(len(found) * share), len(found) - 1)] for share in (0.5, 0.95, 1.0)]
    return "median {:.1f} s, 95 % within {:.1f} s, all within {:.1f} s".format(*marks)


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
            world.service.ring(portal, late=chance.uniform(*LATE_SECONDS) if chance.random() < 0.2 else 0.0)
        every = [call for portal in world.portals for call in portal.calls]
        world.until(lambda: all(c.entry_at and c.job and c.job.finished_at for c in every), 180)
        return world.report(entry_within=120)


def burst(minutes: float) -> bool:
    """Forty calls in forty seconds, by engine requests alone; half an hour of calls before them."""
    with Simulation(1, events=False) as world:
        (portal,) = world.portals
        for number in range(30):
            portal.sandbox.crm.add_call(owner=("deal", 10_000 + number)).transcript = f"earlier talk {number}"
        for _ in range(40):
            world.service.ring(portal)
            world.until(lambda: False, 1.0)
        world.until(lambda: all(call.entry_at for call in portal.calls), 90)
        return world.report(entry_within=60)


def waiting(minutes: float) -> bool:
    """Calls that no deal is found for, and an event among them."""
    with Simulation(1) as world:
        (portal,) = world.portals
        portal.events = False
        for _ in range(200):
            world.service.ring(portal, stores=False)
            time.sleep(0.05)
        world.until(lambda: all(c.job and c.job.finished_at for c in portal.calls), 120)
        world.until(lambda: False, 30)
        portal.events = True
        before = len(portal.sandbox.ledger.find("/rest/*"))
        one = world.service.ring(portal, engine=False)
        world.until(lambda: one.entry_at is not None, 60)
        took = (one.entry_at or time.time()) - one.ended_at
        asked = len(portal.sandbox.ledger.find("/rest/*"))
        sys.stdout.write(f"200 calls wait, {before} REST requests; the event's entry after {took:.1f} s")
        sys.stdout.write(f", {asked - before} requests\n")
        newest, at, _ = world.service.store.page(limit=1)[0]
        for event in world.service.store.events(newest):
            sys.stdout.write(f"  {event.at - at:5.1f} s {event.step} {event.what} {event.why or ''}\n")
        return one.entry_at is not None and took < 5.0


SCENES = {"day": day, "burst": burst, "waiting": waiting}


def main() -> int:
    """Prints the figures; 1 when one of them is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("scene", nargs="*", metavar="SCENE", help=f"{', '.join(SCENES)}; none: all")
    parser.add_argument("--minutes", type=float, default=4.5)
    asked = parser.parse_args()
    if unknown := ", ".join(name for name in asked.scene if name not in SCENES):
        parser.error(f"no such scene: {unknown}; there are {', '.join(SCENES)}")
    good = True
    for name in asked.scene or SCENES:
        sys.stdout.write(f"-- {name}\n")
        good &= SCENES[name](asked.minutes)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
