"""One call, one payment, one entry: whatever comes again, late, or from a worker thought dead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.domain.errors import StoreUnavailable, UnknownJob
from pipeline.domain.job import Entity, Job, Request, Source
from pipeline.domain.kinds import UPSTREAM
from pipeline.run.operate import erase_job, retry_job
from pipeline.run.runner import Runner
from pipeline.sandbox.app import Sandbox
from pipeline.steps import crm_steps, flow
from pipeline.steps.tools import Tools
from tests.installation import PORTAL, SAYS, Open, accept, overtaken, recording, run, settled

DEAL = Entity(type="deal", id=42)


@pytest.fixture
def tools(opened: Open) -> Tools:
    return opened()


def ended(job: Job) -> bool:
    return settled(job) and "callback" in job.facts


def asked(sandbox: Sandbox) -> int:
    """How many paid recognitions there were."""
    return len(sandbox.ledger.find("*/transcriptions"))


def link_to(sandbox: Sandbox, file: Any) -> str:
    return sandbox.crm.link(sandbox.base_url, file)


def test_a_retried_job_keeps_the_entry_that_stands(tools: Tools, sandbox: Sandbox) -> None:
    """Its outcome was never taken, its entry was written: run again, only the outcome is sent."""
    sandbox.crm.add_entity("deal", 42)
    down = sandbox.script.add(path="/hook", status=500, times=None)
    hook = f"{sandbox.base_url}/hook"
    request = Request(file_url=link_to(sandbox, recording(sandbox)), entity=DEAL, callback_url=hook)
    job = accept(tools, request, Source.API, ttl=9.0)
    (failed,) = run(tools, job, until=ended)
    assert (failed.status, flow.timeline(failed).state) == ("failed", "written")
    down.status, down.body = 200, {"status": "success"}
    retry_job(tools, job)
    (done,) = run(tools, job, until=ended)
    assert (done.status, flow.timeline(done).state) == ("done", "written")
    assert len(sandbox.crm.logs(2, 42)) == 1


def test_an_entry_that_one_job_could_not_write_is_written_by_the_next(tools: Tools, sandbox: Sandbox) -> None:
    """The first job of the call was refused for good: the second does not say written, it writes."""
    file = recording(sandbox)
    call = sandbox.crm.add_call(owner=("deal", 42), recording=file)
    refusal = {"error": "ACCESS_DENIED"}
    sandbox.script.add(path="*crm.timeline.logmessage.add", status=403, body=refusal, times=1)
    (first,) = run(tools, accept(tools, Request(activity_id=int(call.fields["ID"])), key="a"), until=ended)
    assert flow.timeline(first).state == "failed"
    second = accept(tools, Request(file_url=link_to(sandbox, file), entity=DEAL), Source.API, key="b")
    (done,) = run(tools, second, until=ended)
    assert flow.timeline(done).state == "written"
    (entry,) = sandbox.crm.logs(2, 42)
    assert entry["text"].endswith(second)


def test_a_worker_that_lost_its_lease_writes_nothing(
    tools: Tools, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before its write and awake again afterwards, it finds that the step is another's."""
    sandbox.crm.add_entity("deal", 42)
    job = accept(tools, Request(file_url=link_to(sandbox, recording(sandbox)), entity=DEAL), Source.API)
    monkeypatch.setattr(crm_steps, "SETTLE_SECONDS", 0.0)
    stopped = overtaken(tools, monkeypatch, "timeline.before", lambda: run(tools, job, until=settled))
    run(tools, job, until=settled)
    assert stopped
    assert len(sandbox.crm.logs(2, 42)) == 1


