"""`callscribe jobs` over a store that it starts itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli import attached
from pipeline.domain.job import Category, Delivery, Job, JobId, PortalId, Request, Source
from pipeline.run.views import JobView
from pipeline.settings.installation import load
from pipeline.steps import flow
from pipeline.store import fields_of, job_id
from tests.cli.conftest import Run

SECRET = "https://example.bitrix24.com/disk/file?signature=secret-of-the-link"


@pytest.fixture
def job(run: Run) -> JobId:
    """A job in the store of the folder that the command runs in."""
    Path("var/store").mkdir(parents=True, mode=0o700)
    with attached.opened_store(load()) as store:
        now = store.now()
        made = Job(
            id=job_id("portal", "hash"),
            portal=PortalId("portal"),
            category=Category.AUDIO,
            source=Source.ENGINE,
            accepted_at=now,
            deadline=now + 100,
            request=Request(file_url=SECRET, callback_url=f"{SECRET}&hash=1"),
        )
        store.accept(made, flow.advance(made, now).dues, fields_of(made), 10)
    return made.id


def test_list_and_show(run: Run, job: JobId) -> None:
    """A job is listed, and shown with its events; the store that was started for it is gone again."""
    listed = run("jobs", "list", "--status", "accepted")
    assert listed.code == 0
    assert job in listed.out
    assert job not in run("jobs", "list", "--status", "done").out
    shown = run("jobs", "show", job)
    assert "portal  audio by engine  accepted" in shown.out
    assert "| accepted" in shown.out
    assert "secret-of-the-link" not in shown.out
    assert not attached.embedded.answers(load().socket)


def test_show_tells_why_a_callback_was_not_sent(run: Run, job: JobId) -> None:
    """Where no answer came, what stands for it is told: our own guard, or the network, has refused."""
    with attached.opened_store(load()) as store:
        store.tick()
        claim = store.claim("upstream", "me:", lease_seconds=60)
        assert claim
        sent = Delivery(
            at=store.now(), kind="error", status=None, answer="No address for us.", accepted=False
        )
        store.defer(claim, at=store.now() + 60, deliveries=(sent,))
    assert "error: No address for us., not taken" in run("jobs", "show", job).out


def test_show_as_json(run: Run, job: JobId) -> None:
    """The very object of /v1/jobs/{id}, without the request, whose links are secrets."""
    shown = run("jobs", "show", job, "--json")
    record = JobView.model_validate_json(shown.out)
    assert record.id == job
    assert record.events[0].what == "accepted"
    assert set(json.loads(shown.out)) == set(JobView.model_fields)
    assert "secret-of-the-link" not in shown.out


def test_only_a_failed_job_is_run_again(run: Run, job: JobId) -> None:
    """A job that waits cannot be retried, and one that is unknown neither."""
    done = run("jobs", "retry", job)
    assert done.code == 2
    assert "accepted" in done.err
    assert run("jobs", "retry", "job_unknown").code == 1


def test_erase_leaves_nothing_of_a_job(run: Run, job: JobId) -> None:
    """After erasure the job is unknown, and no byte of its links is in the store's files."""
    files = Path("var/store")
    assert any(b"secret-of-the-link" in path.read_bytes() for path in files.rglob("*") if path.is_file())
    assert run("jobs", "erase", job, "--yes").code == 0
    assert run("jobs", "show", job).code == 1
    assert not any(b"secret-of-the-link" in path.read_bytes() for path in files.rglob("*") if path.is_file())


def test_a_record_that_cannot_be_read_is_shown_as_it_is_stored_and_erased(run: Run, job: JobId) -> None:
    """Its fields are printed without the secrets of links; it is listed as such, and can be erased."""
    with attached.opened_store(load()) as store:
        store._redis.hset(f"cs:job:{job}", "category", "video")
    assert "cannot be read" in run("jobs", "list").out
    shown = run("jobs", "show", job)
    assert '"category": "video"' in shown.out
    assert "secret-of-the-link" not in shown.out
    assert run("jobs", "erase", job, "--yes").code == 0
    assert job not in run("jobs", "list").out
