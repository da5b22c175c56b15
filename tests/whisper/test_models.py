"""Where a model comes from, and what is not taken for one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from starlette.requests import Request

from pipeline.domain.errors import SettingsError
from pipeline.whisper import models
from pipeline.whisper.app import Problem, Turns
from pipeline.whisper.hearing import Heard


def told(line: str) -> None:
    assert line


def test_a_name_that_is_none_and_a_folder_without_a_model_are_wrong_settings(tmp_path: Path) -> None:
    """Both are told before anything is fetched, the first with the names that are known."""
    with pytest.raises(SettingsError, match=r"no-such-size.*large-v3-turbo"):
        models.find("no-such-size", say=told)
    with pytest.raises(SettingsError, match=r"model\.bin is missing"):
        models.find(str(tmp_path), say=told)
    with pytest.raises(SettingsError, match="neither a folder"):
        models.find("/no/such", say=told)


def test_a_file_that_is_not_the_published_one_is_never_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One changed byte in what came out of the wheels is found at each start, and the file is named."""
    kept = models.find(models.DEFAULT, say=told)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    own = tmp_path / "callscribe" / "whisper" / f"base-{models.BASE['model.bin'][:12]}"
    own.mkdir(parents=True)
    for name in models.BASE:
        shutil.copyfile(kept / name, own / name)
    assert models.find(models.DEFAULT, say=told) == own
    config = (own / "config.json").read_bytes()
    (own / "config.json").write_bytes(config.replace(b"0", b"1", 1))
    with pytest.raises(models.NoModel, match=r"config\.json: is not the published file"):
        models.find(models.DEFAULT, say=told)


def test_too_many_recordings_that_wait_are_told_when_to_come_again() -> None:
    """One is heard and `most` wait; the next is refused at once, with the time that the others will take."""

    async def receive() -> dict[str, object]:
        await anyio.sleep_forever()
        raise AssertionError

    async def main() -> Problem:
        turns, go = Turns(most=2), anyio.Event()
        request = Request({"type": "http", "headers": []}, receive)
        heard = Heard(seconds=1.0, language="en", parts=[], words=[])

        def hear() -> Heard:
            anyio.from_thread.run(go.wait)
            return heard

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(turns.take, request, hear)
            await anyio.wait_all_tasks_blocked()
            assert turns.waiting == 3
            with pytest.raises(Problem) as refused:
                await turns.take(request, hear)
            go.set()
        assert turns.waiting == 0
        return refused.value

    problem = anyio.run(main)
    assert (problem.status, problem.code) == (503, "queue_full")
    assert problem.retry_after == pytest.approx(15.0)


def test_no_command_but_its_own_imports_it() -> None:
    """Starting the CLI, importing the api, the workers and every other command brings no native code."""
    script = """
import importlib, sys
import pipeline.cli, pipeline.web.app, pipeline.run.runner, workers
for module in pipeline.cli.COMMANDS:
    importlib.import_module(f"pipeline.cli.{module}")
print(sorted({"faster_whisper", "ctranslate2", "onnxruntime", "numpy._core"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
