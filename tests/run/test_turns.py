"""Turns: a worker that has been at work lately hears of work from the store itself, without a message."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pipeline.domain.job import Claim, Job, JobId, Request, Source
from pipeline.domain.kinds import BACKGROUND, MEDIA, UPSTREAM
from pipeline.run import runner
from pipeline.run.places import Places
from pipeline.steps.tools import Result, Snooze, Tools
from tests.installation import Open, accept


class Told:
    """The queues that were told of by message."""

    def __init__(self) -> None:
        self.queues: list[str] = []

    def notify(self, queue: str, n: int = 1) -> None:
        self.queues += [queue] * n


class Begun:
    """The steps `fetch` that were begun; each is put off, those that are held once the gate is open."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.held: set[str] = set()
        self.gate = threading.Event()

    def __call__(self, job: Job, claim: Claim, tools: Tools) -> Result:
        self.jobs.append(job.digest)
        assert job.digest not in self.held or self.gate.wait(20)
        raise Snooze(600, "enough")


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Begun:
    steps = Begun()
    monkeypatch.setitem(runner.EXECUTORS, "fetch", steps)
    return steps


def call(tools: Tools, key: str) -> JobId:
    return accept(tools, Request(file_url="https://e.example/call"), key=key, source=Source.API)


def until(look: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not look():
        assert time.monotonic() < end
        time.sleep(0.01)


def waiters(tools: Tools, queue: str = UPSTREAM) -> list[str]:
    """How the names of those begin that wait."""
    names = tools.store._redis.zrange(f"cs:waiters:{queue}", 0, -1)
    return [name.rpartition(":")[0] for name in names]  # type: ignore[union-attr]


def words(tools: Tools) -> list[str]:
    """What tells of turns that wait, and of word to them."""
    return [key for of in ("waiters", "word") for key in tools.store._redis.scan_iter(f"cs:{of}:*")]


@contextmanager
def turn(
    worker: runner.Runner, owner: str, leaving: threading.Event, *, linger_seconds: float = 9.0
) -> Iterator[threading.Thread]:
    """One under way; at the end it is over."""

    def drain() -> None:
        worker.drain(UPSTREAM, owner, seconds=60, stop=leaving.is_set, linger_seconds=linger_seconds)

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        yield thread
    finally:
        leaving.set()
        thread.join(20)
        assert not thread.is_alive()


def test_who_was_at_work_hears_of_more(opened: Open, begun: Begun) -> None:
    """Each further call is begun by the turn that waits, in no place meanwhile, and no message is sent."""
    tools, told, leaving = opened(), Told(), threading.Event()
    worker = runner.Runner(tools, notifier=told, places=Places({UPSTREAM: 2}))
    call(tools, "first")
    with turn(worker, "node:1", leaving):
        for key in ("second", "third"):
            until(lambda: waiters(tools) == ["node:1"] and worker.places.free(UPSTREAM) == 2)
            call(tools, key)
            until(lambda key=key: key in begun.jobs)  # type: ignore[misc]
        assert told.queues == []
    assert begun.jobs == ["first", "second", "third"]


def test_who_leaves_takes_no_word(opened: Open, begun: Begun) -> None:
    """A turn that is to stop while it waits is listed no longer, begins nothing, and others are told."""
    tools, told, leaving = opened(), Told(), threading.Event()
    call(tools, "first")
    with turn(runner.Runner(tools, notifier=told), "node:1", leaving):
        until(lambda: waiters(tools) == ["node:1"])
        leaving.set()
        call(tools, "second")
    assert begun.jobs == ["first"]
    assert told.queues == [UPSTREAM]
    assert not words(tools)


def test_who_came_for_nothing_does_not_wait(opened: Open) -> None:
    """A turn that found nothing at all ends at once."""
    tools = opened()
    worker = runner.Runner(tools)
    began = time.monotonic()
    assert worker.drain(UPSTREAM, "node:1", seconds=60, stop=lambda: False, linger_seconds=9) == 0
    assert time.monotonic() - began < 5


def test_a_turn_does_not_wait_for_ever(opened: Open, begun: Begun) -> None:
    """Some time after its last step it ends by itself: listed no longer, nobody told."""
    tools, told = opened(), Told()
    call(tools, "first")
    worker = runner.Runner(tools, notifier=told)
    assert worker.drain(UPSTREAM, "node:1", seconds=60, stop=lambda: False, linger_seconds=1.5) == 1
    assert not words(tools)
    assert told.queues == []


def test_what_was_counted_is_handed_on_before_it_waits(opened: Open, begun: Begun) -> None:
    """A process that is ended while its turn waits has told already what its steps added to the metrics."""
    tools, leaving = opened(), threading.Event()
    call(tools, "first")
    seen: list[list[str]] = []

    def rests() -> None:
        seen.append(list(begun.jobs))
        leaving.set()

    worker = runner.Runner(tools)
    worker.drain(UPSTREAM, "node:1", seconds=60, stop=leaving.is_set, linger_seconds=9, rests=rests)
    assert seen == [["first"]]


def test_lost_word_is_looked_for(opened: Open, begun: Begun) -> None:
    """A turn whose name the store has lost finds the next call by itself, and is listed again."""
    tools, leaving = opened(), threading.Event()
    call(tools, "first")
    with turn(runner.Runner(tools), "node:1", leaving):
        until(lambda: waiters(tools) == ["node:1"])
        tools.store._redis.delete(f"cs:waiters:{UPSTREAM}")
        call(tools, "second")
        until(lambda: begun.jobs == ["first", "second"])
        until(lambda: waiters(tools) == ["node:1"])


def test_word_without_a_place_is_not_lost(opened: Open, begun: Begun) -> None:
    """A turn that is woken while all places are taken ends; whoever has one goes on with its step."""
    tools, leaving = opened(), threading.Event()
    worker = runner.Runner(tools, places=Places({UPSTREAM: 1}))
    call(tools, "first")
    with turn(worker, "node:1", leaving) as first:
        until(lambda: waiters(tools) == ["node:1"])
        assert worker.places.enter(UPSTREAM)
        call(tools, "second")
        first.join(20)
        assert not first.is_alive()
        assert not words(tools)
        assert worker.places.leave(UPSTREAM)
    assert begun.jobs == ["first"]
    worker.drain(UPSTREAM, "node:2", seconds=5, stop=lambda: False)
    assert begun.jobs == ["first", "second"]


def test_the_last_place_is_not_woken_for_ordinary_work(opened: Open, begun: Begun) -> None:
    """A turn that may only take what is urgent is listed apart, until it may take anything again."""
    tools, told, leaving = opened(), Told(), threading.Event()
    worker = runner.Runner(tools, notifier=told, places=Places({UPSTREAM: 2}))
    call(tools, "first")
    with turn(worker, "node:1", leaving):
        until(lambda: waiters(tools) == ["node:1"])
        assert worker.places.enter(UPSTREAM)  # from now on the other one is the last
        until(lambda: waiters(tools, f"{UPSTREAM}:urgent") == ["node:1"])
        assert waiters(tools) == []
        call(tools, "second")
        worker.places.leave(UPSTREAM)
        until(lambda: begun.jobs == ["first", "second"])  # it is the last one no longer
        assert waiters(tools) in ([], ["node:1"])


def test_no_more_turns_wait_than_there_are_places() -> None:
    """So a pool's threads are never all taken by turns of one queue, deaf to other queues' messages."""
    places = Places({UPSTREAM: 2, BACKGROUND: 1})
    assert places.enter(UPSTREAM)
    with places.waiting(UPSTREAM) as first, places.waiting(UPSTREAM) as second:
        assert (first, second) == (True, False)
        with places.waiting(BACKGROUND) as other, places.waiting(MEDIA) as unbounded:
            assert (other, unbounded) == (True, True)
        assert places.enter(UPSTREAM)  # who waits holds no place
    places.leave(UPSTREAM)
    with places.waiting(UPSTREAM) as again:
        assert again


def test_turns_of_one_message_that_came_twice(opened: Open, begun: Begun) -> None:
    """What one of them gives back when it ends is its own: the other's step is not begun again."""
    tools, leaving = opened(), threading.Event()
    worker = runner.Runner(tools)
    begun.held.add("first")
    call(tools, "first")
    with turn(worker, "node:1", threading.Event()):
        until(lambda: begun.jobs == ["first"])
        call(tools, "second")
        with turn(worker, "node:1", leaving):
            until(lambda: waiters(tools) == ["node:1"])
        assert not words(tools)
        assert worker.drain(UPSTREAM, "node:2", seconds=5, stop=lambda: False) == 0
        begun.gate.set()
    assert begun.jobs == ["first", "second"]


def test_a_fault_of_ours_frees_the_step(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a turn breaks, what it had is ready at once, and the fault is counted against it."""

    def breaks(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    tools = opened()
    job, worker = call(tools, "first"), runner.Runner(tools)
    monkeypatch.setattr(worker, "run", breaks)
    with pytest.raises(RuntimeError):
        worker.drain(UPSTREAM, "node:1", seconds=5, stop=lambda: False)
    again = tools.store.claim(UPSTREAM, "node:2", lease_seconds=60)
    assert again
    assert (again.job, again.lost) == (job, 3)
