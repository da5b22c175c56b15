"""Who is told of a step that has become ready: turns that wait at the store first, then others by message."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.domain.job import Claim, PortalId
from pipeline.domain.kinds import AFTERWARDS, BACKGROUND, OUTCOME, UPSTREAM, URGENT_BELOW, WORK
from pipeline.store import Store, Transition, Wanted, fields_of
from pipeline.store.watermark import Watermark
from tests.store.jobs import a_job, accept, due

QUEUES = (UPSTREAM, BACKGROUND)
OWNERS = ("a:1", "a:2", "b:1", "b:2", "b:3")

Lists = dict[tuple[str, bool], list[str]]


@dataclass
class Model:
    """Who waits, the last one last, and who was woken; steps that are ready, by urgency."""

    waiters: Lists = field(default_factory=lambda: defaultdict(list))
    words: set[str] = field(default_factory=set)
    ready: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def wake(self, queue: str, urgent_only: bool) -> bool:
        """The one that began to wait last."""
        if listed := self.waiters[queue, urgent_only]:
            self.words.add(listed.pop())
            return True
        return False

    def tell(self, queue: str, urgency: int) -> bool:
        """For an urgent step whoever may take nothing else comes first."""
        return (urgency < URGENT_BELOW and self.wake(queue, True)) or self.wake(queue, False)

    def claimable(self, queue: str, urgent_only: bool) -> int | None:
        """The urgency of the step that a claim takes."""
        best = min(self.ready[queue], default=None)
        return None if best is None or (urgent_only and best >= URGENT_BELOW) else best

    def claim(self, queue: str, owner: str, urgent_only: bool, waits: bool | None) -> int | None:
        """Takes a step; else who waits is listed, and what it may not take goes to another."""
        best = self.claimable(queue, urgent_only)
        if waits is not None:
            self.words.discard(owner)
            there = owner in self.waiters[queue, urgent_only]
            if best is None and waits:
                self.unlist(queue, owner, also=not there)
                if not there:
                    self.waiters[queue, urgent_only].append(owner)
            else:
                self.unlist(queue, owner)
        if best is None:
            if urgent_only and self.ready[queue]:
                self.wake(queue, False)
        else:
            self.ready[queue].remove(best)
        return best

    def unlist(self, queue: str, owner: str, *, also: bool = True) -> None:
        for urgent_only in (False, True):
            if also and owner in self.waiters[queue, urgent_only]:
                self.waiters[queue, urgent_only].remove(owner)


URGENCIES = st.sampled_from([OUTCOME, WORK])
WAITS = st.sampled_from([True, True, True, False, None])
CLAIMS = (st.sampled_from(QUEUES), st.sampled_from(OWNERS), st.sampled_from([False, False, True]), WAITS)
TRANSITIONS = st.lists(
    st.one_of(
        st.tuples(st.just("accept"), st.sampled_from(QUEUES), URGENCIES),
        *[st.tuples(st.just("claim"), *CLAIMS)] * 5,
        st.tuples(st.just("finish"), *CLAIMS, st.integers(0, 9), URGENCIES),
        st.tuples(st.just("release"), st.sampled_from([*OWNERS, "a:", "b:"])),
        st.tuples(st.just("tick")),
    ),
    min_size=20,
    max_size=60,
)


@given(transitions=TRANSITIONS)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_step_wakes_one_or_is_told_by_message(
    store: Store, transitions: list[tuple[object, ...]]
) -> None:
    """After any transitions those wait whom the plain definition names, and what woke nobody is answered."""
    store._redis.flushall()
    store.watermark = Watermark()
    store.tick()
    for queue in QUEUES:
        store.limit(queue, {"acme": 10_000})  # type: ignore[dict-item]
    model, running, number = Model(), [], 0
    for what, *args in transitions:
        if what == "accept":
            queue, urgency = args
            number += 1
            told = store.accept(*new(store, number, str(queue), int(urgency)))[2:]  # type: ignore[call-overload]
            assert list(told) == ([] if model.tell(queue, urgency) else [queue])  # type: ignore[arg-type]
            model.ready[queue].append(urgency)  # type: ignore[index,arg-type]
        elif what == "claim":
            queue, owner, urgent_only, waits = args
            found = store.claim(queue, owner, lease_seconds=90, urgent_only=urgent_only, waits=waits)  # type: ignore[arg-type]
            expected = model.claim(queue, owner, urgent_only, waits)  # type: ignore[arg-type]
            assert (found is None) == (expected is None)
            running += [found] if found else []
        elif what == "finish" and running:
            finish(store, model, running, *args)  # type: ignore[arg-type]
        elif what == "release":
            release(store, model, running, str(args[0]))
        elif what == "tick":
            untold = store.tick()
            for queue in QUEUES:
                assert untold[queue] == len(model.ready[queue])
                for _ in model.ready[queue]:
                    model.wake(queue, False)
                if any(urgency < URGENT_BELOW for urgency in model.ready[queue]):
                    model.wake(queue, True)  # one for the portal
        for queue in QUEUES:
            for urgent_only in (False, True):
                key = f"cs:waiters:{queue}{':urgent' if urgent_only else ''}"
                assert store._redis.zrange(key, 0, -1) == model.waiters[queue, urgent_only]
        words = {key.removeprefix("cs:word:") for key in store._redis.scan_iter("cs:word:*")}
        assert words == model.words
    assert all(0 < store._redis.ttl(f"cs:word:{owner}") <= 10 for owner in model.words)


def new(store: Store, number: int, queue: str, urgency: int) -> tuple[object, ...]:
    """A job's acceptance with one step."""
    job = a_job(store, number)
    return job, (due("x", queue, urgency=urgency),), fields_of(job), 10_000


