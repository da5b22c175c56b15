"""What is installed is what was locked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
LOCKS = [ROOT / f"requirements{part}.lock" for part in ("", "-dev", "-whisper", "-sandbox")]


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


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_python_gets_what_was_tested(path: Path) -> None:
    """A dependency has one version on every Python: tests run on one of them, the image on another.

    NumPy has two, since those for 3.12 and later are not made for 3.11 any more, and so what draws with it.
    """
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;]+)", path.read_text(), re.M):
        found.setdefault(name, set()).add(version)
    assert {name for name, versions in found.items() if len(versions) > 1} <= {"numpy", "contourpy"}


def test_the_locks_hold_what_the_project_asks_for() -> None:
    """Each direct dependency is in the lock that installs it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    offered = [*extras["s3"], *extras["postgresql"], *extras["otel"]]
    for lines, path in (
        (project["dependencies"] + offered, LOCKS[0]),  # an image holds what the documents offer
        (project["dependencies"] + extras["sandbox"], LOCKS[3]),
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


def test_production_installs_no_sandbox() -> None:
    """What only the stand-ins need is neither in the lock of the service nor in its image."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {Requirement(line).name.lower() for line in project["optional-dependencies"]["sandbox"]}
    assert names & set(locked(LOCKS[0])) == set()
    assert names <= set(locked(LOCKS[3]))
    last = (ROOT / "Dockerfile").read_text(encoding="utf-8").rpartition("\nFROM ")[2]
    assert "COPY --from=build /venv" in last


def supply(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "docs" / "supply.py", *args], capture_output=True, text=True, check=False
    )


def test_notices_and_sbom_are_those_of_the_lock() -> None:
    """Each package of the lock is in both, and GPL code is told; `make notices` renews them."""
    versions = set(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;]+)", LOCKS[0].read_text(), re.M))
    page = (ROOT / "THIRD_PARTY_NOTICES.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\S+) \| (\d\S*) \| (.+) \|$", page, re.M)
    assert {(name, version) for name, version, _ in rows} == versions
    assert "x264" in page
    assert "General Public License" in " ".join(page.split())
    bom = json.loads((ROOT / "sbom.cdx.json").read_text(encoding="utf-8"))
    assert {(each["name"], each["version"]) for each in bom["components"]} == versions
    assert all(each["externalReferences"][0]["hashes"] for each in bom["components"])
    assert supply("notices").stdout.count("\n") == page.count("\n")


def test_an_audit_that_looked_at_nothing_fails(tmp_path: Path) -> None:
    """No report, an empty one, and one of skipped packages prove nothing; one of the whole lock does."""
    report = tmp_path / "report.json"
    assert supply("audited", str(report)).returncode != 0
    names = list(locked(LOCKS[0]))
    for listed, good in (
        ([], False),
        ([{"name": name, "skip_reason": "not found"} for name in names], False),
        ([{"name": name, "version": "1", "vulns": []} for name in names], True),
    ):
        report.write_text(json.dumps({"dependencies": listed}))
        assert (supply("audited", str(report)).returncode == 0) is good


def test_a_release_states_where_its_files_come_from() -> None:
    """The recipe builds by the Makefile, attests origin and SBOM of wheel and image, and may do no more."""
    text = (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
    recipe = yaml.safe_load(text)
    assert recipe["permissions"] == {}
    (job,) = recipe["jobs"].values()
    assert set(job["permissions"]) == {"contents", "packages", "id-token", "attestations"}
    used = [step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step]
    assert used.count("actions/attest-build-provenance") == 2
    assert "actions/attest-sbom" in used
    assert {name.partition("/")[0] for name in used} == {"actions", "docker"}
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    called = set(re.findall(r"\bmake ([a-z]+)", " ".join(step.get("run", "") for step in job["steps"])))
    assert {"test", "dist"} <= called <= targets


def test_what_make_is_told_to_do_it_does() -> None:
    """No target counts as done because a folder has its name."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.findall(r"^\.PHONY: (.*)$", text, re.M)[0].split())
    assert set(re.findall(r"^([a-z]+):", text, re.M)) == phony


def test_the_image_installs_the_wheel_and_nothing_beside_it() -> None:
    """The Dockerfile builds it as `make dist` does, and copies neither source nor fixtures into the image."""
    stages = (ROOT / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")
    built = next(stage for stage in stages if stage.partition("\n")[0].endswith(" AS build"))
    assert "-m hatchling build -t wheel" in built
    assert "/wheels/*.whl" in built
    copied = [line for stage in stages for line in stage.splitlines() if line.startswith("COPY --from")]
    assert copied
    assert all(re.fullmatch(r"COPY --from=\w+ /venv /venv", line) for line in copied)
