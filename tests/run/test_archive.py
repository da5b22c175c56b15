"""Calls go into the archive as steps of the flow, over a real store, database and sandbox."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest

from pipeline.archive.archive import Archive
from pipeline.archive.calls import Filters, Gap
from pipeline.domain.errors import UnknownJob
from pipeline.domain.job import Claim, Entity, Job, JobId, Request, Source, Step
from pipeline.domain.kinds import kind_of
from pipeline.run.leftovers import expire, leftovers
from pipeline.run.operate import erase_job, retry_job
from pipeline.sandbox.app import Sandbox
from pipeline.steps import archive_steps, flow, keeping, scores, search
from pipeline.steps.tools import Snooze, Tools
from tests.flow.test_flow import a_job
from tests.installation import Open, accept, recording, run

DEAL = Entity(type="deal", id=42)


@pytest.fixture
def tools(opened: Open, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tools]:
    """An installation that archives calls and keeps their recordings. None of these calls has an event."""
    monkeypatch.setattr(search, "EVENT_SECONDS", 1.0)
    sandbox.crm.add_entity("deal", 42, TITLE="Chairs <b>for</b> ACME")
    sandbox.crm.add_entity("contact", 7, NAME="Ivan", LAST_NAME="Petrov")
    sandbox.crm.users[1] = ("Anna", "Smith")
    return opened(archive_days=365, keep_audio_days=7, link_patience_seconds=1)


def call(tools: Tools, sandbox: Sandbox, key: str = "k", **wanted: Any) -> JobId:
    """A recording of the sandbox, to be heard."""
    link = sandbox.crm.link(sandbox.base_url, recording(sandbox))
    request = Request(file_url=link, language="en", **wanted)
    return accept(tools, request, Source.API, key)


def over(job: Job) -> bool:
    """Whether nothing of it is left to do."""
    return flow.advance(job, time.time()).closed


def test_a_call_ends_in_the_archive_with_all_that_is_known(tools: Tools, sandbox: Sandbox) -> None:
    """Who spoke, the deal and its title, the score, the words, how loud it was, and a copy to be heard."""
    activity = sandbox.crm.add_call(
        owner=("deal", 42), bindings=(("contact", 7),), phone="+7 912 345-67-89", recording=recording(sandbox)
    )
    number = int(activity.fields["ID"])
    (job,) = run(tools, accept(tools, Request(activity_id=number)), until=over)
    found = tools.archive.call(job.id)
    lead, transcript = scores.lead(job), flow.transcript(job)
    assert found is not None
    assert lead is not None
    assert transcript is not None
    assert (found.state, found.gaps, found.entity, found.activity_id) == ("done", (), DEAL, number)
    assert (found.entity_title, found.entity_url) == (
        "Chairs <b>for</b> ACME", f"{sandbox.base_url}/crm/deal/details/42/",
    )  # fmt: skip
    assert (found.manager_id, found.manager, found.client) == ("1", "Anna Smith", "Ivan Petrov")
    assert (found.phone, found.direction) == ("+7 912 345-67-89", "out")
    assert (found.score, found.machine_score, found.band) == (lead.score, lead.score, lead.quality)
    assert (found.segments, found.criteria) == (transcript.segments, lead.criteria)
    assert found.transcription_seconds > 0
    assert found.levels
    assert all(0 < len(channel) <= 1000 and max(channel) == 100 for channel in found.levels)
    assert found.audio == keeping.key_of(job.id)
    assert found.seconds is not None
    with tools.blobs.get(found.audio) as copy, av.open(str(copy)) as sound:
        assert sound.streams.audio[0].codec_context.name.startswith("mp3")
        assert sound.duration is not None
        assert sound.duration / 1e6 == pytest.approx(found.seconds, abs=0.2)
        assert found.audio_bytes == copy.stat().st_size
    assert not [folder for folder in tools.blobs.folders() if folder.startswith("job_")]
    (at,) = (event.at for event in tools.store.events(job.id) if kind_of(event.step) == "keep" and event.took)
    assert at


def test_a_deal_that_a_request_names_is_looked_up(tools: Tools, sandbox: Sandbox) -> None:
    """Its title is asked for in one request; nothing tells who spoke."""
    (job,) = run(tools, call(tools, sandbox, entity=DEAL), until=over)
    found = tools.archive.call(job.id)
    assert found is not None
    assert (found.entity, found.entity_title, found.manager) == (DEAL, "Chairs <b>for</b> ACME", None)
    asked = [entry["path"] for entry in sandbox.ledger.find("/rest/*")]
    assert sum("crm.item.get" in path for path in asked) == 1
    assert len(asked) <= 3


def test_a_failed_call_is_archived_too(tools: Tools, sandbox: Sandbox) -> None:
    """It says why it failed, where people look for what is to do."""
    page = sandbox.crm.store(b"<html>sign in</html>" * 100)
    request = Request(file_url=sandbox.crm.link(sandbox.base_url, page), language="en")
    (job,) = run(tools, accept(tools, request, Source.API), until=over)
    found = tools.archive.call(job.id)
    assert found is not None
    assert (found.state, found.audio, found.score) == ("failed", None, None)
    assert found.error
    assert tools.archive.todo() == [(Gap(kind="failed", why=found.error), 1)]


def test_what_is_done_again_is_archived_again(tools: Tools, sandbox: Sandbox) -> None:
    """A call that a person links by hand is unlinked no more."""
    (job,) = run(tools, call(tools, sandbox, activity_id=999), until=over)
    (gap,) = tools.archive.call(job.id).gaps  # type: ignore[union-attr]
    assert gap.kind == "unlinked"
    retry_job(tools, job.id, entity=DEAL)
    run(tools, job.id, until=lambda job: over(job) and flow.timeline(job).state == "written")
    found = tools.archive.call(job.id)
    assert found is not None
    assert (found.gaps, found.entity, found.entity_title) == ((), DEAL, "Chairs <b>for</b> ACME")
    assert found.audio
    assert sum(kind_of(step) == "archive" for step in tools.store.load(job.id).facts) == 1


def test_a_database_that_is_away_costs_no_call_and_is_made_up_for(
    tools: Tools, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The outcome is sent and the deal gets its entry; the archive follows once it is back."""
    monkeypatch.setattr(archive_steps, "LONGEST_PAUSE_SECONDS", 0.05)
    place = tmp_path / "archive.sqlite"
    place.mkdir()  # no database can be there
    (job,) = run(
        tools, call(tools, sandbox, entity=DEAL), until=lambda job: flow.timeline(job).state == "written"
    )
    assert job.status == "done"
    assert not over(job)
    for _ in range(3):
        tools.store.tick()
    place.rmdir()
    tools.store.breakers.passed(archive_steps.BREAKER)
    (job,) = run(tools, job.id, until=over)
    assert [row.id for row in tools.archive.calls().calls] == [job.id]
    assert len(sandbox.crm.logs(2, 42)) == 1


