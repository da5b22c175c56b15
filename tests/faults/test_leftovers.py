"""What a crash, or a worker that came too late, leaves on disks is found and removed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.confinement import scratch
from pipeline.domain.job import Category, Due, Job, PortalId, Request, Source, Step
from pipeline.run.leftovers import leftovers
from pipeline.settings.installation import load
from pipeline.steps.tools import open_tools
from pipeline.store import fields_of, job_id


def test_audio_that_no_record_needs_goes_at_the_second_look(valkey: str, tmp_path: Path) -> None:
    """Of a job unknown to the store, or ended without it; never of one that is under way or may run again."""
    tools = open_tools(load(_env_file=None, redis_url=valkey, data_dir=tmp_path))
    path = tmp_path / "recording"
    path.write_bytes(b"sound")
    failed = {"slug": "provider_unavailable", "code": 502, "message": "", "step": "transcribe:0"}
    facts = {
        "running": {"fetch": {}},
        "done": {"callback": {"accepted": True}},
        "failed": {"callback": {"accepted": True}, "failure": failed},
    }
    ids = {}
    for name, known in facts.items():
        now = tools.store.now()
        job = Job(
            id=job_id("acme", name), portal=PortalId("acme"), category=Category.AUDIO, source=Source.ENGINE,
            accepted_at=now, deadline=now + 60, request=Request(), facts=known,
        )  # fmt: skip
        tools.store.accept(job, [Due(step=Step("expire"), queue="upstream", at=now + 60)], fields_of(job), 9)
        ids[name] = job.id
    ids["gone"] = job_id("acme", "gone")
    for job_key in ids.values():
        tools.blobs.put(f"{job_key}/recording", path)
    left = leftovers(tools)
    assert left == {ids["done"], ids["gone"]}
    assert all(tools.blobs.exists(f"{one}/recording") for one in ids.values())
    assert leftovers(tools, left) == frozenset()
    assert {name for name, one in ids.items() if tools.blobs.exists(f"{one}/recording")} == {
        "running",
        "failed",
    }
    tools.close()


def test_folders_of_a_killed_process_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a living one stay."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    code = (
        "from pipeline.confinement.scratch import scratch\n"
        "with scratch() as folder:\n"
        "    (folder / 'recording').write_text('sound')\n"
        "    print(folder, flush=True)\n"
        "    input()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin
    assert process.stdout
    folder = Path(process.stdout.readline().strip())
    scratch.tidy()
    assert (folder / "recording").exists()
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    scratch.tidy()
    assert not folder.exists()
