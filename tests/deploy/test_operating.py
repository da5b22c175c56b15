"""docs/operating.md: what it names exists, and its commands do what it says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pipeline.settings.installation import Settings
from pipeline.telemetry.metrics import ALL
from pipeline.telemetry.traces import ids_of
from tests.deploy.test_alerts import RULES, SERIES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "operating.md").read_text()


def test_names_are_right() -> None:
    """Metrics, alerts, settings and files of the page are those that there are."""
    names = set(re.findall(r"\bcallscribe_[a-z_]+", TEXT))
    assert names <= set(SERIES) | {metric.name for metric in ALL}
    assert set(re.findall(r"\bCallscribe[A-Z]\w+", TEXT)) <= {rule["alert"] for rule in RULES}
    for setting in re.findall(r"CALLSCRIBE_([A-Z_0-9]+)", TEXT):
        assert setting.lower() in Settings.model_fields, setting
    for named in re.findall(r"`(deploy/[\w/.-]+)`", TEXT):
        assert (ROOT / named).is_file(), named
    deployed = {path for path in (ROOT / "deploy").rglob("*") if path.is_file() and path.suffix != ".env"}
    assert all(path.name in TEXT for path in deployed)


def test_a_trace_is_found_by_the_id_of_its_job() -> None:
    """The command of the page prints the trace id that spans have."""
    command = next(line for line in TEXT.splitlines() if "sha256sum" in line)
    job = command.split()[2]
    said = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, timeout=30
    ).stdout.strip()
    assert said == f"{ids_of(job)[0]:032x}"


@pytest.mark.parametrize("page", ["docs/operating.md", "docker-compose.yml"])
def test_the_two_ways_to_grow_are_named(page: str) -> None:
    """More processes on one machine, more machines on one Redis and one S3."""
    text = (ROOT / page).read_text().lower()
    grow = text[text.index("to grow") :]
    assert all(word in grow for word in ("machine", "more machines", "redis", "s3"))
