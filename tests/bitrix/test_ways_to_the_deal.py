"""The whole way from an event, a request or an API call to one entry in the right deal."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.domain.job import Entity, Request, Source, Timeline
from pipeline.domain.kinds import UPSTREAM
from pipeline.run.runner import Runner
from pipeline.sandbox.app import Sandbox
from pipeline.steps import flow, search
from tests.installation import Open, accept, recording, run, settled


@pytest.mark.parametrize("target", ["bitrix24", "vibecode"])
def test_an_event_ends_in_one_entry_in_the_bound_deal(target: str, opened: Open, sandbox: Sandbox) -> None:
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


def test_a_recording_that_is_attached_later_is_waited_for(opened: Open, sandbox: Sandbox) -> None:
    """The event comes first, the recording five seconds after it; then the transcript is attached too."""
    tools = opened(attach_transcript=True)
    call = sandbox.crm.add_call(owner=("deal", 42), call_id="ext.1")
    job = accept(tools, Request(call_id="ext.1"))
    run(tools, job, until=lambda _: bool(sandbox.ledger.find("*/batch")))
    sandbox.crm.attach(int(call.fields["ID"]), recording(sandbox))
    (done,) = run(tools, job, until=settled)
    assert flow.timeline(done).state == "written"
    (comment,) = sandbox.crm.comments
    assert comment["FILES"]


@pytest.mark.parametrize("fault", [{"status": 503, "body": {"error": "OVERLOAD"}}, {"reset": "before"}])
def test_a_transcript_that_could_not_be_attached_is_attached_later(
    fault: dict[str, Any], opened: Open, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry stands meanwhile, once; what was refused for good is told and left."""
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    tools = opened(attach_transcript=True, channels="manager,client")
    sandbox.script.add(path="*attachTranscription", times=2, **fault)
    call = sandbox.crm.add_call(owner=("deal", 42), recording=sandbox.portal.recording("sales-call"))
    job = accept(tools, Request(activity_id=int(call.fields["ID"])))
    (done,) = run(tools, job, until=settled)
    assert flow.timeline(done).state == "written"
    assert len(sandbox.crm.comments) == 1
    assert len(sandbox.ledger.find("*attachTranscription")) == 3


def test_a_transferred_call_is_heard_as_one(opened: Open, sandbox: Sandbox) -> None:
    """All recordings of its activity, in order, each once; the engine request about one of them finds it."""
    tools = opened()
    one, two = sandbox.portal.recording("weak-lead"), sandbox.portal.recording("sales-call")
    call = sandbox.crm.add_call(owner=("deal", 42), recording=one)
    for file in (two, one):
        sandbox.crm.attach(int(call.fields["ID"]), file)
    seconds = []
    for number, file in enumerate((one, two)):
        url = sandbox.crm.link(sandbox.base_url, file)
        alone = accept(tools, Request(file_url=url, language="en"), Source.API, key=f"alone{number}")
        (done,) = run(tools, alone, until=lambda job: "split" in job.facts)
        seconds.append(done.facts["split"]["seconds"])
    event = accept(tools, Request(activity_id=int(call.fields["ID"])), key="event")
    engine = accept(tools, Request(file_url=sandbox.crm.link(sandbox.base_url, two)), Source.ENGINE)
    found, beside = run(tools, event, engine, until=settled)
    assert found.facts["split"]["seconds"] == pytest.approx(sum(seconds), abs=0.1)
    assert found.facts["fetch"]["size_bytes"] == len(one.content) + len(two.content)
    assert flow.timeline(beside).activity_id == int(call.fields["ID"])
    assert len(sandbox.crm.logs(2, 42)) == 1


def test_an_engine_request_has_its_deal_from_the_event_of_its_call(opened: Open, sandbox: Sandbox) -> None:
    """The recording is the same to the byte: it is not looked up twice, and its entry is the event's."""
    tools, file = opened(), recording(sandbox)
    call = sandbox.crm.add_call(owner=("contact", 7), bindings=(("deal", 42),), recording=file)
    event = accept(tools, Request(activity_id=int(call.fields["ID"])), key="event")
    run(tools, event, until=settled)
    asked = len(sandbox.ledger.find("/rest/*"))
    engine = accept(tools, Request(file_url=sandbox.crm.link(sandbox.base_url, file)), Source.ENGINE)
    (done,) = run(tools, engine, until=settled)
    assert flow.timeline(done).entity == Entity(type="deal", id=42)
    assert flow.timeline(done).why == f"by {event}"
    assert (asked, len(sandbox.ledger.find("/rest/*"))) == (2, 2)