def finish(
    store: Store, model: Model, running: list[Claim], queue: str, owner: str, urgent_only: bool,
    waits: bool | None, pick: int, urgency: int,
) -> None:  # fmt: skip
    """Ends a step; another one of its job is due then, and the owner claims its next one."""
    held = running.pop(pick % len(running))
    step = due(f"y{held.fence}", queue, urgency=urgency)
    ended = store.finish(
        store.load(held.job),
        Transition(facts={held.step: 1}, dues=(step,), status="running"),
        claim=held,
        wanted=Wanted(queue, owner, 90, urgent_only, waits),
    )
    model.ready[queue].append(urgency)
    taken = model.claim(queue, owner, urgent_only, waits)
    # whoever ends a step goes on with one, so that of one fewer others are told
    heard = taken is not None or model.tell(queue, urgency)
    assert list(ended.news) == ([] if heard else [queue])
    assert (ended.claim is None) == (taken is None)
    assert ended.listed == (taken is None and bool(waits))
    running += [ended.claim] if ended.claim else []


def release(store: Store, model: Model, running: list[Claim], prefix: str) -> None:
    """Frees what the owners hold: others hear of their steps, and of the word that one of them had."""
    freed = [
        held
        for held in running
        if str(store._redis.hget(f"cs:job:{held.job}", f"lease:{held.step}")).split()[1].startswith(prefix)
    ]
    urgencies = {}
    for held in freed:
        running.remove(held)
        field_ = str(store._redis.hget(f"cs:job:{held.job}", f"due:{held.step}"))
        urgencies[held.fence] = int(field_.split()[1])
    assert store.release(prefix, crashed=False) == len(freed)
    for queue in QUEUES:
        for owner in OWNERS:
            if owner.startswith(prefix):
                model.unlist(queue, owner)
    lost = prefix in model.words
    model.words.discard(prefix)
    for held in freed:
        model.ready[held.queue].append(urgencies[held.fence])
    # in which order they are told changes nothing but who of several is woken
    woken = {f"{word}" for word in words_of(store)} - model.words
    for (queue, urgent_only), listed in model.waiters.items():
        stays = store._redis.zrange(f"cs:waiters:{queue}{':urgent' if urgent_only else ''}", 0, -1)
        assert listed[: len(stays)] == stays
        assert set(listed[len(stays) :]) <= woken
        model.waiters[queue, urgent_only] = list(stays)
    model.words |= woken
    assert len(woken) <= len(freed) + lost


def words_of(store: Store) -> set[str]:
    return {key.removeprefix("cs:word:") for key in store._redis.scan_iter("cs:word:*")}


def test_who_waits_wakes_with_the_transition(store: Store) -> None:
    """A turn that found nothing hears of a job as it is accepted, and nobody is told by message."""
    assert store.claim("media", "node:turn", lease_seconds=30, waits=True) is None
    heard: list[bool] = []
    turn = threading.Thread(target=lambda: heard.append(store.word("node:turn", seconds=3)))
    turn.start()
    job = a_job(store)
    assert list(store.accept(job, (due("fetch"),), fields_of(job), 100)[2:]) == []
    turn.join()
    assert heard == [True]
    found = store.claim("media", "node:turn", lease_seconds=30, waits=True)
    assert found
    assert found.job == job.id


