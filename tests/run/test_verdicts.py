"""What people say of a score holds, is told in the deal once, and is kept beside what the machine said."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from pipeline.archive.calls import Verdict
from pipeline.domain.errors import BadRequest, UnknownJob
from pipeline.domain.job import Entity, Job, JobId, Request, Source
from pipeline.domain.lead import Criterion
from pipeline.run.operate import retry_job
from pipeline.run.verdicts import is_told, judge, weighed
from pipeline.run.views import job_view
from pipeline.sandbox.app import Sandbox
from pipeline.scoring.rubric import band
from pipeline.steps import crm_steps, flow, scores
from pipeline.steps.tools import Tools
from tests.installation import Open, accept, overtaken, recording, run

CRITERIA = (
    Criterion(name="need", met=True, weight=3),
    Criterion(name="budget", met=True, weight=1),
)


def said(**what: Any) -> Verdict:
    """What Olga says."""
    return Verdict(**{"at": time.time(), "who": "Olga", "why": "they asked [b]only[/b]", **what})


@pytest.fixture
def tools(opened: Open, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tools]:
    """An installation with a rubric, in which corrections are written at once."""
    monkeypatch.setattr(flow, "CORRECT_SECONDS", 0.0)
    sandbox.crm.add_entity("deal", 42)
    return opened(archive_days=365, rubric="default")


@pytest.fixture
def job(tools: Tools, sandbox: Sandbox) -> Job:
    """A call that is scored, and written to deal 42."""
    link = sandbox.crm.link(sandbox.base_url, recording(sandbox))
    request = Request(file_url=link, language="en", entity=Entity(type="deal", id=42))
    (done,) = run(tools, accept(tools, request, Source.API), until=over)
    return done


def over(job: Job) -> bool:
    """Whether nothing of it is left to do."""
    return flow.advance(job, time.time()).closed


def titles(sandbox: Sandbox) -> list[str]:
    return [entry["title"] for entry in sandbox.crm.log_entries]


def test_a_corrected_score_holds_and_is_told_once(tools: Tools, sandbox: Sandbox, job: Job) -> None:
    """Both scores stand in the deal, in the archive and in /v1, with who, when and why."""
    verdict = said(score=12)
    judge(tools, job.id, verdict)
    assert is_told(tools, job.id)
    machine = scores.lead(job)
    assert machine is not None
    found = tools.archive.call(job.id)
    assert found is not None
    assert (found.score, found.band, found.machine_score) == (12, "low", machine.score)
    (done,) = run(tools, job.id, until=lambda job: over(job) and "correct:1" in job.facts)
    run(tools, job.id, until=over)
    assert is_told(tools, job.id) is False  # it is by now
    first, second = sandbox.crm.log_entries
    assert second["title"] == "AI classification corrected to low (12/100) by Olga"
    assert second["text"].splitlines() == [
        "they asked (b)only(/b)",
        f"Before: {machine.quality} ({machine.score}/100).",
        f"callscribe {job.id} #1",
    ]
    assert (first["entityId"], second["entityId"]) == (42, 42)
    view = job_view(done, (), ())
    assert (view.lead, view.corrected and view.corrected.score) == (machine, 12)
    assert [(each.who, each.score, each.quality) for each in view.verdicts] == [("Olga", 12, "low")]
    found = tools.archive.call(job.id)
    assert found is not None
    assert [(each.who, each.score) for each in found.verdicts] == [("Olga", 12)]
    assert found.score == 12


def test_a_corrected_criterion_weighs_the_score_anew(tools: Tools, sandbox: Sandbox, job: Job) -> None:
    """The criterion stays as the machine judged it, beside what the person said."""
    lead = scores.lead(job)
    assert lead is not None
    criterion = next(each for each in lead.criteria if each.weight > 0)
    judge(tools, job.id, said(criterion=criterion.name, met=not criterion.met))
    found = tools.archive.call(job.id)
    assert found is not None
    assert found.score != lead.score
    assert found.band == band(found.score or 0)
    assert found.criteria == lead.criteria
    with pytest.raises(BadRequest, match="one of the call's criteria"):
        judge(tools, job.id, said(criterion="nonsense", met=True))


def test_a_correction_that_changes_nothing_writes_no_entry(tools: Tools, sandbox: Sandbox, job: Job) -> None:
    """The same score, said by a person, is a verdict and no news for the deal."""
    lead = scores.lead(job)
    assert lead is not None
    judge(tools, job.id, said(score=lead.score))
    assert is_told(tools, job.id) is False
    run(tools, job.id, until=lambda job: over(job) and "correct:1" in job.facts)
    assert len(titles(sandbox)) == 1


def test_no_entry_where_the_portal_wants_none(opened: Open, sandbox: Sandbox, job: Job) -> None:
    """CORRECT_TIMELINE off: the correction is in the archive alone."""
    tools = opened(archive_days=365, rubric="default", correct_timeline=False)
    judge(tools, job.id, said(score=1))
    assert is_told(tools, job.id) is False
    run(tools, job.id, until=lambda job: over(job) and "correct:1" in job.facts)
    assert len(titles(sandbox)) == 1


def test_a_call_whose_record_is_gone_is_corrected_in_the_archive(tools: Tools, job: Job) -> None:
    """Calls are corrected for as long as they are archived."""
    tools.store.erase(job.id)
    assert judge(tools, job.id, said(score=7)) == ()
    assert is_told(tools, job.id) is None
    found = tools.archive.call(job.id)
    assert found is not None
    assert (found.score, found.band) == (7, "low")
    with pytest.raises(UnknownJob):
        judge(tools, JobId("job_nobody"), said(score=7))


def test_an_archive_that_was_lost_is_made_anew_with_what_people_said(tools: Tools, job: Job) -> None:
    """The record holds the verdict too."""
    judge(tools, job.id, said(score=9))
    run(tools, job.id, until=over)
    tools.archive.erase([job.id])
    assert judge(tools, job.id, said(score=8))
    run(tools, job.id, until=over)
    found = tools.archive.call(job.id)
    assert found is not None
    assert [each.score for each in found.verdicts] == [9, 8]
    assert found.score == 8


@pytest.fixture
def unscored(tools: Tools, sandbox: Sandbox) -> Job:
    """A call of deal 42 that no model would score."""
    sandbox.script.add(path="*/chat/completions", status=400, body="no", times=None)
    link = sandbox.crm.link(sandbox.base_url, recording(sandbox))
    request = Request(file_url=link, language="en", entity=Entity(type="deal", id=42))
    (done,) = run(tools, accept(tools, request, Source.API), until=over)
    assert (flow.lacks(done), scores.lead(done), titles(sandbox)) == (("score",), None, [])
    return done


def test_a_person_scores_a_call_that_the_machine_did_not(
    tools: Tools, sandbox: Sandbox, unscored: Job
) -> None:
    """It has that score from then on, lacks none, and its deal gets an entry in the person's name; what she
    changes later is one more."""
    assert is_told(tools, unscored.id) is False
    judge(tools, unscored.id, said(score=80))
    assert is_told(tools, unscored.id)
    (done,) = run(tools, unscored.id, until=lambda job: over(job) and "correct:1" in job.facts)
    (entry,) = sandbox.crm.log_entries
    assert (entry["entityId"], entry["title"]) == (42, "Call scored high (80/100) by Olga")
    assert entry["text"].splitlines()[0] == "they asked (b)only(/b)"
    assert entry["text"].splitlines()[-1] == f"callscribe {done.id}"
    assert (flow.lacks(done), flow.timeline(done).state) == ((), "written")
    found = tools.archive.call(done.id)
    assert found is not None
    assert (found.score, found.band, found.machine_score, found.gaps) == (80, "high", None, ())
    assert found.reason == "they asked [b]only[/b]"
    judge(tools, done.id, said(score=10))
    run(tools, done.id, until=lambda job: over(job) and "correct:2" in job.facts)
    assert titles(sandbox)[1:] == ["AI classification corrected to low (10/100) by Olga"]
    assert "Before: high (80/100)." in sandbox.crm.log_entries[1]["text"]


def test_a_model_that_scores_it_later_changes_nothing_of_what_a_person_gave(
    tools: Tools, sandbox: Sandbox, unscored: Job
) -> None:
    """The machine's score stands beside it, and there is no further entry."""
    judge(tools, unscored.id, said(score=80))
    run(tools, unscored.id, until=over)
    sandbox.script.clear()
    retry_job(tools, unscored.id, anew=True)
    (done,) = run(tools, unscored.id, until=lambda job: over(job) and scores.lead(job) is not None)
    found = tools.archive.call(done.id)
    assert found is not None
    assert found.machine_score is not None
    assert (found.score, titles(sandbox)) == (80, ["Call scored high (80/100) by Olga"])


