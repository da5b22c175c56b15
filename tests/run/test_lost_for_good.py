"""Records that this version cannot read, and audio that vanished: ended, or mended, never waited out."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.domain.job import Entity, JobId, Request, Source
from pipeline.domain.kinds import QUEUES
from pipeline.domain.plain import to_plain
from pipeline.run.leftovers import leftovers
from pipeline.run.operate import erase_job
from pipeline.run.runner import Runner
from pipeline.sandbox.app import Sandbox
from pipeline.steps import flow, retry
from pipeline.steps.tools import Tools
from pipeline.storage.blobs import FileBlobs
from tests.flow.test_flow import a_plan
from tests.installation import PORTAL, SAYS, Open, accept, recording, run

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
        ("tries:fetch", "many"),
        ("lost:fetch", "1e999"),
        ("request", b"\xff\xfe{"),
        ("fact:split", b"\xff"),
        ("category", b"\xff"),
    ],
    ids=lambda value: None if value is None else str(value)[:12],
)
def test_a_record_that_cannot_be_read_is_ended_and_can_be_looked_at(
    tools: Tools, sandbox: Sandbox, field: str, value: str | bytes | None
) -> None:
    """After some tries its portal hears an error, where its address can be read; it is listed, shown as it is
    stored, and erased."""
    hook = f"{sandbox.base_url}/hook"
    sandbox.script.add(path="/hook", status=200, body={"status": "success"}, times=None)
    facts = {"fetch": {}, "sniff": {}, "split": to_plain(a_plan(1))} if field.startswith("fact:") else {}
    job = accept(
        tools,
        Request(file_url=hook + "/none?signature=NOBODYS", error_callback_url=hook),
        Source.API,
        **facts,
    )
    given_up = tools.store.usage.of(PORTAL).get("records_unreadable", 0)
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
    assert "NOBODYS" not in str(tools.store.raw(job))
    assert [row[0] for row in tools.store.page()] == [job]
    assert not tools.store._redis.keys("cs:ready:*")
    counted = tools.store.usage.of(PORTAL).get("records_unreadable", 0)
    assert counted <= given_up + 1, "each is given up once"
    assert erase_job(tools, job, who="olga")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fact:fetch", "{broken"), ("fact:fetch", "5"), ("fact:fetch", "null"), ("fact:fetch", '"x"'),
        ("fact:fetch", "[]"), ("fact:fetch", b"\xff"), ("due:fetch", ""), ("due:fetch", "nowhere"),
        ("due:fetch", "x y z"), ("lease:fetch", "nobody"), ("status", "tired"),
    ],
)  # fmt: skip
def test_what_breaks_just_before_a_claim_is_not_waited_out(
    tools: Tools, sandbox: Sandbox, field: str, value: str | bytes
) -> None:
    """Where a fact of the step itself, or what says that it is due, is damaged, the outcome comes at once."""
    sandbox.script.add(path="/hook", status=200, body={"status": "success"}, times=None)
    hook = f"{sandbox.base_url}/hook"
    job = accept(tools, Request(file_url=f"{hook}/none", error_callback_url=hook), Source.API)
    tools.store._redis.hset(f"cs:job:{job}", field, value)
    work(tools, job, until="fact:callback")
    record = tools.store.load(job)
    assert tools.store.now() < record.deadline - record.reserve
    failure = flow.failure(record)
    assert failure
    assert failure.slug != "expired"
    assert len(sandbox.ledger.find("/hook")) == 1


def one_step(*, unless: Callable[[], bool]) -> Callable[[], bool]:
    """For `drain`, which asks before the first step, and before the end of a step whether to go on."""
    asked = iter([unless])
    return lambda: next(asked, lambda: True)()


@pytest.mark.parametrize("vanishes_before", ["split", "transcribe"])
def test_audio_that_vanished_is_fetched_and_cut_again_and_nothing_is_paid_twice(
    tools: Tools, sandbox: Sandbox, vanishes_before: str
) -> None:
    """The recording comes again from its link; answers that were paid for are in the ledger."""
    file = recording(sandbox)
    request = Request(file_url=sandbox.crm.link(sandbox.base_url, file), language="en")
    job, runner = accept(tools, request, Source.API), Runner(tools)

    def reached() -> bool:
        found = tools.store.load(job)
        return any(due.step.startswith(vanishes_before) for due in flow.advance(found, 0.0).dues)

    end = time.monotonic() + 30
    while not reached() and time.monotonic() < end:
        for queue in QUEUES:
            runner.drain(queue, "test", seconds=5, stop=one_step(unless=reached))
    shutil.rmtree(tools.settings.data_dir / "audio" / job)
    (done,) = run(tools, job, until=lambda found: "callback" in found.facts)
    assert done.status == "done"
    assert done.facts["anew"] == 1
    heard = [one["sha256"] for one in sandbox.ledger.find("*/transcriptions")]
    assert len(heard) == len(set(heard))


@pytest.mark.parametrize(
    ("step", "blob"),
    [
        ("split", "recording"), ("halve:0", "recording"),
        ("transcribe:0", "chunk-000.mp3"), ("transcribe:0a", "chunk-000a.mp3"),
    ],
)  # fmt: skip
def test_audio_that_vanishes_in_the_middle_of_a_step_is_fetched_and_cut_again(
    tools: Tools, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, step: str, blob: str
) -> None:
    """What a step says of a recording that went while it read it is not believed: not that it is no audio."""
    file = sandbox.portal.recording("phone-mp3")
    assert file
    if step not in ("split", "transcribe:0"):
        sandbox.script.clear()
        sandbox.script.add(path="*/transcriptions", body={"text": ""}, times=1)
        sandbox.script.add(path="*/transcriptions", text=SAYS, times=None)
    request = Request(file_url=sandbox.crm.link(sandbox.base_url, file), language="en")
    job = accept(tools, request, Source.API)
    read, gone = FileBlobs.get, []

    @contextmanager
    def vanishing(self: FileBlobs, key: str) -> Iterator[Path]:
        with read(self, key) as path:
            due = [due.step for due in flow.advance(tools.store.load(job), 0.0).dues]
            if not gone and step in due and key.rpartition("/")[2].startswith(blob.rpartition(".")[0]):
                gone.append(key)
                shutil.rmtree(path.parent)
            yield path

    monkeypatch.setattr(FileBlobs, "get", vanishing)
    (done,) = run(tools, job, until=lambda found: "callback" in found.facts)
    assert len(gone) == 1
    assert (done.status, done.facts["anew"]) == ("done", 1)
    assert [event.why for event in tools.store.events(job) if "vanished" in (event.why or "")]
    heard = [one["sha256"] for one in sandbox.ledger.find("*/transcriptions")]
    assert len(heard) == len(set(heard))


def test_audio_that_vanished_for_good_is_an_error_at_once(tools: Tools, sandbox: Sandbox) -> None:
    """Without a link to it, nobody waits until the portal's time is over."""
    job = accept(
        tools, Request(upload="nothing"), Source.API,
        fetch={"blob": f"{'job_' + 'a' * 26}/recording", "size_bytes": 1, "sha256": "0" * 64},
    )  # fmt: skip
    (failed,) = run(tools, job, until=lambda found: "callback" in found.facts, seconds=20)
    failure = flow.failure(failed)
    assert failure is not None
    assert (failure.slug, failed.status) == ("audio_lost", "failed")


