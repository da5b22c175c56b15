"""The job store as workers and commands use it: records, claims, transitions. Thread-safe."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, cast

import structlog

from pipeline.domain.errors import LeaseLost, StoreUnavailable, UnknownJob
from pipeline.domain.job import Category, Claim, Delivery, Due, Event, Job, JobId, PortalId, Step
from pipeline.domain.kinds import A_PERSON_WAITS, KINDS, QUEUES
from pipeline.store.connect import Server, guarded
from pipeline.store.counters import Counters, Processes
from pipeline.store.durability import Disk
from pipeline.store.gauges import Gauges
from pipeline.store.known import Known, Lately
from pipeline.store.ledger import Ledger
from pipeline.store.records import (
    Quota,
    accept_arguments,
    dumps,
    read_delivery,
    read_event,
    read_job,
)
from pipeline.store.sessions import Sessions
from pipeline.store.throttles import Breakers, Limits
from pipeline.store.transitions import Finished, Stale, Transition, Wanted, argument, finish_argument
from pipeline.store.usage import Usage
from pipeline.store.watermark import Mark, Watermark

log = structlog.get_logger()

BACK_SECONDS = 86_400  # about as long as the portals' time for a job
LAYOUT = "2"  # of the keys, as scripts/prelude.lua lists them
PERSIST_SECONDS = 1800.0
# A worker that dies takes down steps that did no wrong, so it counts once against each; when the process of
# one step alone dies, that step is probably to blame, and it counts three times.
ALONE = 3

P = ParamSpec("P")
R = TypeVar("R")


def persist(write: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """The write, tried for half an hour while the store is away: what was computed, or paid, is dear.

    Safe for writes that may run twice: a lease that is gone by then answers LeaseLost. Leases stand still
    meanwhile, and a worker that has to leave does so all the same.
    """
    end = time.monotonic() + PERSIST_SECONDS
    while True:
        try:
            return write(*args, **kwargs)
        except StoreUnavailable:
            if time.monotonic() >= end:
                raise
            time.sleep(0.25)


# of a record: what a list shows
LISTED = (
    *("portal", "category", "status", "source", "deadline", "rev", "accepted_at", "held_since"),
    *(f"fact:{step}" for step in ("failure", "classify", "callback", "link", "timeline", "verdict:1")),
)


class Store:
    """Records in Redis or Valkey; every change is one Lua script. Its parts hold what workers share besides:
    the ledger of paid answers, usage, what is known, breakers and limits, sessions, what was counted,
    who lives, and how all of it lies on the disk.

    url: `redis://`, `rediss://`, `unix://` or `redis+sentinel://`.
    Raises StoreUnavailable wherever the server does not serve.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 5.0) -> None:
        server = Server(url, timeout_seconds=timeout_seconds)
        self._redis, self._run = server.redis, server.run
        self.now, self.close = server.now, server.close
        self.watermark = Watermark()
        self.ledger, self.usage, self.known = Ledger(server), Usage(server), Known(server)
        self.lately = Lately(self.known)
        self.breakers, self.limits = Breakers(server), Limits(server)
        self.sessions, self.disk = Sessions(server), Disk(server)
        self.counters, self.processes, self.gauges = Counters(server), Processes(server), Gauges(server)

    # -- records

    @guarded
    def accept(
        self, job: Job, dues: Iterable[Due], fields: Mapping[str, str], quota: Quota | int
    ) -> Sequence[str]:
        """["new" | "known" | "full", digest, queues to tell of ...]; see accept.lua."""
        quota = Quota(quota) if isinstance(quota, int) else quota
        arguments = accept_arguments(job.id, fields, dues, quota)
        (answer,) = self._run("accept", *arguments)
        if isinstance(answer, Exception):
            raise answer
        return cast(Sequence[str], answer)

    @guarded
    def load(self, job: JobId) -> Job:
        """The record; raises UnknownJob, UnreadableRecord."""
        return read_job(job, self.raw(job))

    @guarded
    def has(self, job: JobId) -> bool:
        """Whether the job's record is there."""
        return bool(self._redis.exists(f"cs:job:{job}"))

    @guarded
    def raw(self, job: JobId) -> dict[str, str]:
        """The record's fields as they are stored; raises UnknownJob."""
        fields = cast(dict[str, str], self._redis.hgetall(f"cs:job:{job}"))
        if not fields:
            raise UnknownJob(f"no job {job}")
        return fields

    @guarded
    def waiting(self, job: JobId) -> dict[Step, float]:
        """When each step that is not done is tried next, unix seconds; 0 for what is ready or under way."""
        fields = self.raw(job)
        dues = {name[4:]: text.partition(" ")[0] for name, text in fields.items() if name.startswith("due:")}
        pipe = self._redis.pipeline(transaction=False)
        for step, queue in dues.items():
            pipe.zscore("cs:later", f"{queue}|{fields.get('portal', '')}|{job}|{step}")
        return {Step(step): at or 0.0 for step, at in zip(dues, pipe.execute(), strict=True)}

    @guarded
    def events(self, job: JobId) -> list[Event]:
        """What happened to the job, in order."""
        return [
            read_event(line) for line in cast(list[str], self._redis.lrange(f"cs:job:{job}:events", 0, -1))
        ]

    @guarded
    def deliveries(self, job: JobId) -> list[Delivery]:
        """Each attempt to send the outcome, in order."""
        lines = cast(list[str], self._redis.lrange(f"cs:job:{job}:deliveries", 0, -1))
        return [read_delivery(line) for line in lines]

    @guarded
    def page(
        self, *, before: float | None = None, limit: int = 100
    ) -> list[tuple[JobId, float, dict[str, str]]]:
        """Jobs by time of acceptance, newest first: id, accepted_at, those fields that a list shows."""
        upper = "+inf" if before is None else f"({before:.6f}"
        rows = cast(
            list[tuple[str, float]],
            self._redis.zrevrangebyscore("cs:jobs", upper, "-inf", start=0, num=limit, withscores=True),
        )
        pipe = self._redis.pipeline(transaction=False)
        for job, _ in rows:
            pipe.hmget(f"cs:job:{job}", LISTED)
        found = []
        gone = []
        for (job, at), values in zip(rows, pipe.execute(), strict=True):
            if not any(values):
                gone.append(job)
            else:
                found.append((JobId(job), at, {n: v for n, v in zip(LISTED, values, strict=True) if v}))
        if gone:  # their retention has passed
            self._redis.zrem("cs:jobs", *gone)
            if not found and len(rows) == limit:
                return self.page(before=rows[-1][1], limit=limit)
        return found

    @guarded
    def under_way(
        self, portals: Iterable[PortalId], *, most: int, of_each: int
    ) -> list[tuple[JobId, float, dict[str, str], Event | None]]:
        """Some of their jobs without an outcome, as `page` has them, and what happened to each last."""
        pipe = self._redis.pipeline(transaction=False)
        for portal in portals:
            pipe.sscan(f"cs:open:{portal}", count=of_each)
        open_ = cast(list[tuple[int, list[str]]], pipe.execute())
        some = [job for _, jobs in open_ for job in jobs[:of_each]][:most]
        for job in some:
            pipe.hmget(f"cs:job:{job}", LISTED)
            pipe.lindex(f"cs:job:{job}:events", -1)
        told = iter(pipe.execute())
        found = []
        for job, values, last in zip(some, told, told, strict=False):
            fields = {name: value for name, value in zip(LISTED, values, strict=True) if value}
            if "accepted_at" in fields:
                event = read_event(last) if last else None
                found.append((JobId(job), float(fields["accepted_at"]), fields, event))
        return found

    @guarded
    def unfinished(self, portal: PortalId) -> int:
        """How many jobs of the portal have no outcome yet."""
        return int(self._redis.scard(f"cs:open:{portal}"))

    def erase(self, job: JobId) -> bool:
        """Removes the record, its events, its deliveries and its paid answers; False when unknown."""
        return bool(self._run("erase", job))

    @guarded
    def count(self) -> int:
        """How many jobs are kept, ended ones among them."""
        return int(self._redis.zcard("cs:jobs"))

    # -- claims

    def claim(
        self,
        queue: str,
        owner: str,
        *,
        lease_seconds: float,
        urgent_only: bool = False,
        waits: bool | None = None,
    ) -> Claim | None:
        """The fairest due step of the queue, leased to `owner`; None when nothing is due.

        Of all portals that have not reached their limit the one with the fewest running steps, then the one
        least recently served, then the one with the nearest deadline; urgent steps pass the limit.
        waits: whether, where nothing is due, `word` comes to the owner from now on; None: it never does.
        """
        while True:
            before = self.watermark.mark
            row = self._run(
                "claim", queue, owner, lease_seconds, int(urgent_only), "" if waits is None else int(waits)
            )
            if not row:
                return None
            if found := self._claimed(queue, row, before):
                return found

    def _claimed(self, queue: str, row: Sequence[Any], before: Mark) -> Claim | None:
        """The script's answer; None where there is none, or it is to be asked again."""
        if not row or not row[0]:
            return None
        self._watch(before, int(row[3]))
        return Claim(
            job=JobId(row[0]),
            step=Step(row[1]),
            queue=queue,
            portal=PortalId(row[2]),
            fence=row[3],
            attempt=int(row[4]),
            lost=int(row[5]),
            deadline=float(row[6]),
            record=dict(zip(row[7][::2], row[7][1::2], strict=True)),
        )

    def claimed(self, claim: Claim) -> Job:
        """The record as it stood when it was claimed; raises UnreadableRecord."""
        return read_job(claim.job, claim.record) if claim.record else self.load(claim.job)

    @guarded
    def word(self, owner: str, *, seconds: int) -> bool:
        """Waits for word that there is work for the owner; whether it came. It may have been for nothing."""
        return bool(self._redis.blpop([f"cs:word:{owner}"], timeout=seconds))

    def renew(self, claim: Claim, lease_seconds: float) -> bool:
        """Holds the claim for another lease; False when it is another's now."""
        args = (claim.queue, claim.portal, claim.job, claim.step, claim.fence, lease_seconds)
        return bool(self._run("renew", *args))

    def release(self, owner: str, *, crashed: bool, alone: bool = False) -> int:
        """Frees at once all leases whose owner begins so, and how many; word of work comes to others instead.

        crashed: it is counted against the steps. alone: nothing but this step's own process died, so that the
        step is probably to blame.
        """
        return int(self._run("release", owner, (ALONE if alone else 1) if crashed else 0, *QUEUES))

    def limit(self, queue: str, limits: Mapping[PortalId, int]) -> None:
        """From now on so many steps of each portal run at a time; any other portal's are eight."""
        self._run("limits", queue, dumps(dict(limits)))

    def tick(self) -> dict[str, int]:
        """Moves what is due and what was lost to ready; how much is ready per queue, less what it has just
        become and woke somebody who waited.

        Where the keys are those of another version, they are made into this one's first.
        """
        while True:
            before = self.watermark.mark
            if row := self._run("tick", LAYOUT, secrets.token_hex(8), *QUEUES):
                break
            self.rebuild()
        counts, epoch, number = row
        self._watch(before, int(number), epoch)
        return cast(dict[str, int], json.loads(counts))

    def _watch(self, before: Mark, number: int, epoch: str = "") -> None:
        if not self.watermark.is_back(before, number, epoch):
            return
        log.error(
            "store_gone_back",
            epoch=epoch or before.epoch,
            seen=f"{before.epoch} {before.number}",
            found=number,
            hint="It fails over to a replica that lagged, was restored, or is another store: jobs of that "
            "time may be missing, or run again. Effects are looked up before they are made.",
        )
        self._run("back", before.number, BACK_SECONDS)

    @guarded
    def unsettled_since(self) -> float | None:
        """When it was seen that the store had gone back, unix seconds; None where that is settled."""
        at = cast("str | None", self._redis.get("cs:back"))
        return float(at) if at else None

    def rebuild(self) -> None:
        """Makes the indexes anew from the records and what waits; may run at any time, beside anything."""
        kinds = {name: [kind.queue, kind.urgency] for name, kind in KINDS.items()}
        waited_for = {category.value: A_PERSON_WAITS for category in Category if not category.spoken}
        self._run("rebuild", LAYOUT, dumps(kinds), dumps(waited_for))

    # -- transitions

    def finish(
        self,
        job: Job,
        what: Transition,
        *,
        claim: Claim | None,
        retention_seconds: int = 604_800,
        wanted: Wanted | None = None,
    ) -> Finished:
        """One transition: facts in, next steps scheduled, lease dropped; then the next claim, if wanted.

        retention_seconds: how long a closed record stays. Raises LeaseLost when the claim is another's by
        now, Stale when the record moved on since `job` was read, UnknownJob when it was erased.
        """
        before = self.watermark.mark
        answer, *told = self._run("finish", finish_argument(job, what, claim, retention_seconds, wanted))
        if answer == "stale":
            raise Stale
        if answer == "fenced":
            raise LeaseLost
        if answer == "gone":
            raise UnknownJob(f"no job {job.id}")
        row, *news = told
        following = self._claimed(wanted.queue, row, before) if wanted else None
        return Finished(tuple(news), following, listed=bool(wanted and wanted.waits and not row))

    def defer(
        self,
        claim: Claim,
        *,
        at: float,
        uncounted: bool = False,
        ambiguous: bool = False,
        events: Iterable[Event] = (),
        deliveries: Iterable[Delivery] = (),
        first: Mapping[str, str] | None = None,
    ) -> None:
        """Puts the claimed step off until `at`; `first` sets fields that are not set yet.

        uncounted: the step was not really tried. ambiguous: a paid call may have been served unseen.
        """
        transition = {
            "id": claim.job,
            "queue": claim.queue,
            "portal": claim.portal,
            "step": claim.step,
            "fence": claim.fence,
            "at": at,
            "uncounted": uncounted or None,
            "ambiguous": ambiguous or None,
            "events": [dumps(event) for event in events],
            "deliveries": [dumps(delivery) for delivery in deliveries],
            "set": dict(first or {}) or None,
        }
        answer = self._run("defer", argument(transition))
        if answer == "fenced":
            raise LeaseLost

    # -- the server

    @guarded
    def ping(self) -> None:
        """Proves that the store takes writes; raises StoreUnavailable."""
        self._redis.set("cs:ping", f"{time.time():.3f}", ex=60)
