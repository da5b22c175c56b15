"""What an operator has done again: just what is lacking, and at once."""

from __future__ import annotations

import pytest

from pipeline.domain.errors import BadRequest
from pipeline.domain.job import Entity, Request, Source, Step
from pipeline.run.operate import retry_job
from pipeline.run.views import job_row, job_view
from pipeline.sandbox.app import Sandbox
from pipeline.sandbox.script import Rule
from pipeline.steps import flow, scores
from pipeline.steps.tools import Tools
from tests.installation import Open, accept, recording, run

DEAL = Entity(type="deal", id=42)


@pytest.fixture
def tools(opened: Open) -> Tools:
    return opened()


def call(sandbox: Sandbox, **wanted: object) -> Request:
    """A recording of the sandbox to hear."""
    link = sandbox.crm.link(sandbox.base_url, recording(sandbox))
    return Request(file_url=link, language="en", **wanted)  # type: ignore[arg-type]


def test_a_score_that_could_not_be_had_is_asked_for_again(tools: Tools, sandbox: Sandbox) -> None:
    """The job is done and says what it lacks, in lists too; run again it lacks nothing, and heard once."""
    sandbox.crm.add_entity("deal", 42)
    down = sandbox.script.add(
        path="*/chat/completions", status=400, body={"error": {"code": "no"}}, times=None
    )
    job = accept(tools, call(sandbox, entity=DEAL), Source.API)
    (done,) = run(tools, job, until=lambda found: "link" in found.facts)
    assert (done.status, flow.lacks(done)) == ("done", ("score",))
    (row,) = [job_row(row) for row in tools.store.page()]
    assert row.lacks == ["score"]
    heard = len(sandbox.ledger.find("*/transcriptions"))
    sandbox.script.rules.remove(down)
    _, steps = retry_job(tools, job)
    assert steps == ("classify",)
    (mended,) = run(tools, job, until=lambda found: "timeline" in found.facts)
    assert (mended.status, flow.lacks(mended)) == ("done", ())
    assert len(sandbox.crm.logs(2, 42)) == 1
    assert len(sandbox.ledger.find("*/transcriptions")) == heard
    with pytest.raises(BadRequest, match="lacks nothing"):
        retry_job(tools, job)


def test_a_deal_that_was_not_found_is_named_by_a_person(tools: Tools, sandbox: Sandbox) -> None:
    """The entry is written there, once; a job whose entry stands is left alone."""
    sandbox.crm.add_entity("deal", 42)
    job = accept(tools, call(sandbox, activity_id=999), Source.API)
    (done,) = run(tools, job, until=lambda found: "link" in found.facts)
    assert (done.status, flow.lacks(done)) == ("done", ("deal",))
    retry_job(tools, job, entity=DEAL)
    (mended,) = run(tools, job, until=lambda found: "timeline" in found.facts)
    assert flow.timeline(mended).entity == DEAL
    assert len(sandbox.crm.logs(2, 42)) == 1
    with pytest.raises(BadRequest, match="has its entry already, in deal 42"):
        retry_job(tools, job, entity=Entity(type="deal", id=43))


def test_a_step_that_is_put_off_is_tried_at_once(tools: Tools, sandbox: Sandbox) -> None:
    """Retry by hand passes the back-off and the breaker; when the next attempt is stands in the job."""
    file = recording(sandbox)
    down = Rule(path="*/transcriptions", status=503, times=None)
    sandbox.script.rules.insert(0, down)
    wanted = Request(file_url=sandbox.crm.link(sandbox.base_url, file), language="en")
    job = accept(tools, wanted, Source.API)
    (waits,) = run(tools, job, until=lambda found: found.attempts_at("transcribe:0").begun >= 2)
    tools.store.breakers.failed(
        "provider:" + sandbox.base_url.partition("//")[2], after=1, period=600, longest=600
    )
    at = tools.store.waiting(job)[Step("transcribe:0")]
    view = job_view(waits, (), (), tools.store.waiting(job))
    assert set(view.next_attempts) == {"transcribe:0"}
    sandbox.script.rules.remove(down)
    _, steps = retry_job(tools, job)
    assert "transcribe:0" in steps
    assert tools.store.waiting(job)[Step("transcribe:0")] == 0.0
    (done,) = run(tools, job, until=lambda found: "callback" in found.facts)
    assert done.status == "done"
    assert tools.store.now() < at + 60


def test_an_outcome_that_nobody_took_is_an_error_with_its_cause(tools: Tools, sandbox: Sandbox) -> None:
    """The job names it, in the words of the last answer."""
    sandbox.script.add(path="/hook", status=500, body="out of order", times=None)
    job = accept(tools, call(sandbox, callback_url=f"{sandbox.base_url}/hook"), Source.API, ttl=8.0)
    (failed,) = run(tools, job, until=lambda found: "callback" in found.facts)
    error = job_view(failed, (), ()).error
    assert failed.status == "failed"
    assert error is not None
    assert (error.slug, error.step) == ("undelivered", "callback")


def test_a_call_is_scored_once_more_by_the_rubric_of_now(opened: Open, sandbox: Sandbox) -> None:
    """The new score holds; nothing is heard again, and the entry that is written stays the only one."""
    sandbox.crm.add_entity("deal", 42)
    tools = opened()
    job = accept(tools, call(sandbox, entity=DEAL), Source.API)
    (done,) = run(tools, job, until=lambda found: "timeline" in found.facts)
    before, heard = scores.lead(done), len(sandbox.ledger.find("*/transcriptions"))
    assert before is not None
    assert before.criteria == ()
    after = opened(rubric="default")
    _, steps = retry_job(after, job, anew=True)
    assert "classify" in steps
    (again,) = run(after, job, until=lambda found: "classify" in found.facts)
    lead = scores.lead(again)
    assert lead is not None
    assert lead.criteria != ()
    assert again.status == "done"
    assert len(sandbox.ledger.find("*/transcriptions")) == heard
    assert len(sandbox.crm.logs(2, 42)) == 1


def test_what_has_no_transcript_is_not_scored_anew(tools: Tools, sandbox: Sandbox) -> None:
    """A call that is under way, or has failed."""
    job = accept(tools, call(sandbox), Source.API)
    with pytest.raises(BadRequest, match="no transcript that could be scored"):
        retry_job(tools, job, anew=True)
