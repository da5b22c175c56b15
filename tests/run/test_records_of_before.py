"""A store as an earlier version left it, recorded: its jobs are read and finished by this one.

`records/VERSION/store.json` holds each key with its type and value, `{portal}` for the stand-in portal's
address; the files beside it are what lay on the audio storage.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.domain.job import JobId
from pipeline.sandbox.app import Sandbox
from pipeline.steps import flow
from pipeline.steps.tools import Tools
from tests.installation import SAYS, Open, run

RECORDS = Path(__file__).parent / "records"
UNDER_WAY = JobId("job_m3y7qi3ypm42mqt4m7f26mp75a")  # one chunk answered, the other's answer was lost
FAILED = JobId("job_lzm6gndbumz2mqnquf5x76e46m")  # the link led to nothing; the portal is not told yet


@pytest.fixture
def tools(opened: Open, sandbox: Sandbox) -> Tools:
    """An installation whose store and audio were left by 0.1.0."""
    made, folder = opened(), RECORDS / "0.1.0"
    text = (folder / "store.json").read_text(encoding="utf-8").replace("{portal}", sandbox.base_url)
    for key, entry in json.loads(text).items():
        _restore(made.store._redis, key, entry["type"], entry["value"])
    made.blobs.put(f"{UNDER_WAY}/chunk-001.flac", folder / "chunk-001.flac")
    return made


def _restore(redis: Any, key: str, kind: str, value: Any) -> None:
    if kind == "string":
        redis.set(key, value)
    elif kind == "hash":
        redis.hset(key, mapping=value)
    elif kind == "list":
        redis.rpush(key, *value)
    elif kind == "set":
        redis.sadd(key, *value)
    else:
        redis.zadd(key, dict(value))


def test_a_record_of_the_version_before_is_finished(tools: Tools, sandbox: Sandbox) -> None:
    """A job that 0.1.0 left under way goes on where it stood, and its portal has the whole transcript."""
    sandbox.script.add(path="/hook", times=None, status=200, body={"status": "success"})
    assert flow.progress(tools.store.load(UNDER_WAY)) == (1, 2)
    (done,) = run(tools, UNDER_WAY, until=lambda job: "callback" in job.facts)
    assert done.status == "done"
    transcript = flow.transcript(done)
    assert transcript is not None
    assert transcript.text == f"[Manager] {SAYS}\n[Client] {SAYS}"
    asked = sandbox.ledger.find("*/transcriptions")
    assert len(asked) == 1  # the answer that was paid for before stands


def test_a_failure_of_the_version_before_is_read_and_told(tools: Tools, sandbox: Sandbox) -> None:
    """The portal hears of a job that 0.1.0 saw fail, and the operator still sees what to do about it."""
    sandbox.script.add(path="/failed", times=None, status=200, body={"status": "success"})
    failure = flow.failure(tools.store.load(FAILED))
    assert failure is not None
    assert (failure.slug, failure.step) == ("recording_gone", "fetch")
    assert failure.hint.startswith("Check on the portal that the recording still exists")
    (done,) = run(tools, FAILED, until=lambda job: "callback" in job.facts)
    assert done.status == "failed"
    assert [delivery.kind for delivery in tools.store.deliveries(FAILED)] == ["error"]
