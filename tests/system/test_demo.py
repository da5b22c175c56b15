"""The two commands that prove an installation: the demo, and the replay of all recorded requests."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.system.processes import Process, alive, command, descendants, environment, short_folder


def left_behind(folder: Path) -> list[str]:
    return [str(path) for path in folder.iterdir() if path.name.startswith("callscribe")]


@pytest.mark.timeout(300)  # half a minute on a machine that does nothing else: speech is really recognised
def test_demo_shows_everything_and_leaves_nothing() -> None:
    """`callscribe demo` exits 0 with transcript, score, callback and entry; `--keep` serves until Ctrl-C."""
    with short_folder() as folder:
        env = environment() | {"TMPDIR": str(folder)}
        demo = Process("demo", "--keep", "--recogniser", "pocketsphinx", env=env, cwd=folder)
        line = demo.line("Still running:", seconds=200)
        address, key = re.search(r"running: (\S+) \(the key: (\S+)\)", line).groups()  # type: ignore[union-attr]
        children = descendants(demo.pid)
        with httpx.Client(base_url=address, follow_redirects=True, trust_env=False) as browser:
            assert browser.post("/sign-in", data={"key": key}).status_code == 200
            assert "job_" in browser.get("/").text
        assert len(children) >= 6
        assert left_behind(folder)
        assert demo.end(signal.SIGINT) == 0
        said = (folder / "demo.log").read_text(encoding="utf-8")
        for words in (
            "Manager: ", "Client: ", "ten thousand dollars", "high (", '"result": [', '"lead": {',
            "AI classification: high (", "state: written",
        ):  # fmt: skip
            assert words in said, words
        assert not [pid for pid in children if alive(pid)]
        assert left_behind(folder) == []


@pytest.mark.timeout(300)
def test_every_recorded_request_ends_as_expected() -> None:
    """`callscribe replay` of all fixtures/requests exits 0: every outcome is the fixture's."""
    with short_folder() as folder:
        env = environment(link_patience_seconds="1") | {"TMPDIR": str(folder)}
        done = subprocess.run(
            command("replay"), env=env, cwd=folder, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("as expected") >= 14
        assert left_behind(folder) == []
