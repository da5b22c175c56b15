"""Places: long recordings never hold all the processes that decode; who is full is not told of work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.domain.job import Claim, Job, Request, Source
from pipeline.domain.kinds import BACKGROUND, MEDIA, UPSTREAM
from pipeline.domain.plain import to_plain
from pipeline.domain.recording import Fetched
from pipeline.run import runner
from pipeline.run.places import Places, SharedPlaces
from pipeline.steps.tools import Result, Snooze, Tools
from tests.installation import Open, accept

FORK = multiprocessing.get_context("fork")


def test_all_places_but_the_last_are_for_any_step() -> None:
    """Of three processes two may take any step; who leaves, or is killed, gives its place back."""
    places = SharedPlaces(3)
    ends = [FORK.Pipe() for _ in range(3)]

    def child(number: int) -> None:
        while True:
            told = ends[number][1].recv()
            ends[number][1].send(places.enter() if told == "enter" else places.leave())

    processes = [FORK.Process(target=child, args=(number,), daemon=True) for number in range(3)]
    for process in processes:
        process.start()

    def ask(number: int, what: str = "enter") -> bool | None:
        ends[number][0].send(what)
        assert ends[number][0].poll(20)
        found: bool | None = ends[number][0].recv()
        return found

    try:
        assert [ask(0), ask(1), ask(2)] == [True, True, False]
        ask(1, "leave")
        assert ask(2)
        assert not ask(1)
        assert processes[0].pid
        os.kill(processes[0].pid, signal.SIGKILL)
        processes[0].join()
        assert ask(1)
    finally:
        for process in processes:
            process.kill()
            process.join()


def test_who_is_alone_takes_any_step() -> None:
    """A worker of one process keeps no place free."""
    assert SharedPlaces(1).enter()


def test_the_last_place_takes_no_long_recording(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the other process decodes, a long recording waits and a short one does not, whoever was first."""
    tools, begun = opened(), []

    def split(job: Job, claim: Claim, tools: Tools) -> Result:
        begun.append(job.digest)
        raise Snooze(600, "enough")

    monkeypatch.setitem(runner.EXECUTORS, "split", split)
    for key, seconds in (("long", 10_000.0), ("short", 30.0)):
        fetched = Fetched(blob="x/y", size_bytes=9, sha256=key, likely_seconds=seconds)
        accept(tools, Request(), key=key, source=Source.API, fetch=to_plain(fetched))
    places, taken = SharedPlaces(2), FORK.Event()

    def decode() -> None:
        if places.enter():
            taken.set()
            time.sleep(60)

    other = FORK.Process(target=decode, daemon=True)
    other.start()
    try:
        assert taken.wait(20)
        worker = runner.Runner(tools, places=Places(shared=places))
        worker.drain(MEDIA, "test", seconds=5, stop=lambda: False)
        assert begun == ["short"]
    finally:
        other.kill()
        other.join()
    worker.drain(MEDIA, "test", seconds=5, stop=lambda: False)
    assert begun == ["short", "long"]


def test_a_worker_tells_how_many_places_are_free() -> None:
    """Those that are taken are not told of; a queue without a bound has always room."""
    worker = Places({"upstream": 2})
    assert (worker.free("upstream"), worker.free("media") > 100) == (2, True)
    assert worker.enter("upstream")
    assert worker.free("upstream") == 1
    assert worker.enter("upstream")
    assert worker.free("upstream") == 0
    worker.leave("upstream")
    assert worker.free("upstream") == 1


def test_what_nobody_waits_for_lets_others_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins when nothing that a portal waits for is under way, or a moment later; others do not wait."""
    worker = Places()
    assert worker.enter(UPSTREAM)
    for queue in (MEDIA, UPSTREAM):
        worker.give_way(queue)
    worker.give_way(BACKGROUND)  # who is before it goes on for ever
    monkeypatch.setattr("pipeline.run.places.GIVE_WAY_SECONDS", 60.0)
    with ThreadPoolExecutor() as pool:
        waits = pool.submit(worker.give_way, BACKGROUND)
        with pytest.raises(TimeoutError):
            waits.result(0.2)
        worker.leave(UPSTREAM)
        waits.result(20)
