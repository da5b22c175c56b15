"""The guard against real connections, a real name server and real forbidden addresses, in a namespace."""

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


@pytest.fixture(scope="module")
def seen() -> Mapping[str, Any]:
    """What happened inside; fails where no namespaces can be made."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    done = subprocess.run(
        ["unshare", *user, "--net", "--mount", sys.executable, "-m", "tests.prove.network"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_the_listeners_would_notice(seen: Mapping[str, Any]) -> None:
    """A plain connection reaches the listener on every forbidden address, so silence means refusal."""
    assert seen["unreached"] == []


def test_public_addresses_are_served(seen: Mapping[str, Any]) -> None:
    """A public address is downloaded from, with the certificate checked for the name, not the address."""
    assert seen["public"] == "5 bytes"
    assert seen["wrong_name"] == "download_failed"


def test_forbidden_addresses_are_never_reached(seen: Mapping[str, Any]) -> None:
    """By literal, by odd literal, by name, by a name with a public address beside it, by callback."""
    assert seen["reached"] == []
    assert len(seen["refusals"]) > 150
    assert {key: slug for key, slug in seen["refusals"].items() if slug != "forbidden_url"} == {}


def test_redirects_never_reach_them(seen: Mapping[str, Any]) -> None:
    """The public host that redirects is all that is reached."""
    assert seen["reached_by_redirect"] == ["93.184.215.14"]


def test_rebinding_never_reaches_them(seen: Mapping[str, Any]) -> None:
    """A name that turns from public to loopback is served once, then refused; each request asks once."""
    assert seen["rebinding"] == ["5 bytes", "forbidden_url"]
    assert seen["reached_by_rebinding"] == ["93.184.215.14"]
    assert seen["asked"] == ["calls.example", "calls.example"]