def test_a_store_that_goes_away_after_the_write_does_not_double_it(
    opened: Open, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What VibeCode's form was cannot be remembered; the entry stands all the same."""
    tools = opened(timeline="vibecode", bitrix24_webhook=None)
    sandbox.crm.add_entity("deal", 42)
    remember = tools.store.known.remember

    def away(key: str, value: str, **more: Any) -> None:
        if key.startswith("timeline-logs"):
            raise StoreUnavailable("away")
        remember(key, value, **more)

    monkeypatch.setattr(tools.store.known, "remember", away)
    job = accept(tools, Request(file_url=link_to(sandbox, recording(sandbox)), entity=DEAL), Source.API)
    run(tools, job, until=settled)
    assert len(sandbox.crm.logs(2, 42)) == 1


def test_a_recording_that_comes_in_two_languages_wishes_is_paid_once(tools: Tools, sandbox: Sandbox) -> None:
    """The portal's request names a language and words, the event of the same call does not."""
    file = recording(sandbox)
    call = sandbox.crm.add_call(owner=("deal", 42), recording=file)
    event = accept(tools, Request(activity_id=int(call.fields["ID"])), key="event")
    request = Request(file_url=link_to(sandbox, file), language="en", prompt="Vodafone")
    engine = accept(tools, request, Source.ENGINE, key="engine")
    run(tools, event, engine, until=lambda job: "callback" in job.facts)
    assert asked(sandbox) == 1


def test_who_asks_for_a_language_by_hand_is_heard_anew(tools: Tools, sandbox: Sandbox) -> None:
    """A person who names another language than was heard wants another transcript."""
    url = link_to(sandbox, recording(sandbox))
    for number, language in enumerate((None, "ru", "de")):
        job = accept(tools, Request(file_url=url, language=language), Source.API, key=f"{number}")
        run(tools, job, until=lambda job: "callback" in job.facts)
    said = [entry["fields"].get("language") for entry in sandbox.ledger.find("*/transcriptions")]
    assert said == [None, "ru", "de"]


def test_a_stereo_call_is_cut_alike_for_all_its_ways(tools: Tools, sandbox: Sandbox) -> None:
    """What was learned of the model between the two ways does not change how the call is cut."""
    file = sandbox.portal.recording("sales-call")
    sandbox.script.clear()
    segments = [{"start": 0.0, "end": 2.0, "text": SAYS}]
    sandbox.script.add(path="*/transcriptions", text=SAYS, segments=segments, times=None)
    first = accept(tools, Request(file_url=link_to(sandbox, file), entity=DEAL), Source.API, key="api")
    run(tools, first, until=lambda job: "callback" in job.facts)
    paid = asked(sandbox)
    call = sandbox.crm.add_call(owner=("deal", 42), recording=file)
    second = accept(tools, Request(activity_id=int(call.fields["ID"])), key="event")
    run(tools, second, until=lambda job: "callback" in job.facts)
    assert asked(sandbox) == paid


def test_an_event_about_a_call_of_long_ago_is_left_alone(tools: Tools, sandbox: Sandbox) -> None:
    """Somebody edits an old call, whose record is gone: it is neither paid nor written again."""
    tools.store._redis.set(f"cs:connected:{PORTAL}", "0")
    old = datetime.now(UTC) - timedelta(days=8)
    call = sandbox.crm.add_call(owner=("deal", 42), recording=recording(sandbox), ended_at=old)
    job = accept(tools, Request(activity_id=int(call.fields["ID"])))
    Runner(tools).drain(UPSTREAM, "test", seconds=5, stop=lambda: False)
    with pytest.raises(UnknownJob):
        tools.store.load(job)


def test_an_erased_call_stays_erased(tools: Tools, sandbox: Sandbox) -> None:
    """An event that comes after the erasure brings nothing back."""
    call = sandbox.crm.add_call(owner=("deal", 42), recording=recording(sandbox))
    job = accept(tools, Request(activity_id=int(call.fields["ID"])))
    run(tools, job, until=settled)
    assert erase_job(tools, job, who="olga")
    accept(tools, Request(activity_id=int(call.fields["ID"])))
    Runner(tools).drain(UPSTREAM, "test", seconds=5, stop=lambda: False)
    with pytest.raises(UnknownJob):
        tools.store.load(job)
    assert (asked(sandbox), len(sandbox.crm.logs(2, 42))) == (1, 1)


def test_a_done_job_that_waits_for_its_deal_fills_no_queue(tools: Tools, sandbox: Sandbox) -> None:
    """What the portal has its outcome of does not count against QUEUE_LIMIT."""
    sandbox.script.add(path="/hook", status=200, body={"status": "success"}, times=None)
    request = Request(file_url=link_to(sandbox, recording(sandbox)), callback_url=f"{sandbox.base_url}/hook")
    job = accept(tools, request, Source.ENGINE)
    (done,) = run(tools, job, until=lambda job: "callback" in job.facts and "classify" in job.facts)
    assert (done.status, flow.timeline(done).state) == ("done", "waiting")
    assert tools.store.unfinished(done.portal) == 0


def test_a_recording_whose_host_is_named_afterwards_is_heard_by_a_retry(
    opened: Open, sandbox: Sandbox
) -> None:
    """Its host was not trusted: what the job needs is kept until the operator has mended that."""
    strict, file = opened(trusted_hosts="", portal_url="https://portal.example"), recording(sandbox)
    job = accept(strict, Request(file_url=link_to(sandbox, file)), Source.API)
    (refused,) = run(strict, job, until=lambda job: "callback" in job.facts)
    failure = flow.failure(refused)
    assert failure is not None
    assert failure.slug == "forbidden_url"
    mended = opened()
    retry_job(mended, job)
    (done,) = run(mended, job, until=lambda job: "callback" in job.facts)
    assert done.status == "done"


def test_a_language_that_is_refused_is_not_handed_on(tools: Tools, sandbox: Sandbox) -> None:
    """It is left out, and the next job has that answer; what a person asked for is nobody else's either."""
    sandbox.script.clear()
    refused = {"error": {"code": "invalid_language", "message": "no"}}
    sandbox.script.add(
        path="*/transcriptions", contains='"language"\r\n\r\nkk', status=400, body=refused, times=None
    )
    sandbox.script.add(path="*/transcriptions", text=SAYS, times=None)
    url = link_to(sandbox, recording(sandbox))
    wishes = (("kk", Source.ENGINE), (None, Source.API), ("de", Source.API), (None, Source.API))
    statuses = []
    for number, (language, source) in enumerate(wishes):
        job = accept(tools, Request(file_url=url, language=language), source, key=f"{number}")
        (done,) = run(tools, job, until=lambda job: "callback" in job.facts)
        statuses.append(done.status)
    assert statuses == ["done"] * 4
    said = [entry["fields"].get("language") for entry in sandbox.ledger.find("*/transcriptions")]
    assert said == ["kk", None, "de"]


def test_a_language_that_the_recogniser_does_not_tell_is_the_one_asked_for(
    tools: Tools, sandbox: Sandbox
) -> None:
    """Heard with the options of a job that named none, the call still has its request's language."""
    sandbox.script.clear()
    sandbox.script.add(path="*/transcriptions", status=200, body={"text": SAYS}, times=None)
    url = link_to(sandbox, recording(sandbox))
    first = accept(tools, Request(file_url=url), Source.ENGINE, key="first")
    second = accept(tools, Request(file_url=url, language="en"), Source.ENGINE, key="second")
    _, done = run(tools, first, second, until=lambda job: "callback" in job.facts)
    transcript = flow.transcript(done)
    assert transcript is not None
    assert transcript.language == "en"


def test_a_retried_event_is_not_dropped_for_its_age(tools: Tools, sandbox: Sandbox) -> None:
    """Its audio went with its failure: it is looked up again, however old the call is by now."""
    sandbox.script.clear()
    refusal = sandbox.script.add(path="*/transcriptions", status=404, times=None,
                                 body={"error": {"code": "ai_model_not_found"}})  # fmt: skip
    call = sandbox.crm.add_call(owner=("deal", 42), recording=recording(sandbox))
    job = accept(tools, Request(activity_id=int(call.fields["ID"])))
    run(tools, job, until=lambda job: "callback" in job.facts)
    tools.blobs.delete_prefix(f"{job}/")
    call.fields["END_TIME"] = (datetime.now(UTC) - timedelta(days=9)).isoformat(timespec="seconds")
    refusal.status, refusal.body, refusal.text = None, None, SAYS
    retry_job(tools, job)
    (done,) = run(tools, job, until=settled)
    assert (done.status, flow.timeline(done).state) == ("done", "written")


def test_an_entry_that_the_store_has_forgotten_is_not_written_again(tools: Tools, sandbox: Sandbox) -> None:
    """The store went back to before the entry: the job looks for it first, though nothing tells of a try."""
    sandbox.crm.add_entity("deal", 42)
    wanted = Request(file_url=link_to(sandbox, recording(sandbox)), entity=DEAL)
    job = accept(tools, wanted, Source.API)
    tools.store.tick()
    (done,) = run(tools, job, until=settled)
    facts = {step: fact for step, fact in done.facts.items() if step != "timeline"}
    tools.store._redis.flushall()  # and this is the copy
    assert accept(tools, wanted, Source.API, **facts) == job
    (again,) = run(tools, job, until=settled)
    assert flow.timeline(again).state == "written"
    assert tools.store.unsettled_since() is not None
    assert len(sandbox.crm.logs(2, 42)) == 1
