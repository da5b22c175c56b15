"""A long recording is heard while it is still being cut, whatever happens in the middle."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from pipeline.domain.job import Claim, Job, JobId, Request, Source
from pipeline.domain.plain import to_plain
from pipeline.domain.transcript import Recognition
from pipeline.run import runner
from pipeline.sandbox.app import Sandbox
from pipeline.steps import audio_steps, flow
from pipeline.steps.tools import Result, Tools
from pipeline.store import Transition
from tests.bitrix.test_once import link_to
from tests.flow.test_flow import a_plan
from tests.installation import Open, accept, opened, recording, run, sandbox, served

__all__ = ["opened", "sandbox", "served"]


def disk_full(monkeypatch: pytest.MonkeyPatch, when: Callable[[int], bool]) -> None:
    """Each piece is told of at once, and the disk is full for those whose number, from one, `when` names."""
    monkeypatch.setattr(audio_steps, "TOLD_EVERY_SECONDS", 0.0)
    store, numbers = audio_steps._store, count(1)

    def storing(*given: Any) -> Any:
        if when(next(numbers)):
            raise OSError(errno.ENOSPC, "No space left on device")
        return store(*given)

    monkeypatch.setattr(audio_steps, "_store", storing)


def test_a_recording_is_cut_by_one_plan(
    opened: Open, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that change in the middle of cutting begin it anew: no answer is taken for another piece."""
    store = audio_steps._store
    disk_full(monkeypatch, lambda number: number > 2)
    request = Request(file_url=link_to(sandbox, recording(sandbox)), language="en")
    tools = opened(chunk_seconds=5)
    job = accept(tools, request, Source.API)
    run(tools, job, until=lambda job: "transcribe:1" in job.facts)
    monkeypatch.setattr(audio_steps, "_store", store)
    changed = opened(chunk_seconds=11)
    (done,) = run(changed, job, until=lambda job: "callback" in job.facts)
    plan = flow.plan(done)
    assert plan
    assert "anew" not in done.facts
    assert len(sandbox.ledger.find("*/transcriptions")) == 2 + len(plan.chunks)
    plain = run(changed, accept(changed, request, Source.API), until=lambda job: "callback" in job.facts)[0]
    at_once = flow.plan(plain)
    assert at_once
    assert [chunk.span for chunk in plan.chunks] == [chunk.span for chunk in at_once.chunks]


def test_pieces_are_heard_before_the_last_one_is_cut(
    opened: Open, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cutting that breaks off goes on with what is there: all is heard, and nothing is paid twice."""
    tools = opened(chunk_seconds=5)
    request = Request(file_url=link_to(sandbox, recording(sandbox)), language="en")
    plain = run(tools, accept(tools, request, Source.API), until=lambda job: "callback" in job.facts)[0]
    at_once = flow.plan(plain)
    sandbox.ledger.clear()
    tools.store._redis.flushall()
    disk_full(monkeypatch, lambda number: number == 3)
    job = accept(tools, request, Source.API)
    (done,) = run(tools, job, until=lambda job: "callback" in job.facts)
    plan = flow.plan(done)
    assert plan
    assert at_once
    assert [chunk.span for chunk in plan.chunks] == [chunk.span for chunk in at_once.chunks]
    assert [chunk.size_bytes for chunk in plan.chunks] == [chunk.size_bytes for chunk in at_once.chunks]
    assert len(plan.chunks) > 3
    assert len(sandbox.ledger.find("*/transcriptions")) == len(plan.chunks)
    assert done.facts["merge"]["transcript"]["text"] == plain.facts["merge"]["transcript"]["text"]
    ended = [event.step for event in tools.store.events(job) if event.what == "done"]
    assert ended.index("transcribe:0") < ended.index("split") < ended.index("merge")
    assert not [step for step in done.facts if step.partition(":")[0] in flow.CUTTING]


def test_pieces_that_end_together_read_the_record_once_each(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other writes its answer down: none has to begin anew twice, and all are joined."""
    tools, pieces = opened(), 6
    job = accept(tools, Request(file_url="https://e.example/call", language="en"), Source.API)
    fetch, record = tools.store.claim("upstream", "test", lease_seconds=60), tools.store.load(job)
    facts = {"fetch": {}, "split": to_plain(a_plan(pieces))}
    dues = flow.advance(replace(record, facts=facts), tools.store.now()).dues
    tools.store.finish(record, Transition(facts=facts, dues=dues, status="running"), claim=fetch)
    together, load, loads = threading.Barrier(pieces), tools.store.load, list[str]()

    def heard(job: Job, claim: Claim, tools: Tools) -> Result:
        together.wait(20)
        return Result(facts={claim.step: Recognition(text="yes", again=False)})

    def counted(job: JobId) -> Job:
        loads.append(job)
        return load(job)

    monkeypatch.setitem(runner.EXECUTORS, "transcribe", heard)
    monkeypatch.setattr(tools.store, "load", counted)
    claims = [tools.store.claim("upstream", "test", lease_seconds=60) for _ in range(pieces)]
    worker = runner.Runner(tools)
    with ThreadPoolExecutor(pieces) as pool:
        assert [*pool.map(worker.run, claims)] == [None] * pieces
    assert len(loads) == pieces - 1  # the first found it as it was
    done = load(job)
    assert sum(step.startswith("transcribe:") for step in done.facts) == pieces
    assert set(tools.store.waiting(job)) == {"expire", "merge"}