def test_a_database_that_is_away_for_too_long_is_told(tools: Tools, sandbox: Sandbox, tmp_path: Path) -> None:
    """When the record's own time is over the step gives up, and says so."""
    (tmp_path / "archive.sqlite").mkdir()
    (job,) = run(tools, call(tools, sandbox), until=lambda job: "callback" in job.facts)
    old = Job(**{**vars(job), "accepted_at": job.accepted_at - tools.settings.retention_seconds - 1})
    step = Step(f"archive:{flow.archived(job)}")
    with pytest.raises(archive_steps.NotArchived, match="7 days"):
        archive_steps.archive(old, _claim(job, step), tools)


def test_an_erased_call_is_erased_everywhere(tools: Tools, sandbox: Sandbox) -> None:
    """Its row and its copy go with its record, and a step that was under way brings neither back."""
    (job,) = run(tools, call(tools, sandbox), until=over)
    claims = [_claim(job, Step(f"archive:{flow.archived(job)}"))]
    assert erase_job(tools, job.id, who="olga")
    assert tools.archive.call(job.id) is None
    assert tools.blobs.listed(keeping.FOLDER) == []
    for claim in claims:
        with pytest.raises(UnknownJob):
            archive_steps.archive(job, claim, tools)
    assert tools.archive.count() == 0
    (entry,) = tools.archive.audited(job.id)[0]
    assert (entry.who, entry.what) == ("olga", "erased")


def test_copies_go_when_their_days_are_over(tools: Tools, sandbox: Sandbox) -> None:
    """The call stays, and says that there is nothing to hear any more."""
    (job,) = run(tools, call(tools, sandbox), until=over)
    (copy,) = tools.blobs.listed(keeping.FOLDER)
    expire(tools)
    assert tools.blobs.exists(copy.key)
    with tools.blobs.get(copy.key) as path:
        os.utime(path, (time.time(), time.time() - 8 * 86_400))
    expire(tools)
    assert tools.blobs.listed(keeping.FOLDER) == []
    found = tools.archive.call(job.id)
    assert found is not None
    assert (found.audio, bool(found.levels)) == (None, True)