def test_one_call_by_three_ways_is_paid_and_written_once(opened: Open, sandbox: Sandbox) -> None:
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


def test_a_transcript_is_found_as_it_was_sent(opened: Open, sandbox: Sandbox) -> None:
    """What may not leave us as it was said, a link to name one, stands on the portal as it left."""
    tools = opened(portal_application_token=None)
    sandbox.script.clear()
    said = "we need ten seats see https://evil.example/x and [url=evil]this[/url]\u200b please"
    sandbox.script.add(path="*/transcriptions", text=said, times=None)
    file = recording(sandbox)
    call = sandbox.crm.add_call(owner=("deal", 42), recording=file)
    sandbox.script.add(path="/hook", times=None, status=200, body={"status": "success"})
    link = sandbox.crm.link(sandbox.base_url, file)
    request = Request(file_url=link, callback_url=f"{sandbox.base_url}/hook")
    job = accept(tools, request, Source.ENGINE)
    run(tools, job, until=lambda job: "callback" in job.facts)
    (sent,) = sandbox.ledger.find("/hook")
    call.transcript = sent["json"]["result"][0]
    assert "evil.example" not in (call.transcript or "")
    (done,) = run(tools, job, until=settled)
    assert flow.timeline(done).state == "written"


def test_a_deal_that_is_bound_after_the_event_is_found(opened: Open, sandbox: Sandbox) -> None:
    """A robot makes the deal while the call is heard; by the event and by the engine request alike."""
    tools, file = opened(), recording(sandbox)
    call = sandbox.crm.add_call(owner=("contact", 7), recording=file)
    event = accept(tools, Request(activity_id=int(call.fields["ID"])), key="event")
    run(tools, event, until=lambda job: "fetch" in job.facts)
    sandbox.crm.add_entity("deal", 42)
    call.bindings.append((2, 42))
    engine = accept(tools, Request(file_url=sandbox.crm.link(sandbox.base_url, file)), Source.ENGINE)
    for done in run(tools, event, engine, until=settled):
        assert flow.timeline(done).entity == Entity(type="deal", id=42)
    assert len(sandbox.crm.logs(2, 42)) == 1


def test_a_request_of_v1_without_a_deal_is_not_searched_for(
    opened: Open, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The portal was not sent its transcript: there is nothing to compare, and it ends."""
    monkeypatch.setattr(search, "EVENT_SECONDS", 0.5)
    tools = opened()
    url = sandbox.crm.link(sandbox.base_url, recording(sandbox))
    (done,) = run(tools, accept(tools, Request(file_url=url), Source.API), until=settled)
    assert flow.timeline(done).state == "unlinked"
    assert "names no deal" in (flow.timeline(done).why or "")
    assert not sandbox.ledger.find("/rest/*")


def test_a_call_of_no_deal_says_why(opened: Open, sandbox: Sandbox) -> None:
    """It is transcribed, and its score has no home."""
    tools = opened()
    call = sandbox.crm.add_call(owner=("contact", 7), recording=recording(sandbox))
    (done,) = run(tools, accept(tools, Request(activity_id=int(call.fields["ID"]))), until=settled)
    assert flow.timeline(done).state == "unlinked"
    assert flow.timeline(done).why == "the call is bound to no deal and no lead"
    assert sandbox.crm.log_entries == []


@pytest.mark.parametrize("status", [500, 503])
def test_a_refused_write_is_tried_again(status: int, opened: Open, sandbox: Sandbox) -> None:
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


def test_history_is_left_alone(opened: Open, sandbox: Sandbox) -> None:
    """An event about a call from before the portal was connected leaves no job."""
    tools = opened()
    old = datetime.now(UTC) - timedelta(days=2)
    call = sandbox.crm.add_call(owner=("deal", 42), recording=recording(sandbox), ended_at=old)
    accept(tools, Request(activity_id=int(call.fields["ID"])))
    Runner(tools).drain(UPSTREAM, "test", seconds=5, stop=lambda: False)
    assert tools.store.page() == []
