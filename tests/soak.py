"""Random faults over hundreds of jobs: `make soak`, or `python -m tests.soak --jobs 500 --seed 7`.

Every few seconds something is killed, stopped, cut or told to fail, while portals keep sending. At the end
each accepted call must have had its outcome once, each timeline entry must stand once, and nothing may have
been paid again but what was in flight when its worker was killed, or whose answer was lost.
"""

from __future__ import annotations

import argparse
import logging
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

from pipeline.domain.kinds import QUEUES
from tests.faults.harness import HEARING, Service
from tests.faults.telephony import Telephony

PAUSE_SECONDS = (1.5, 4.0)  # between two faults
LONGEST_SECONDS = 900.0


def main() -> int:
    """Runs the soak and prints its table; 0 when every guarantee held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    begun = time.monotonic()
    print(f"seed {asked.seed}", flush=True)  # noqa: T201 (known also when it fails)
    with Service(UPSTREAM_THREADS="16", telephony=[Telephony("crm")]) as service:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it resets because it is told to
        soak = Soak(service, random.Random(asked.seed))
        soak.run(asked.jobs)
        table = soak.table()
    lines = [f"{time.monotonic() - begun:.0f} s"]
    lines += [f"  {name:44} {value}" for name, value in table.items()]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if any(table[name] for name in MUST_BE_ZERO) else 0


LOST, DOUBLED, REPAID, TWICE, FAILED = (
    "accepted calls without an outcome", "outcomes taken twice", "paid again beyond the stated exceptions",
    "calls with two timeline entries, or none", "calls that ended in an error",
)  # fmt: skip
MUST_BE_ZERO = (LOST, DOUBLED, REPAID, TWICE, FAILED, "files, leases and secrets left behind")


class Soak:
    """One run."""

    def __init__(self, service: Service, chance: random.Random) -> None:
        self.service, self.chance = service, chance
        self.faults: Counter[str] = Counter()
        self.in_flight_when_killed = 0
        self.unsent: list[str] = []

    def run(self, jobs: int) -> None:
        """Sends the jobs, a tenth of them through /v1 with a deal, a fifth as calls of a portal with the
        cloud's limits, and hurts the service meanwhile."""
        service = self.service
        service.start(
            upstream=2,
            failpoints=lambda name: "step.before_finish=kill@../latches/child" if name == "media" else "",
        )
        service.fault(HEARING, delay_seconds=0.2, times=None)
        sending = threading.Thread(target=self._send, args=(jobs,), daemon=True)
        sending.start()
        end = time.monotonic() + LONGEST_SECONDS
        while sending.is_alive() and time.monotonic() < end:
            self._hurt()
            until = time.monotonic() + self.chance.uniform(*PAUSE_SECONDS)
            while time.monotonic() < until:
                service.tend()
                time.sleep(0.02)
        sending.join(60)
        for portal in service.telephony:
            portal.sent()
        service.settle(240)

    def _send(self, jobs: int) -> None:
        service, sent = self.service, 0
        while sent < jobs:
            if sent % 10 in (2, 6):  # by event and by engine request; its deal is found in the CRM
                service.ring(service.telephony[0], patience_seconds=60)
                sent += 1
                time.sleep(0.3)
                continue
            if sent % 10 == 9:
                service.file(patience_seconds=60)
                sent += 1
                continue
            job = service.call(ttl=600)
            while not job.accepted:  # the portal's own repetition; a 202 that was lost may stand
                time.sleep(0.5)
                service.sandbox.send("", hash=job.hash)
            if job not in service.jobs:
                service.refused.remove(job)
                service.jobs.append(job)
            sent += 1

    # -- faults

    def _hurt(self) -> None:
        fault: Callable[[], None] = self.chance.choices(
            [self.kill_upstream, self.kill_media, self.kill_child, self.kill_api, self.kill_store,
             self.stop_store, self.stop_upstream, self.lose_notifications, self.fail_router,
             self.fail_portal],
            [5, 3, 2, 2, 2, 1, 1, 2, 5, 3],
        )[0]  # fmt: skip
        self.faults[fault.__name__] += 1
        fault()

    def kill_upstream(self) -> None:
        name = self.chance.choice(["upstream", "upstream1"])
        self.in_flight_when_killed += self._paying()
        self.service.kill(name)

    def kill_media(self) -> None:
        self.service.kill("media")

    def kill_child(self) -> None:
        self.service.latch("child").touch()

    def kill_api(self) -> None:
        self.service.kill("api")

    def kill_store(self) -> None:
        self.service.kill("store")
        time.sleep(self.chance.uniform(0, 3))
        self.service.start_store()

    def stop_store(self) -> None:
        self.service.signal("store", signal.SIGSTOP)
        time.sleep(self.chance.uniform(1, 4))
        self.service.signal("store", signal.SIGCONT)

    def stop_upstream(self) -> None:
        self.in_flight_when_killed += self._paying()
        self.service.signal("upstream", signal.SIGSTOP)
        time.sleep(self.chance.uniform(1, 4))
        self.service.signal("upstream", signal.SIGCONT)

    def lose_notifications(self) -> None:
        self.service.redis.delete(*QUEUES)

    def fail_router(self) -> None:
        fault = self.chance.choice(
            [{"status": 429, "headers": {"retry-after": "1"}}, {"status": 500}, {"status": 503},
             {"reset": "before"}, {"reset": "after"}, {"reset": "midway"}, {"drip_seconds": 2.0}],
        )  # fmt: skip
        self.service.fault(HEARING, times=self.chance.randint(1, 4), **fault)

    def fail_portal(self) -> None:
        path = self.chance.choice(["/callback", "/disk/downloadFile/*", "/v1/timeline-logs", "/rest/*"])
        fault = self.chance.choice([{"status": 503}, {"reset": "before"}, {"reset": "after"}])
        times = self.chance.randint(1, 4)
        if path == "/rest/*":
            self.service.telephony[0].sandbox.script.add(path=path, times=times, **fault)
        else:
            self.service.fault(path, times=times, **fault)

    def _paying(self) -> int:
        return sum("transcribe" in member for member in self.service.redis.zrange("cs:leases", 0, -1))

    # -- the ledger

    def table(self) -> dict[str, object]:
        """What happened, and what must not have."""
        service = self.service
        taken = [sum(one["reply"]["status"] == "success" for one in job.callbacks) for job in service.jobs]
        resets = sum(
            entry["status"] == "reset" and "seconds" in entry
            for entry in service.sandbox.ledger.find(f"*{HEARING}")
        )
        repaid = service.repaid()
        entries = Counter(
            (one["text"].split()[-1], one["entityId"]) for one in service.sandbox.crm.log_entries
        )
        wrong = sum((entries - Counter(service.filed.items())).values())
        wrong += sum((Counter(service.filed.items()) - entries).values())
        linked = [one for portal in service.telephony for one in portal.wrong()]
        left = [*service.files(), *service.unfinished(), *service.told()]
        return {
            "calls accepted": len(service.jobs) + len(service.filed) + len(service.telephony[0].calls),
            "faults": f"{sum(self.faults.values())}: "
            + ", ".join(f"{name} {times}" for name, times in sorted(self.faults.items())),
            "processes killed": sum(part.deaths for part in service.parts.values()),
            "pieces of audio heard": len(service.heard()),
            "paid again": repaid,
            "answers that were lost in the network": resets,
            "paid calls in flight at kills and stops": self.in_flight_when_killed,
            "paid again by the service's own count": service.usage("repeated_calls"),
            "callbacks repeated after a lost answer": sum(
                max(0, len(job.callbacks) - 1) for job in service.jobs
            ),
            LOST: taken.count(0),
            DOUBLED: sum(times > 1 for times in taken),
            REPAID: max(0, repaid - resets - self.in_flight_when_killed),
            TWICE: wrong + len(linked),
            FAILED: sum(job.outcome == "error" for job in service.jobs),
            MUST_BE_ZERO[-1]: len(left),
            **({"left": left[:5]} if left else {}),
            **({"linked": linked[:5]} if linked else {}),
        }


if __name__ == "__main__":
    sys.exit(main())
