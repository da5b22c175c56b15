"""The contracts of imports hold in every room: what is planted there breaks them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOMES = {  # library -> the rooms that may import it
    "av": {"pipeline.audio", "pipeline.sandbox"},
    "audioop": {"pipeline.audio"},
    "celery": {"workers"},
    "ctranslate2": set(),  # faster-whisper brings it
    "faster_whisper": {"pipeline.whisper"},
    "httpcore": {"pipeline.clients"},
    "httpx": {"pipeline.clients", "pipeline.sandbox"},
    "kombu": {"workers"},
    "magic": set(),  # one module of audio alone
    "numpy": {"pipeline.whisper"},  # and one module of audio
    "pydub": {"pipeline.audio"},
    "python_multipart": {"pipeline.web"},
    "redis": {"pipeline.store"},
    "starlette": {"pipeline.web", "pipeline.sandbox", "pipeline.whisper"},
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code, to plant into."""
    copy = tmp_path_factory.mktemp("house")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for package in ("pipeline", "workers"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def rooms(house: Path) -> dict[str, Path]:
    """Each package by its dotted name."""
    folders = [house / "workers", *(path.parent for path in (house / "pipeline").glob("*/__init__.py"))]
    return {".".join(folder.relative_to(house).parts): folder for folder in folders}


def broken(house: Path) -> str:
    """What lint-imports says of the house; it has to be broken."""
    lint = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=house, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert lint.returncode == 1, lint.stdout + lint.stderr
    return lint.stdout


def test_a_library_away_from_its_home_breaks_a_contract(house: Path) -> None:
    """No room but the named ones may import the store's client, Celery, HTTP, FFmpeg or the web toolkit."""
    planted = "".join(f"    import {library}\n" for library in HOMES)
    found = rooms(house)
    for folder in found.values():
        (folder / "planted.py").write_text(f"def late() -> None:\n{planted}")
    told = set(re.findall(r"-\s+(\S+)\.planted -> (\w+) ", broken(house)))
    for folder in found.values():
        (folder / "planted.py").unlink()
    assert told == {
        (room, library) for library, homes in HOMES.items() for room in found if room not in homes
    }


@pytest.mark.parametrize(
    ("module", "line", "told"),
    [
        ("pipeline/domain/planted.py", "import pipeline.cli", "pipeline.domain.planted -> pipeline.cli"),
        ("pipeline/store/planted.py", "import pipeline.clients.chat", "planted -> pipeline.clients.chat"),
        ("pipeline/run/planted.py", "import workers.config", "pipeline.run.planted -> workers.config"),
        ("workers/sweeper.py", "import workers.tasks", "workers.sweeper -> workers.tasks"),
        ("pipeline/planted.py", "", "not listed as layers"),
        ("pipeline/planted/__init__.py", "", "not listed as layers"),
        ("workers/planted.py", "", "not listed as layers"),
    ],
)
def test_an_arrow_back_up_or_a_module_without_a_place_breaks_a_contract(
    house: Path, module: str, line: str, told: str
) -> None:
    """Imports run one way, and each module and package has its place in that order."""
    path = house / module
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text((before or "") + line + "\n")
    try:
        assert told in " ".join(broken(house).split())
    finally:
        path.unlink()
        if before is not None:
            path.write_text(before)
        elif path.name == "__init__.py":
            path.parent.rmdir()
