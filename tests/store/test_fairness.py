"""Whom a claim serves: an index kept by each transition, against the plain definition as the model."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.domain.job import Claim, JobId, PortalId
from pipeline.domain.kinds import BACKGROUND, UPSTREAM, URGENT_BELOW
from pipeline.store import Store, Transition
from pipeline.store.watermark import Watermark
from tests.store.jobs import a_job, accept, due

PORTALS = ("a", "b", "c", "d", "e")
QUEUES = (UPSTREAM, BACKGROUND)


@dataclass
class Model:
    """All that is ready and running, and the definition in as many words."""

    deadlines: dict[JobId, float] = field(default_factory=dict)
    portals: dict[JobId, str] = field(default_factory=dict)
    ready: dict[tuple[str, JobId], int] = field(default_factory=dict)  # queue, job -> urgency
    running: dict[JobId, tuple[str, int, Claim]] = field(default_factory=dict)
    served: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    limits: dict[str, int] = field(default_factory=lambda: defaultdict(lambda: 8))
    claims: int = 0

    def fairest(self, queue: str, urgent_only: bool) -> JobId | None:
        """Fewest running, then least recently served, then the first by urgency and deadline."""
        ranked = []
        for portal in PORTALS:
            waiting = [
                (urgency, self.deadlines[job], job)
                for (at, job), urgency in self.ready.items()
                if at == queue and self.portals[job] == portal
            ]
            if not waiting:
                continue
            urgency, deadline, job = min(waiting)
            running = sum(
                at == queue and self.portals[other] == portal for other, (at, _, _) in self.running.items()
            )
            urgent = urgency < URGENT_BELOW
            if urgent or (running < self.limits[portal] and not urgent_only):
                ranked.append((running, self.served[queue, portal], (urgency, deadline), job))
        return min(ranked)[3] if ranked else None


TRANSITIONS = st.lists(
    st.one_of(
        st.tuples(st.just("accept"), st.sampled_from(PORTALS), st.integers(0, 3), st.sampled_from(QUEUES)),
        st.tuples(st.just("claim"), st.booleans(), st.sampled_from(QUEUES)),
        st.tuples(st.sampled_from(["finish", "defer", "crash", "erase", "move"]), st.integers(0, 30)),
        st.tuples(st.just("limit"), st.sampled_from(PORTALS), st.integers(1, 3)),
        st.tuples(st.just("rebuild")),
    ),
    min_size=10,
    max_size=60,
)


@given(transitions=TRANSITIONS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_index_serves_whom_the_definition_names(
    store: Store, transitions: list[tuple[object, ...]]
) -> None:
    """After any transitions each claim takes the step that the plain definition of fairness takes."""
    store._redis.flushall()
    store.watermark = Watermark()  # it is another store
    store.tick()
    model, number = Model(), 0
    for what, *args in transitions:
        if what == "accept":
            portal, urgency, queue = args
            number += 1
            job = a_job(store, number, portal)
            accept(store, job, due("x", queue, urgency=urgency), limit=1000)
            model.deadlines[job.id] = store.load(job.id).deadline
            model.portals[job.id] = portal
            model.ready[queue, job.id] = urgency
        elif what == "claim":
            urgent_only, queue = args
            expected = model.fairest(queue, urgent_only)
            found = store.claim(queue, f"n{number}:t", lease_seconds=100, urgent_only=urgent_only)
            assert (found.job if found else None) == expected
            if found:
                model.claims += 1
                model.served[queue, model.portals[found.job]] = model.claims
                model.running[found.job] = (queue, model.ready.pop((queue, found.job)), found)
        elif what == "limit":
            portal, limit = args
            model.limits[portal] = limit
            for queue in QUEUES:
                store.limit(queue, {PortalId(name): model.limits[name] for name in PORTALS})
        elif what == "rebuild":
            store.rebuild()
        else:
            after(store, model, str(what), int(args[0]))
    for queue in QUEUES:
        assert store.tick()[queue] == sum(at == queue for at, _ in model.ready)
    assert members(store, "cs:waits:") == members(store, "cs:ready:")
    assert members(store, "cs:deadlines:") == {
        (f"{key.rpartition(':')[2]}|{job}") for key in store._redis.scan_iter("cs:open:*")
        for job in store._redis.smembers(key)
    }  # fmt: skip
    for _, _, held in list(model.running.values()):
        store.finish(
            store.load(held.job), Transition(facts={"x": 1}, dues=(), status="done", closed=True), claim=held
        )
    for _, job in list(model.ready):
        store.erase(job)
    stay = ("cs:job", "cs:open:", "cs:deadlines:")
    left = {key for key in store._redis.scan_iter("cs:*") if not key.startswith(stay)}
    assert left <= {"cs:looked", "cs:layout", "cs:fence", "cs:epoch", "cs:depth", "cs:bytes", "cs:counted", *(
        f"cs:{name}:{queue}" for name in ("served", "limits") for queue in QUEUES
    )}  # fmt: skip


def members(store: Store, prefix: str) -> set[str]:
    """Of all sorted sets whose names begin so."""
    return {
        member for key in store._redis.scan_iter(f"{prefix}*") for member in store._redis.zrange(key, 0, -1)
    }


def after(store: Store, model: Model, what: str, pick: int) -> None:
    """Ends, puts off, loses, erases or moves one of the steps that there are."""
    if what == "move":
        if model.ready:
            queue, job = sorted(model.ready)[pick % len(model.ready)]
            there = QUEUES[1 - QUEUES.index(queue)]
            model.ready[there, job] = model.ready.pop((queue, job))
            dues = [due("x", there, urgency=model.ready[there, job])]
            store.finish(store.load(job), Transition(facts={}, dues=dues, status="running"), claim=None)
        return
    if not model.running:
        return
    job = sorted(model.running)[pick % len(model.running)]
    queue, urgency, held = model.running[job]
    if what == "crash":
        owner = store._redis.hget(f"cs:job:{job}", "lease:x").split()[1]  # type: ignore[union-attr]
        for other, (at, level, one) in list(model.running.items()):
            if store._redis.hget(f"cs:job:{other}", "lease:x").split()[1] == owner:  # type: ignore[union-attr]
                model.ready[at, one.job] = level
                del model.running[other]
        store.release(owner, crashed=True)
        return
    del model.running[job]
    if what == "finish":
        store.finish(store.load(job), Transition(facts={"x": 1}, dues=(), status="running"), claim=held)
    elif what == "defer":
        store.defer(held, at=0)
        model.ready[queue, job] = urgency
    else:
        store.erase(job)