def test_an_unscored_call_whose_record_is_gone_is_scored_in_the_archive(tools: Tools, unscored: Job) -> None:
    """It is not among those without a score any more."""
    before = tools.archive.call(unscored.id)
    assert before is not None
    assert [gap.kind for gap in before.gaps] == ["unscored"]
    tools.store.erase(unscored.id)
    assert judge(tools, unscored.id, said(score=7)) == ()
    found = tools.archive.call(unscored.id)
    assert found is not None
    assert (found.score, found.band, found.gaps, found.reason) == (7, "low", (), "they asked [b]only[/b]")
    tools.archive.put(replace(before, verdicts=()))
    again = tools.archive.call(unscored.id)
    assert again is not None
    assert (again.score, again.gaps) == (7, ())


def test_a_call_without_a_transcript_cannot_be_scored(tools: Tools, sandbox: Sandbox) -> None:
    """There is nothing that a score could be about."""
    request = Request(file_url=f"{sandbox.base_url}/nothing-there", language="en")
    (failed,) = run(tools, accept(tools, request, Source.API), until=over)
    with pytest.raises(BadRequest, match="no transcript"):
        judge(tools, failed.id, said(score=7))


def test_a_score_of_a_person_stays_until_another(tools: Tools) -> None:
    """A criterion that is corrected after it changes nothing of it; before it, the weights decide."""
    criterion = said(criterion="budget", met=False)
    assert weighed(criterion, (), CRITERIA, None).score == 75
    assert weighed(criterion, (said(score=10),), CRITERIA, None).score is None
    both = weighed(said(criterion="need", met=False), (criterion,), CRITERIA, None)
    assert (both.score, both.band) == (0, "low")
    with pytest.raises(BadRequest, match="a score, or a criterion"):
        weighed(said(), (), CRITERIA, None)


