"""`callscribe golden` against a scripted chat server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli.golden import golden
from pipeline.sandbox.fixtures import GOLDEN
from tests.providers.conftest import Scripted, server

__all__ = ["server"]  # a fixture


def verdict(score: int) -> dict[str, object]:
    content = json.dumps({"quality": "high", "score": score, "reason": "r"})
    return {"choices": [{"message": {"role": "assistant", "content": content}}]}


@pytest.fixture
def two_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Scripted) -> Path:
    for name in ("en_budget_and_demo.json", "en_wrong_number.json"):
        shutil.copy(GOLDEN / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)  # away from any .env
    monkeypatch.setenv("CALLSCRIBE_CHAT_URL", f"{server.url}/v1")
    monkeypatch.setenv("CALLSCRIBE_CHAT_KEY", "k")
    return tmp_path


@pytest.mark.parametrize(("least", "code"), [("50", 0), ("80", 1)])
def test_it_reports_and_judges(server: Scripted, two_cases: Path, least: str, code: int) -> None:
    """Each case is asked once of the named model; the exit code tells whether enough agree."""
    server.answer(200, verdict(90))
    server.answer(200, verdict(90))
    ran = CliRunner().invoke(golden, ["--model", "m-9", "--cases", str(two_cases), "--least", least])
    assert (ran.exit_code != 0) == bool(code)
    assert "ok en_budget_and_demo" in ran.output
    assert "-- en_wrong_number" in ran.output
    assert "50% in the same band" in ran.output
    assert [asked.json()["model"] for asked in server.asked] == ["m-9", "m-9"]


def test_it_asks_as_the_service_does_for_a_portal(server: Scripted, two_cases: Path) -> None:
    """Provider, model and rubric are those of the portal in PORTALS_FILE; of several one is named."""
    (two_cases / "portals.toml").write_text(
        f'''
[acme]
rubric = "default"
[acme.chat]
url = "{server.url}/v1"
key = "acme-key"
model = "acme-model"
[other]
'''
    )
    cases, environment = two_cases / "cases", {"CALLSCRIBE_PORTALS_FILE": str(two_cases / "portals.toml")}
    cases.mkdir()
    shutil.copy(GOLDEN / "en_wrong_number.json", cases)
    server.answer(200, verdict(10))
    server.answer(200, verdict(10))
    unnamed = CliRunner().invoke(golden, ["--cases", str(cases)], env=environment)
    assert "name one portal of acme, other" in str(unnamed.exception)
    assert server.asked == []
    CliRunner().invoke(golden, ["--cases", str(cases), "--portal", "acme"], env=environment)
    asked = server.asked[0]
    assert (asked.json()["model"], asked.headers["authorization"]) == ("acme-model", "Bearer acme-key")
    assert "criteria" in json.dumps(asked.json()["response_format"])  # the question of a rubric
