"""A recording is read in one go: what it is and how it is cut are two steps, told apart, done as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.domain.job import Due, Job, JobId, Request, Source, Step
from pipeline.domain.kinds import MEDIA
from pipeline.domain.plain import to_plain
from pipeline.domain.recording import Fetched
from pipeline.sandbox.app import Sandbox
from pipeline.steps import audio_steps, flow
from pipeline.steps.tools import Tools
from pipeline.store import job_id
from tests.bitrix.test_once import link_to
from tests.installation import PORTAL, Open, accept, run

FIXTURES = Path(__file__).parents[2] / "fixtures" / "audio"


@pytest.fixture
def tools(opened: Open) -> Tools:
    return opened()


def sounding(sandbox: Sandbox, name: str = "weak-lead") -> Request:
    found = sandbox.portal.recording(name)
    assert found
    return Request(file_url=link_to(sandbox, found), language="en")


def steps(tools: Tools, job: JobId) -> list[tuple[str, str]]:
    """What became of reading the recording, by step."""
    events = tools.store.events(job)
    return [(event.step, event.what) for event in events if event.step in ("sniff", "split")]


def over(job: Job) -> bool:
    return "callback" in job.facts


def test_a_recording_is_claimed_once_and_told_as_two_steps(tools: Tools, sandbox: Sandbox) -> None:
    """Each has its event with what it took; only the second one was ever claimed."""
    job = accept(tools, sounding(sandbox), Source.API)
    (done,) = run(tools, job, until=over)
    assert steps(tools, job) == [("sniff", "done"), ("split", "done")]
    sniff, split = (event for event in tools.store.events(job) if event.step in ("sniff", "split"))
    assert min(sniff.took or 0, split.took or 0) > 0
    assert sniff.at <= split.at
    assert "sniff" not in done.attempts
    assert done.facts["sniff"]["codec"] == "pcm_s16le"
    assert done.facts["sniff"]["sha256"] == done.facts["fetch"]["sha256"]


def test_what_is_no_recording_fails_before_it_is_cut(tools: Tools, tmp_path: Path) -> None:
    """The failure names the step in which it was found, and that one alone has happened."""
    page, blob = tmp_path / "page", f"{job_id(PORTAL, 'k')}/recording"
    page.write_text("<html>no such call</html>")
    tools.blobs.put(blob, page)
    fetched = Fetched(blob=blob, size_bytes=page.stat().st_size, sha256="0" * 64)
    job = accept(tools, Request(upload=blob), Source.API, fetch=to_plain(fetched))
    (failed,) = run(tools, job, until=over)
    failure = flow.failure(failed)
    assert failure
    assert (failure.slug, failure.step) == ("not_audio", "sniff")
    assert failure.message.startswith("not a recording: ")
    assert steps(tools, job) == [("sniff", "failed")]
    assert "sniff" not in failed.facts


def test_what_a_recording_is_stays_known_when_it_cannot_be_cut(tools: Tools, sandbox: Sandbox) -> None:
    """Silence is a recording all the same: people see of what kind it was."""
    job = accept(tools, sounding(sandbox, "silence"), Source.API)
    (failed,) = run(tools, job, until=over)
    failure = flow.failure(failed)
    assert failure
    assert (failure.slug, failure.step) == ("no_speech", "split")
    assert steps(tools, job) == [("sniff", "done"), ("split", "failed")]
    assert failed.facts["sniff"]["sample_rate"] > 0


@pytest.mark.parametrize("known", [False, True])
def test_what_a_version_before_has_begun_is_gone_on_with(
    tools: Tools, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """A record that waits for what is never due by itself any more, or has that step's fact already."""
    (first,) = run(tools, accept(tools, sounding(sandbox), Source.API, "first"), until=over)
    blob = f"{job_id(PORTAL, 'k')}/recording"
    tools.blobs.put(blob, FIXTURES / "weak-lead")
    facts = {"fetch": first.facts["fetch"] | {"blob": blob}} | (
        {"sniff": first.facts["sniff"]} if known else {}
    )
    del facts["fetch"]["likely_seconds"]
    waits = Due(step=Step("split" if known else "sniff"), queue=MEDIA)
    with monkeypatch.context() as before:
        before.setattr(flow, "advance", lambda *_: flow.Next(dues=(waits,), status="accepted", closed=False))
        job = accept(tools, Request(upload=blob, language="en"), Source.API, **facts)
    assert list(tools.store.waiting(job)) == [waits.step]
    (second,) = run(tools, job, until=over)
    assert second.status == "done"
    assert second.facts["sniff"] == first.facts["sniff"]
    assert steps(tools, job) == [("sniff", "done"), ("split", "done")][known:]


def test_several_recordings_are_joined_once(
    tools: Tools, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they are is told before they are cut: an attempt that breaks off then does not join them anew."""
    joined: list[int] = []
    join = audio_steps._join

    def counted(*given: Any) -> Any:
        joined.append(1)
        return join(*given)

    monkeypatch.setattr(audio_steps, "_join", counted)
    links = [
        link_to(sandbox, found)
        for name in ("weak-lead", "phone-mp3")
        if (found := sandbox.portal.recording(name))
    ]
    job = accept(tools, Request(language="en"), Source.API, resolve={"file_urls": links})
    store, broken = audio_steps._store, [True]

    def storing(*given: Any) -> Any:
        if broken:
            broken.clear()
            raise OSError(28, "No space left on device")
        return store(*given)

    monkeypatch.setattr(audio_steps, "_store", storing)
    (done,) = run(tools, job, until=over)
    assert done.status == "done"
    assert len(done.facts["fetch"]["parts"]) == 2
    assert joined == [1]
    assert [what for step, what in steps(tools, job) if step == "sniff"] == ["done"]
