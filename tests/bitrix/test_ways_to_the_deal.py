"""The whole way from an event, a request or an API call to one entry in the right deal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import flow
from pipeline.model import Category, Entity, Job, JobId, Request, Source, Timeline
from pipeline.run.runner import Runner
from pipeline.run.tools import Tools, open_tools
from pipeline.sandbox.app import KEY, Sandbox
from pipeline.sandbox.rest import Bucket
from pipeline.settings import load
from pipeline.store import fields_of, job_id

PORTAL = "portal"
SAYS = "hello we need a phone system for fifty users our budget is ten thousand dollars"


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def sandbox(served: Sandbox) -> Iterator[Sandbox]:
    served.rest.bucket = Bucket(1000.0, 1000.0)
    served.script.add(path="*/transcriptions", text=SAYS, times=None)
    yield served
    served.script.clear()
    served.ledger.clear()
    served.crm.__init__()  # type: ignore[misc]


@pytest.fixture
def opened(
    valkey: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Tools]]:
    """Real tools over a real store and the sandbox, connected an hour ago."""
    monkeypatch.chdir(tmp_path)
    made = []

    def make(**changes: Any) -> Tools:
        settings: dict[str, Any] = {
            "redis_url": valkey, "data_dir": tmp_path, "bitrix24_webhook": sandbox.webhook_url,
            "timeline": "bitrix24", "portal_url": sandbox.base_url, "portal_token": "t" * 24,
            "trusted_hosts": "127.0.0.1", "router_url": sandbox.router_url, "router_key": KEY,
            "portal_application_token": "apptoken",
        }  # fmt: skip
        tools = open_tools(load(**{**settings, **changes}))
        tools.store._redis.set(f"cs:connected:{PORTAL}", str(tools.store.now() - 3600))
        made.append(tools)
        return tools

    yield make
    for tools in made:
        tools.close()


def accept(tools: Tools, request: Request, source: Source = Source.EVENT, key: str = "k") -> JobId:
    """A job as the api accepts it."""
    now = tools.store.now()
    job = Job(
        id=job_id(PORTAL, key), portal=next(iter(tools.portals)), category=Category.AUDIO, source=source,
        accepted_at=now, deadline=now + 3600, request=request, digest=key, facts={},
    )  # fmt: skip
    tools.store.accept(job, flow.advance(job, now).dues, fields_of(job), 100)
    return job.id


def run(tools: Tools, *jobs: JobId, until: Callable[[Job], bool], seconds: float = 60.0) -> list[Job]:
    """Runs both queues here until every job is as wanted."""
    runner, end = Runner(tools), time.monotonic() + seconds
    while True:
        tools.store.tick()
        for queue in (flow.MEDIA, flow.UPSTREAM):
            runner.drain(queue, "test", seconds=5, stop=lambda: False)
        found = [tools.store.load(job) for job in jobs]
        if all(until(job) for job in found):
            return found
        events = [event for job in found for event in tools.store.events(job.id)][-4:]
        assert time.monotonic() < end, [(event.step, event.what, event.why) for event in events]
        time.sleep(0.02)  # what is due later comes with time


def settled(job: Job) -> bool:
    """Whether the entry is written, or never will be."""
    return flow.timeline(job).state in ("written", "unlinked", "failed")


def recording(sandbox: Sandbox) -> Any:
    found = sandbox.portal.recording("weak-lead")
    assert found
    return found


@pytest.mark.parametrize("target", ["bitrix24", "vibecode"])
def test_an_event_ends_in_one_entry_in_the_bound_deal(
    target: str, opened: Callable[..., Tools], sandbox: Sandbox
) -> None:
    """A contact's call with a bound deal, by either writer."""
    tools = opened(timeline=target)
    file = recording(sandbox)
    call = sandbox.crm.add_call(owner=("contact", 7), bindings=(("deal", 42),), recording=file)
    activity = int(call.fields["ID"])
    job = accept(tools, Request(activity_id=activity))
    (done,) = run(tools, job, until=settled)
    assert flow.timeline(done) == Timeline(
        state="written", entity=Entity(type="deal", id=42), activity_id=activity
    )
    (entry,) = sandbox.crm.logs(2, 42)
    assert entry["text"].splitlines()[-1] == f"callscribe {job}"
    assert sandbox.crm.logs(3, 7) == []