def test_a_result_that_cannot_be_told_is_told_as_an_error(tools: Tools, sandbox: Sandbox) -> None:
    """A transcript that this version cannot read never leaves its portal without a word."""
    hook = f"{sandbox.base_url}/hook"
    sandbox.script.add(path="/hook", status=200, body={"status": "success"}, times=None)
    facts = {"merge": {"transcript": {"paragraphs": []}, "at": 1.0}, "classify": {"lead": None, "why": "-"}}
    job = accept(tools, Request(callback_url=hook, error_callback_url=hook), Source.API, **facts)
    (failed,) = run(tools, job, until=lambda found: "callback" in found.facts)
    assert failed.status == "failed"
    (told,) = sandbox.ledger.find("/hook")
    assert flow.failure(failed) is not None
    assert told["status"] == 200


def test_one_damaged_record_hides_no_audio_of_others(tools: Tools) -> None:
    """The look for audio that nobody needs passes over a record that cannot be read, and keeps its audio."""
    job = accept(tools, Request(file_url="https://example.com/call"), Source.API)
    tools.store._redis.hset(f"cs:job:{job}", "request", "{broken")
    for folder in (job, "job_ofnobody"):
        kept = tools.settings.data_dir / "audio" / folder
        kept.mkdir(parents=True)
        (kept / "recording").write_bytes(b"x")
    found = leftovers(tools)
    assert found == {"job_ofnobody"}
    leftovers(tools, found)
    assert tools.blobs.folders() == [job]
