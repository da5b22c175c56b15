"""Two hosts share a Redis, an object store and the archive's database; one is cut off, and comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SERVER = Path(sys.prefix) / "s3" / "node_modules" / ".bin" / "s3rver"
pytestmark = pytest.mark.timeout(900)  # the first one waits for all of it: two minutes
ALONE = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]


@pytest.fixture(scope="module")
def seen() -> Mapping[str, Any]:
    """What happened inside, where each guarantee was checked; fails where no namespaces can be made."""
    assert SERVER.exists(), "the S3 server is not installed: `make prove` does it"
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    done = subprocess.run(
        ["unshare", *user, *ALONE, sys.executable, "-m", "tests.prove.hosts", str(SERVER)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_a_host_that_is_off_for_less_than_a_lease_goes_on(seen: Mapping[str, Any]) -> None:
    """Cut off in the middle of paid calls, it takes their answers when it is back: nothing is paid again."""
    assert seen["shortly"]["held"] >= 3
    assert (seen["shortly"]["repaid"], seen["shortly"]["repeated"]) == (0, 0)


def test_the_other_host_does_all_while_one_is_off(seen: Mapping[str, Any]) -> None:
    """For longer than a lease: all it had, and what comes, ends meanwhile; no more is paid again than what it
    was waiting for, and that is counted."""
    long = seen["for_long"]
    assert long["held"] >= 3
    assert long["off_seconds"] > 8
    assert long["ended_meanwhile"] == 33
    assert long["repaid"] <= long["held"]
    assert long["own_count"] >= long["repaid"]


def test_a_host_that_comes_back_changes_nothing_that_ended(seen: Mapping[str, Any]) -> None:
    """Its old work is refused to it, it pays for none of it, and it takes its part of the new calls."""
    assert seen["for_long"]["repaid_after_it_came_back"] == 0
    assert seen["outcomes"] == {"success": seen["calls"] - seen["for_long"]["entries"]}
    assert seen["own_folders"] == [], "audio lay on a host"