def test_a_recording_that_is_attached_later_is_waited_for(
    opened: Callable[..., Tools], sandbox: Sandbox
) -> None:
    """The event comes first, the recording five seconds after it; then the transcript is attached too."""
    tools = opened(attach_transcript=True)
    call = sandbox.crm.add_call(owner=("deal", 42), call_id="ext.1")
    job = accept(tools, Request(call_id="ext.1"))
    run(tools, job, until=lambda _: bool(sandbox.ledger.find("*voximplant.statistic.get")))
    sandbox.crm.attach(int(call.fields["ID"]), recording(sandbox))
    (done,) = run(tools, job, until=settled)
    assert flow.timeline(done).state == "written"
    (comment,) = sandbox.crm.comments
    assert comment["FILES"]


def test_one_call_by_three_ways_is_paid_and_written_once(
    opened: Callable[..., Tools], sandbox: Sandbox
) -> None:
    """The event, the portal's engine request and an API call about the same recording."""
    tools, file = opened(), recording(sandbox)
    call = sandbox.crm.add_call(owner=("deal", 42), recording=file)
    url = sandbox.crm.link(sandbox.base_url, file)
    jobs = [
        accept(tools, Request(activity_id=int(call.fields["ID"])), key="event"),
        accept(tools, Request(file_url=url), Source.ENGINE, key="engine"),
        accept(tools, Request(file_url=url, entity=Entity(type="deal", id=42)), Source.API, key="api"),
    ]
    run(tools, *jobs, until=lambda job: "callback" in job.facts)
    call.transcript = "the portal stores what the engine request was answered"
    found = run(tools, jobs[0], jobs[2], until=settled)
    assert {flow.timeline(job).state for job in found} == {"written"}
    assert len(sandbox.crm.logs(2, 42)) == 1
    parts = len(flow.plan(found[0]).chunks)  # type: ignore[union-attr]
    assert len(sandbox.ledger.find("*/transcriptions")) == parts


def test_a_call_of_no_deal_says_why(opened: Callable[..., Tools], sandbox: Sandbox) -> None:
    """It is transcribed, and its score has no home."""
    tools = opened()
    call = sandbox.crm.add_call(owner=("contact", 7), recording=recording(sandbox))
    (done,) = run(tools, accept(tools, Request(activity_id=int(call.fields["ID"]))), until=settled)
    assert flow.timeline(done).state == "unlinked"
    assert flow.timeline(done).why == "the call is bound to no deal and no lead"
    assert sandbox.crm.log_entries == []


@pytest.mark.parametrize("status", [500, 503])
def test_a_refused_write_is_tried_again(status: int, opened: Callable[..., Tools], sandbox: Sandbox) -> None:
    """VibeCode is down for a moment and cannot list entries: written once all the same."""
    tools = opened(timeline="vibecode", bitrix24_webhook=None)
    sandbox.crm.add_entity("deal", 42)
    sandbox.script.add(path="/v1/timeline-logs", method="GET", status=404, times=None)
    sandbox.script.add(path="/v1/timeline-logs", method="POST", status=status, body={}, times=1)
    url = sandbox.crm.link(sandbox.base_url, recording(sandbox))
    job = accept(tools, Request(file_url=url, entity=Entity(type="deal", id=42)), Source.API)
    (done,) = run(tools, job, until=settled)
    assert flow.timeline(done).state == "written"
    assert len(sandbox.crm.logs(2, 42)) == 1


def test_history_is_left_alone(opened: Callable[..., Tools], sandbox: Sandbox) -> None:
    """An event about a call from before the portal was connected leaves no job."""
    tools = opened()
    old = datetime.now(UTC) - timedelta(days=2)
    call = sandbox.crm.add_call(owner=("deal", 42), recording=recording(sandbox), ended_at=old)
    accept(tools, Request(activity_id=int(call.fields["ID"])))
    Runner(tools).drain(flow.UPSTREAM, "test", seconds=5, stop=lambda: False)
    assert tools.store.page() == []
