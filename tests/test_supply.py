"""What is installed is what was locked."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
LOCKS = [ROOT / "requirements.lock", ROOT / "requirements-dev.lock", ROOT / "requirements-whisper.lock"]


def locked(path: Path) -> dict[str, list[str]]:
    """Each pinned requirement of a lock, and its hashes."""
    entries: dict[str, list[str]] = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", path.read_text().replace("\\\n", " ")):
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", block):
            name = re.sub(r"[-_.]+", "-", match[1]).lower()
            entries.setdefault(name, []).extend(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))
    return entries


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_dependency_is_pinned_with_hashes(path: Path) -> None:
    """No line of a lock is without version and sha256, and none names a server or a file."""
    entries = locked(path)
    assert len(entries) > 30
    assert [name for name, hashes in entries.items() if not hashes] == []
    assert not re.search(r"https?://|file:|--index|--find-links|-e ", path.read_text())


def test_the_locks_hold_what_the_project_asks_for() -> None:
    """Each direct dependency is in the lock that installs it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for lines, path in (
        (project["dependencies"] + extras["sandbox"], LOCKS[0]),
        (extras["dev"], LOCKS[1]),
        (project["dependencies"] + extras["whisper"], LOCKS[2]),
    ):
        names = {re.sub(r"[-_.]+", "-", Requirement(line).name).lower() for line in lines}
        assert names - set(locked(path)) == set()
    assert set(locked(LOCKS[0])) <= set(locked(LOCKS[1]))


def test_a_whisper_is_added_to_what_is_there() -> None:
    """The lock of the extra `whisper` changes no version that another lock has installed."""
    versions = [
        dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;]+)(?= )", path.read_text(), re.M))
        for path in LOCKS
    ]
    shared = versions[1].keys() & versions[2].keys()
    assert len(shared) > 30
    assert {name for name in shared if versions[1][name] != versions[2][name]} == set()
