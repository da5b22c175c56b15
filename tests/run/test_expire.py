"""What the portal hears when its time ran out, on a real store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.domain.job import Category, Due, Event, Job, PortalId, Request, Source, Step
from pipeline.settings.installation import Settings
from pipeline.steps.outcome_steps import expire
from pipeline.steps.tools import open_tools
from pipeline.store import fields_of, job_id


def test_an_expired_job_tells_what_it_waited_for_and_why(valkey: str, tmp_path: Path) -> None:
    """The message names the step in words for people and the last reason, with no step's technical name."""
    tools = open_tools(Settings(_env_file=None, redis_url=valkey, storage_url=tmp_path.as_uri()))
    store, step = tools.store, Step("transcribe:0")
    now = store.now()
    job = Job(
        id=job_id("portal", "1"), portal=PortalId("portal"), category=Category.AUDIO, source=Source.ENGINE,
        accepted_at=now, deadline=now + 40, request=Request(),
    )  # fmt: skip
    store.accept(job, (Due(step=step, queue="upstream"),), fields_of(job), 100)
    claim = store.claim("upstream", "node:task", lease_seconds=30)
    assert claim is not None
    event = Event(at=now, step=step, what="deferred", attempt=1, why="The provider does not answer.")
    store.defer(claim, at=now + 30, events=(event,))
    failure = expire(store.load(job.id), replace(claim, step=Step("expire")), tools).facts["failure"]
    tools.close()
    assert failure.message == (
        "The portal's 40 s ran out while waiting for the recogniser. The provider does not answer."
    )
