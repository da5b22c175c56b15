"""The metrics, each declared once, and what this process has counted of them since it last told the store.

Counters of all processes, and of the children of their pools, come together in the store: so an api process
tells the same, whichever of many is asked, and a counter goes on when a process is started anew. Whoever
scrapes several of them takes `max without (instance)`, as the rules in deploy/prometheus do.
"""

from __future__ import annotations

import json
import os
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

PREFIX = "callscribe_"
INFINITE = float("inf")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A family of series; `name` as Prometheus has it, a counter's without `_total`.

    labels: their values come from settings and from tables of ours, never from a request, so that nobody can
    make series. buckets: upper bounds of a histogram, in its unit. begins: series that are told as 0 before
    anything was counted, since Prometheus sees no increase in a series that is new; `portal` stands for each.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: Literal["counter", "gauge", "histogram"] = "counter"
    buckets: tuple[float, ...] = ()
    begins: tuple[tuple[str, ...], ...] = ()

    def inc(self, *labels: str, amount: float = 1.0) -> None:
        """Counts, in this process."""
        TALLY.add(field_of(self.name, *labels), amount)

    def observe(self, value: float, *labels: str) -> None:
        """One value of a histogram, in this process."""
        bound = next((bucket for bucket in self.buckets if value <= bucket), INFINITE)
        TALLY.add(field_of(self.name, *labels, bound_of(bound)), 1.0)
        TALLY.add(field_of(self.name, *labels, "sum"), value)


def bound_of(bucket: float) -> str:
    """A bucket's bound as its label `le` has it."""
    return "+Inf" if bucket == INFINITE else str(float(bucket))


@lru_cache(maxsize=4096)  # labels come from settings and tables of ours, so there are few
def field_of(name: str, *labels: str) -> str:
    """A series as the store calls it; scripts write the same with cjson."""
    return json.dumps([name, *labels], ensure_ascii=False, separators=(",", ":"))


class Tally:
    """What this process has counted and not handed on yet. Thread-safe; a fork begins with nothing."""

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._amounts: dict[str, float] = defaultdict(float)

    def add(self, field: str, amount: float) -> None:
        """Adds to one series."""
        with self._lock:
            self._amounts[field] += amount

    def take(self) -> dict[str, float]:
        """All of it, to be handed on; `give_back` what could not be."""
        with self._lock:
            taken, self._amounts = self._amounts, defaultdict(float)
        return taken

    def give_back(self, amounts: Mapping[str, float]) -> None:
        """Counts it once more."""
        for field, amount in amounts.items():
            self.add(field, amount)


TALLY = Tally()


def _counter(name: str, help_: str, *labels: str, begins: tuple[tuple[str, ...], ...] = ()) -> Metric:
    return Metric(name=PREFIX + name, help=help_, labels=labels, begins=begins)


def _gauge(name: str, help_: str, *labels: str) -> Metric:
    return Metric(name=PREFIX + name, help=help_, labels=labels, kind="gauge")


def _seconds(name: str, help_: str, *labels: str, buckets: tuple[float, ...]) -> Metric:
    return Metric(name=PREFIX + name, help=help_, labels=labels, kind="histogram", buckets=buckets)


# -- counted by processes

ACCEPTED = _counter(
    "jobs_accepted",
    "Jobs that were written durably and answered 202, by portal, category and the way they came.",
    "portal", "category", "source",
)  # fmt: skip
REPEATED = _counter(
    "requests_repeated",
    "Requests for a job that stands already; answered like the first one, nothing is done twice.",
    "portal", "source",
)  # fmt: skip
REFUSED = _counter(
    "requests_refused",
    "Requests that were not taken, by the error's slug; a 503 (store_unavailable, queue_full) loses a call.",
    "slug",
    begins=(("store_unavailable",), ("queue_full",)),
)
ACCEPT_SECONDS = _seconds(
    "accept_seconds",
    "From the whole request read to its record durable; portals wait 5 s for the answer.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 3),
)
FAILURES = _counter(
    "job_failures", "Jobs whose outcome is an error, by its reason (the error's slug).", "portal", "reason",
    begins=(("portal", "undelivered"), ("portal", "expired"), ("portal", "unreadable_record")),
)  # fmt: skip
STEPS = _counter(
    "steps",
    "Turns of steps: done, failed or deferred, and why (the error's slug; snoozed: its time had not come).",
    "step", "outcome", "reason",
)  # fmt: skip
STEP_SECONDS = _seconds(
    "step_seconds",
    "What a turn of a step took that ended done or failed.",
    "step",
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300),
)
LOST = _counter("steps_lost", "Steps whose worker died, or lost its lease.", "step")  # by the scripts
PROVIDER_ANSWERS = _counter(
    "provider_answers",
    "Answers of providers, by HTTP status (as an error inside of a 200 means it); none: no answer came.",
    "provider", "path", "status",
)  # fmt: skip
DELIVERIES = _counter(
    "deliveries",
    "Attempts to send an outcome, by HTTP status (none: no answer came), and whether the portal took it.",
    "portal", "status", "taken",
    begins=(("portal", "200", "yes"), ("portal", "none", "no")),
)  # fmt: skip
OUTCOME_SECONDS = _seconds(
    "outcome_seconds",
    "From the acceptance of a job to its outcome being taken.",
    "category",
    buckets=(1, 5, 15, 60, 180, 600, 1800, 3600, 7200, 14400),
)
NOTICES = _counter(
    "notices", "Notices of trouble, by event, way (webhook, portal) and whether they were taken.",
    "event", "way", "taken",
)  # fmt: skip