def test_the_oldest_copies_give_way_when_room_is_short(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as it takes, and no more."""
    for age in range(4):
        source = tmp_path / f"sound{age}"
        source.write_bytes(bytes(1000))
        tools.blobs.put(f"kept/{age}.mp3", source)
        with tools.blobs.get(f"kept/{age}.mp3") as path:
            os.utime(path, (1e9, 1e9 - age))
    free = {"bytes": -1500.0}
    monkeypatch.setattr(
        tools.blobs, "room_bytes", lambda: free["bytes"] + 1000 * (4 - len(tools.blobs.listed("kept")))
    )
    assert keeping.make_room(tools)
    assert {copy.key for copy in tools.blobs.listed("kept")} == {"kept/0.mp3", "kept/1.mp3"}
    free["bytes"] = -1e9
    assert not keeping.make_room(tools, 10)


def test_without_keeping_the_recording_goes_with_the_outcome(opened: Open, sandbox: Sandbox) -> None:
    """As soon as the outcome is sent nothing of the recording is on the storage."""
    tools = opened(keep_audio_days=0)
    (job,) = run(tools, call(tools, sandbox), until=lambda job: "callback" in job.facts)
    assert tools.blobs.folders() == []
    assert job.facts["keep"] == {"state": "off"}


def test_a_recording_that_waits_for_its_copy_is_no_leftover(tools: Tools, sandbox: Sandbox) -> None:
    """It stays until the copy is made, however often somebody looks for what nobody needs."""
    place = f"keep:{socket.gethostname()}"  # one copy is made at a time
    assert tools.store.known.first(place, "another", seconds=600) == "another"
    job = call(tools, sandbox)
    (sent,) = run(tools, job, until=lambda job: "callback" in job.facts)
    assert leftovers(tools, leftovers(tools)) == frozenset()
    assert tools.blobs.exists(sent.facts["fetch"]["blob"])
    assert "keep" not in tools.store.load(job).facts
    tools.store.known.forget_first(place)
    run(tools, job, until=over)
    assert leftovers(tools, leftovers(tools)) == frozenset()


def test_however_many_copies_wait_they_look_at_a_rate(tools: Tools) -> None:
    """Each that waits for another copy looks a tenth of a second after the one before it, not all at once."""
    place = f"keep:{socket.gethostname()}"
    assert tools.store.known.first(place, "another", seconds=600) == "another"
    job, begun = a_job(), time.monotonic()
    waits = []
    for number in range(100):
        claim = replace(_claim(job, Step("keep")), job=JobId(f"job_{number}"))
        with pytest.raises(Snooze) as snoozed:
            archive_steps.keep(job, claim, tools)
        waits.append(snoozed.value.seconds)
    took = time.monotonic() - begun
    assert max(waits) > 100 / archive_steps.TURNS_PER_SECOND - took
    assert sorted(waits)[50] > 50 / archive_steps.TURNS_PER_SECOND - took


def test_a_copy_whose_worker_was_lost_before_its_record_is_found(tools: Tools, sandbox: Sandbox) -> None:
    """The recording is gone already, and the copy stands as it was made, with how loud it is."""
    place = f"keep:{socket.gethostname()}"
    assert tools.store.known.first(place, "another", seconds=600) == "another"
    (job,) = run(tools, call(tools, sandbox), until=lambda job: "callback" in job.facts)
    tools.store.known.forget_first(place)
    claim = replace(
        _claim(job, Step("keep")), job=JobId("job_of_a_worker_that_is_lost")
    )  # with a turn of its own
    lost = archive_steps.keep(job, claim, tools).facts["keep"]
    with tools.blobs.get(lost["audio"]) as copy:
        made = copy.read_bytes()
    assert "keep" not in tools.store.load(job.id).facts
    (job,) = run(tools, job.id, until=over)
    kept = job.facts["keep"]
    assert (kept["state"], kept["audio"], kept["bytes"]) == ("kept", lost["audio"], lost["bytes"])
    assert [len(channel) for channel in kept["levels"]] == [len(channel) for channel in lost["levels"]]
    with tools.blobs.get(kept["audio"]) as copy:
        assert copy.read_bytes() == made
    found = tools.archive.call(job.id)
    assert found is not None
    assert found.audio == kept["audio"]


def test_found_by_what_was_said(tools: Tools, sandbox: Sandbox) -> None:
    """The words of the call find it."""
    (job,) = run(tools, call(tools, sandbox), until=over)
    assert [row.id for row in tools.archive.calls(Filters(q="phone systems")).calls] == [job.id]
    assert isinstance(tools.archive, Archive)


def _claim(job: Job, step: Step) -> Claim:
    return Claim(
        job=job.id, step=step, queue="background", portal=job.portal, fence="1", attempt=1, lost=0,
        deadline=job.deadline,
    )  # fmt: skip