def test_what_comes_first_is_told_however_much_waits(store: Store) -> None:
    """More copies may wait than a portal may have under way: a recording to be cut is heard of all the same,
    one behind as many of its kind as may run is not.
    """
    store.limit("media", {PortalId("acme"): 3})
    for number in range(9):
        accept(store, a_job(store, number), due("keep", urgency=AFTERWARDS))
    store.claim("media", "node:turn", lease_seconds=30, urgent_only=True, waits=True)
    told = []
    for number in range(10, 15):
        job = a_job(store, number)
        told.append(list(store.accept(job, (due("split", urgency=OUTCOME),), fields_of(job), 100)[2:]))
    assert told == [[], ["media"], ["media"], [], []]
    assert store.word("node:turn", seconds=1)


def test_word_for_the_dead_is_told_anew(store: Store) -> None:
    """Whoever was woken and died with its word is passed over at the next look."""
    store.claim("media", "dead:turn", lease_seconds=30, waits=True)
    accept(store, a_job(store))
    assert store.word("dead:turn", seconds=1)
    store.claim("upstream", "node:other", lease_seconds=30, waits=True)
    assert store.tick()["media"] == 1  # told by message: nobody else waits
    assert store._redis.zrange("cs:waiters:upstream", 0, -1) == ["node:other"]


def test_who_is_listed_for_too_long_is_not_woken(store: Store) -> None:
    """A machine that is gone for good takes no word, and leaves nothing behind."""
    store._redis.zadd("cs:waiters:media", {"gone:1": store.now() - 60, "gone:2": store.now() - 11})
    job = a_job(store)
    assert list(store.accept(job, (due("fetch"),), fields_of(job), 100)[2:]) == ["media"]
    assert not store._redis.exists("cs:waiters:media", "cs:word:gone:1", "cs:word:gone:2")
    store._redis.zadd("cs:waiters:upstream", {"gone:1": store.now() - 60})
    store.claim("upstream", "node:turn", lease_seconds=30, waits=True)
    assert store._redis.zrange("cs:waiters:upstream", 0, -1) == ["node:turn"]


def test_what_is_due_later_wakes_at_the_look(store: Store) -> None:
    """A step whose time has come wakes who waits, and is not told by message as well."""
    store.claim("media", "node:turn", lease_seconds=30, waits=True)
    accept(store, a_job(store), due("fetch", at=store.now() + 0.2))
    assert not store.word("node:turn", seconds=1)
    assert store.tick() == {"media": 0, "upstream": 0, "background": 0}
    assert store.word("node:turn", seconds=1)


def test_what_nobody_waits_for_does_not_begin_beside_a_call(store: Store) -> None:
    """A step of the background whose time has come is told of by the next look, not by whoever claims for a
    call; but at once where it has become due by what was just done.
    """
    store.claim(BACKGROUND, "node:turn", lease_seconds=30, waits=True)
    accept(store, a_job(store, 1), due("archive", BACKGROUND, at=store.now() + 0.1))
    accept(store, a_job(store, 2), due("fetch", UPSTREAM))
    time.sleep(0.2)  # its time has come
    held = store.claim(UPSTREAM, "node:other", lease_seconds=30)
    assert held
    assert store._redis.zcard(f"cs:ready:{BACKGROUND}:acme") == 1
    assert not words_of(store)
    assert store.tick()[BACKGROUND] == 1
    assert words_of(store) == {"node:turn"}
    store.claim(BACKGROUND, "node:turn", lease_seconds=30)
    store.claim(BACKGROUND, "node:turn", lease_seconds=30, waits=True)
    what = Transition(facts={held.step: 1}, dues=(due("link", BACKGROUND),), status="running")
    store.finish(
        store.load(held.job), what, claim=held, wanted=Wanted(UPSTREAM, "node:other", 90, False, None)
    )
    assert words_of(store) == {"node:turn"}


def test_word_of_a_turn_that_ends_is_handed_on(store: Store) -> None:
    """Word that nobody has read any more goes to another who waits."""
    for owner in ("node:1", "node:2"):
        store.claim("media", owner, lease_seconds=30, waits=True)
    accept(store, a_job(store))
    store.release("node:2", crashed=False)
    assert not store._redis.exists("cs:word:node:2")
    assert store.word("node:1", seconds=1)
