"""Records that this version cannot read, and audio that vanished: ended, or mended, never waited out."""

from __future__ import annotations

import pytest

from pipeline.domain.job import Entity, JobId, Request, Source
from pipeline.domain.kinds import QUEUES
from pipeline.domain.plain import to_plain
from pipeline.run.operate import erase_job
from pipeline.run.runner import Runner
from pipeline.sandbox.app import Sandbox
from pipeline.steps import flow, retry
from pipeline.steps.tools import Tools
from tests.flow.test_flow import a_plan
from tests.installation import Open, accept

DEAL = Entity(type="deal", id=42)
TRANSCRIBED = {"transcript": {"from": "a version to come"}, "at": 1.0}


@pytest.fixture
def tools(opened: Open, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """Real tools, quick about their pauses."""
    monkeypatch.setattr(retry, "GAPS", (0.01,))
    return opened()


def work(tools: Tools, job: JobId, *, until: str) -> None:
    """Runs what is due until the raw record has a field, or is to go."""
    runner = Runner(tools)
    end = tools.store.now() + 30
    while until not in tools.store.raw(job):
        tools.store.tick()
        for queue in QUEUES:
            runner.drain(queue, "test", seconds=5, stop=lambda: False)
        assert tools.store.now() < end, tools.store.raw(job)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("category", "video"),
        ("source", "carrier pigeon"),
        ("request", "{broken"),
        ("request", "[1]"),
        ("deadline", "tomorrow"),
        ("deadline", "nan"),
        ("accepted_at", ""),
        ("held_since", "x"),
        ("rev", "one"),
        ("portal", None),
        ("fact:split", '{"chunks":[{"number":1}]}'),
        ("fact:split", "{broken"),
        ("fact:sniff", "[]"),
        ("tries:fetch", "many"),
        ("lost:fetch", "1e999"),
    ],
    ids=lambda value: None if value is None else str(value)[:12],
)
def test_a_record_that_cannot_be_read_is_ended_and_can_be_looked_at(
    tools: Tools, sandbox: Sandbox, field: str, value: str | None
) -> None:
    """After some tries its portal hears an error, where its address can be read; it is listed, shown as it is
    stored, and erased."""
    hook = f"{sandbox.base_url}/hook"
    sandbox.script.add(path="/hook", status=200, body={"status": "success"}, times=None)
    facts = {"fetch": {}, "sniff": {}, "split": to_plain(a_plan(1))} if field.startswith("fact:") else {}
    job = accept(tools, Request(file_url=hook + "/none", callback_url=hook), Source.API, **facts)
    key = f"cs:job:{job}"
    if value is None:
        tools.store._redis.hdel(key, field)
    else:
        tools.store._redis.hset(key, field, value)
    work(tools, job, until="fact:callback")
    record = tools.store.load(job)
    assert record.status == "failed"
    readable = field != "request"
    assert len(sandbox.ledger.find("/hook")) == readable
    assert flow.failure(record) is not None
    assert [row[0] for row in tools.store.page()] == [job]
    assert not tools.store._redis.keys("cs:ready:*")
    assert erase_job(tools, job)
