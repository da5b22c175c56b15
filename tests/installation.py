"""A whole installation in this process: a real store, real tools, the sandbox; steps are run by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.domain.job import Category, Job, JobId, PortalId, Request, Source
from pipeline.domain.kinds import QUEUES
from pipeline.run.runner import Runner
from pipeline.sandbox.app import KEY, Sandbox
from pipeline.sandbox.rest import Bucket
from pipeline.settings.installation import load
from pipeline.steps import flow
from pipeline.steps.tools import Tools, open_tools
from pipeline.store import fields_of, job_id
from pipeline.telemetry import failpoints

PORTAL = "portal"
SAYS = "hello we need a phone system for fifty users our budget is ten thousand dollars"

Open = Callable[..., Tools]


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
    served.engines.registered.clear()


@contextmanager
def connected(**settings: Any) -> Iterator[Open]:
    """Opens tools with these settings and those of each call; the portal was connected an hour ago."""
    made: list[Tools] = []

    def make(**changes: Any) -> Tools:
        tools = open_tools(load(**{**settings, **changes}))
        tools.store._redis.set(f"cs:connected:{PORTAL}", str(tools.store.now() - 3600))
        made.append(tools)
        return tools

    yield make
    for tools in made:
        tools.close()


@pytest.fixture
def opened(valkey: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Real tools over a real store and the sandbox."""
    monkeypatch.chdir(tmp_path)
    with connected(
        archive_days=0, keep_audio_days=0, redis_url=valkey, data_dir=tmp_path,
        bitrix24_webhook=sandbox.webhook_url, timeline="bitrix24",
        portal_url=sandbox.base_url, portal_token="t" * 24, trusted_hosts="127.0.0.1",
        router_url=sandbox.router_url, router_key=KEY, portal_application_token="apptoken",
    ) as make:  # fmt: skip
        yield make


def accept(
    tools: Tools,
    request: Request,
    source: Source = Source.EVENT,
    key: str = "k",
    *,
    ttl: float = 3600.0,
    category: Category = Category.AUDIO,
    portal: str = PORTAL,
    **facts: Any,
) -> JobId:
    """A job as the api accepts it, with what is known of it already."""
    now = tools.store.now()
    job = Job(
        id=job_id(portal, key), portal=PortalId(portal), category=category, source=source,
        accepted_at=now, deadline=now + ttl, request=request, digest=key, facts=facts,
    )  # fmt: skip
    tools.store.accept(job, flow.advance(job, now).dues, fields_of(job), 100)
    return job.id


def run(tools: Tools, *jobs: JobId, until: Callable[[Job], bool], seconds: float = 60.0) -> list[Job]:
    """Runs all queues here until every job is as wanted."""
    runner, end = Runner(tools), time.monotonic() + seconds
    while True:
        tools.store.tick()
        for queue in QUEUES:
            runner.drain(queue, "test", seconds=5, stop=lambda: False)
        found = [tools.store.load(job) for job in jobs]
        if all(until(job) for job in found):
            return found
        events = [event for job in found for event in tools.store.events(job.id)][-4:]
        assert time.monotonic() < end, [(event.step, event.what, event.why) for event in events]
        time.sleep(0.02)  # what is due later comes with time


def overtaken(
    tools: Tools, monkeypatch: pytest.MonkeyPatch, before: str, go_on: Callable[[], object]
) -> list[str]:
    """Whoever comes to the failpoint first loses its lease there, and wakes once another has gone on;
    answers where it was stopped, as soon as it was.
    """
    stopped: list[str] = []

    def stop(name: str) -> None:
        if name == before and not stopped:
            stopped.append(name)
            tools.store.release("test", crashed=True)
            go_on()

    monkeypatch.setattr(failpoints, "hit", stop)
    return stopped


def settled(job: Job) -> bool:
    """Whether the entry is written, or never will be."""
    return flow.timeline(job).state in ("written", "unlinked", "failed")


def recording(sandbox: Sandbox) -> Any:
    found = sandbox.portal.recording("weak-lead")
    assert found
    return found
