"""The wheel, installed into an environment of its own and run from an empty folder: what a user gets."""

from __future__ import annotations

import re
import signal
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.system import wheels
from tests.system.processes import ROOT, Portal, Process, alive, descendants, environment, short_folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels.build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def callscribe(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed command."""
    return wheels.install(wheel, tmp_path_factory.mktemp("installed") / "venv")


@pytest.fixture
def empty() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


def run(
    callscribe: Path, folder: Path, *args: str, seconds: float = 100, **settings: str
) -> subprocess.CompletedProcess[str]:
    env = environment(**settings) | {"TMPDIR": str(folder)}
    env.pop("PYTHONPATH", None)
    return subprocess.run(
        [callscribe, *args], env=env, cwd=folder, capture_output=True, text=True, timeout=seconds
    )


def left_behind(folder: Path) -> list[str]:
    return [str(path) for path in folder.iterdir() if path.name.startswith("callscribe")]


def test_the_wheel_is_whole(wheel: Path) -> None:
    """It holds every file of the package and of what is sent, and nothing of tests or documents."""
    there = [
        path
        for folder in ("pipeline", "workers", "fixtures/audio", "fixtures/requests", "fixtures/golden")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    ]
    ours = {re.sub("^fixtures/", "pipeline/fixtures/", str(path.relative_to(ROOT))) for path in there}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert ours - held == set()
    assert {name.split("/")[0] for name in held} == {"pipeline", "workers"}


def test_the_same_source_gives_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """Whoever builds it again gets the same bytes, and can so check a release."""
    assert wheels.build(tmp_path).read_bytes() == wheel.read_bytes()


def test_it_is_the_installed_one_that_runs(callscribe: Path, empty: Path) -> None:
    """The command imports the wheel's package, not the checkout that it was built from."""
    found = run(
        callscribe.with_name("python"), empty, "-c", "import pipeline, workers; print(pipeline, workers)"
    )
    assert found.stdout.count(str(callscribe.parents[1])) == 2
    assert str(ROOT) not in found.stdout


@pytest.mark.timeout(300)  # half a minute on a machine that does nothing else: speech is really recognised
def test_demo_shows_everything_and_leaves_nothing(callscribe: Path, empty: Path) -> None:
    """`callscribe demo` exits 0 with transcript, score, callback entry; `--keep` serves the call's page."""
    env = environment() | {"TMPDIR": str(empty)}
    demo = Process("demo", "--keep", "--recogniser", "pocketsphinx", env=env, cwd=empty, program=callscribe)
    try:
        line = demo.line("Still running:", seconds=200)
        address, key = re.search(r"running: (\S+) \(the key: (\S+)\)", line).groups()  # type: ignore[union-attr]
        page = demo.line("The call:").partition(": ")[2]
        children = descendants(demo.pid)
        with httpx.Client(base_url=address, follow_redirects=True, trust_env=False) as browser:
            assert browser.post("/sign-in", data={"key": key}).status_code == 200
            assert "What happened" in browser.get(page).text
        assert len(children) >= 6
        assert left_behind(empty)
    except BaseException:
        demo.end(signal.SIGKILL)
        raise
    assert demo.end(signal.SIGINT) == 0
    said = (empty / "demo.log").read_text(encoding="utf-8")
    for words in (
        "Manager: ", "Client: ", "ten thousand dollars", "high (", '"result": [', '"lead": {',
        "AI classification: high (", "state: written",
    ):  # fmt: skip
        assert words in said, words
    assert not [pid for pid in children if alive(pid)]
    assert left_behind(empty) == []


@pytest.mark.timeout(300)
def test_every_recorded_request_ends_as_expected(callscribe: Path, empty: Path) -> None:
    """`callscribe replay` of all fixtures/requests exits 0: every outcome is the fixture's."""
    done = run(callscribe, empty, "replay", seconds=280, link_patience_seconds="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("as expected") >= 14
    assert left_behind(empty) == []


def test_a_fixture_that_is_not_there_is_told(callscribe: Path, empty: Path) -> None:
    """The names that there are stand in the answer."""
    done = run(callscribe, empty, "replay", "sales-cal")
    assert done.returncode == 2
    assert "sales-call" in done.stderr


def test_golden_finds_its_calls_and_rubrics(portal: Portal, callscribe: Path, empty: Path) -> None:
    """The calls that come along are scored by the default rubric, each in its language."""
    settings = portal.settings | {"rubric": "default"}
    done = run(callscribe, empty, "golden", "--least", "0", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    cases = [path.stem for path in (ROOT / "fixtures/golden").glob("*.json")]
    assert len(cases) > 10
    assert [case for case in cases if case not in done.stdout] == []


def test_the_version_is_that_of_the_project(callscribe: Path, empty: Path) -> None:
    """`--version` is read from the wheel's metadata."""
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert declared
    assert run(callscribe, empty, "--version").stdout.split()[-1] == declared[1]