def test_a_correction_whose_answer_was_lost_stands_once(
    opened: Open, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come to stand a moment later: it is looked for after that, as the machine's entry is."""
    monkeypatch.setattr(flow, "CORRECT_SECONDS", 0.0)
    sandbox.crm.add_entity("deal", 42)
    tools = opened(archive_days=365, rubric="default", lease_seconds=4)
    link = sandbox.crm.link(sandbox.base_url, recording(sandbox))
    request = Request(file_url=link, language="en", entity=Entity(type="deal", id=42))
    (done,) = run(tools, accept(tools, request, Source.API), until=over)
    sandbox.script.add(path="*crm.timeline.logmessage.add", reset="after", times=1)
    judge(tools, done.id, said(score=12))
    run(tools, done.id, until=lambda job: "correct:1" in job.facts)
    assert len(sandbox.crm.log_entries) == 2
    at = {event.what: event.at for event in tools.store.events(done.id) if event.step == "correct:1"}
    assert at["done"] - at["deferred"] >= 2.0  # half of the lease


def test_a_worker_that_lost_its_lease_corrects_nothing(
    tools: Tools, sandbox: Sandbox, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before its write and awake again afterwards, it finds that the step is another's."""
    monkeypatch.setattr(crm_steps, "SETTLE_SECONDS", 0.0)
    stopped = overtaken(
        tools,
        monkeypatch,
        "timeline.before",
        lambda: run(tools, job.id, until=lambda job: "correct:1" in job.facts),
    )
    judge(tools, job.id, said(score=12))
    run(tools, job.id, until=lambda job: "correct:1" in job.facts)
    assert stopped
    assert len(sandbox.crm.log_entries) == 2