# What is counted per portal and day for `callscribe usage` (`Usage.add`), and here for good.
USAGE = {
    "jobs_done": "Outcomes delivered: results.",
    "jobs_failed": "Outcomes delivered: errors.",
    "jobs_undelivered": "Outcomes that no portal took before the deadline.",
    "paid_calls": "Calls to a provider that cost money.",
    "paid_seconds": "Seconds of sound that were paid for.",
    "prompt_tokens": "Tokens of prompts that were paid for.",
    "completion_tokens": "Tokens of answers that were paid for.",
    "images": "Images that were paid for.",
    "doubtful_calls": "Calls whose answer was lost in the network: they may have been served, and paid.",
    "records_unreadable": "Jobs given up, since this version could not read their record.",
    "repeated_calls": "Calls made again although one before may have been paid: killed, cut off, or lost.",
}
USED = {
    name: _counter(name, text, "portal", "model", begins=(("portal", ""),)) for name, text in USAGE.items()
}

COUNTED = (
    ACCEPTED, REPEATED, REFUSED, ACCEPT_SECONDS, FAILURES, STEPS, STEP_SECONDS, LOST, PROVIDER_ANSWERS,
    DELIVERIES, OUTCOME_SECONDS, NOTICES, *USED.values(),
)  # fmt: skip

# -- read at the moment that somebody asks

STORE_UP = _gauge("store_up", "Whether the store answers.")
GONE_BACK = _gauge(
    "store_gone_back",
    "1 for a day after the store was seen to have gone back: jobs may be missing, or run again.",
)
STORE_BYTES = _gauge("store_memory_bytes", "Memory that the store uses.")
STORE_MOST_BYTES = _gauge(
    "store_memory_limit_bytes", "Memory that it may use (maxmemory); 0 where it has no limit."
)
LOOKED = _gauge(
    "sweep_age_seconds",
    "Since somebody last looked for what is due: every second while an upstream worker lives.",
)
READY = _gauge("steps_ready", "Steps that are due and wait for a worker.", "queue")
WAIT = _gauge(
    "queue_age_seconds", "How long the step that waits longest for a worker has waited.", "portal", "queue"
)
OVERDUE = _gauge(
    "overdue_seconds",
    "How long the step has been due that nobody has made ready yet; 0 where there is none.",
)
UNFINISHED = _gauge("jobs_unfinished", "Jobs without an outcome; refused beyond QUEUE_LIMIT.", "portal")
HELD = _gauge("jobs_held", "Jobs that wait for a refused account of the provider.", "portal")
HELD_SECONDS = _gauge(
    "job_held_seconds",
    "How long the job has been held that is held longest; given up after ACCOUNT_HOLD_SECONDS.",
    "portal",
)
ACCOUNT_HELD = _gauge(
    "account_held",
    "1 while a provider refuses the account of this portal for a kind of step; absent else.",
    "portal", "step",
)  # fmt: skip
DEADLINE = _gauge(
    "nearest_deadline_seconds",
    "To the nearest deadline of an unfinished job; below zero it has passed. Absent where there is none.",
    "category",
)
PROCESSES = _gauge(
    "processes",
    "Processes alive, by what they do: api, media, upstream, pool (the children of media).",
    "role",
)
BUSY = _gauge("process_busy_places", "Steps that a worker runs at this moment.", "process", "role")
PLACES = _gauge("process_places", "Steps that it can run at a time.", "process", "role")
CPU = Metric(
    name=PREFIX + "process_cpu_seconds",
    help="Processor time that a process has used.",
    labels=("process", "role"),
)
MEMORY = _gauge("process_resident_bytes", "Memory that a process holds.", "process", "role")
FILES = _gauge("process_open_files", "Descriptors that a process has open.", "process", "role")
ACCEPTING = _gauge(
    "accepting",
    "1 while requests are accepted; 0 while the disk or the store's memory is full: calls are lost.",
)
STORAGE_UP = _gauge("audio_storage_up", "Whether the audio storage takes files.")
DISK_FREE = _gauge("disk_free_bytes", "Free space where the store and audio lie, on this machine.", "place")
DISK = _gauge("disk_bytes", "The size of that disk.", "place")
VERSION = _gauge("version_info", "1, with the version as a label.", "version")

ASKED = (
    STORE_UP, GONE_BACK, STORE_BYTES, STORE_MOST_BYTES, LOOKED, READY, WAIT, OVERDUE, UNFINISHED, HELD,
    HELD_SECONDS, ACCOUNT_HELD, DEADLINE, PROCESSES, BUSY, PLACES, CPU, MEMORY, FILES, ACCEPTING, STORAGE_UP,
    DISK_FREE, DISK, VERSION,
)  # fmt: skip
ALL = (*COUNTED, *ASKED)
