"""How replay judges an outcome."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.cli.replay import Run as Sent
from pipeline.cli.replay import differences, outcome, stage_times
from tests.cli.conftest import Run

SUCCESS = {
    "accepted": True,
    "answer": {"status": 202},
    "outcome": "success",
    "result": ["Our budget is fine"],
    "error": None,
    "expect": {
        "outcome": "success",
        "words": ["budget"],
        "codec": "mp3",
        "seconds": 10.0,
        "lead_quality": "low",
    },
}
RECORD = {
    "media": {"codec": "mp3", "seconds": 10.04},
    "lead": {"quality": "low"},
    "events": [
        {"step": "accept", "took": None},
        {"step": "transcribe:0", "took": 1.5},
        {"step": "transcribe:1", "took": 1.0},
        {"step": "merge", "took": 0.004},
    ],
}


def sent(job: dict[str, Any], record: dict[str, Any] | None = None) -> Sent:
    return Sent(
        fixture="one", hash="h", sent=0.0, job={**SUCCESS, **job}, record=RECORD if record is None else record
    )


def test_as_expected() -> None:
    """Outcome, words, codec, length and lead as the fixture says: no difference."""
    assert differences(sent({})) == []
    assert outcome(sent({})) == "success"


@pytest.mark.parametrize(
    ("job", "record", "says"),
    [
        (
            {"outcome": "error", "error": {"code": 500, "message": "away"}},
            None,
            "expected success, got error: away",
        ),
        ({"outcome": None}, None, "expected success, got None"),
        ({"accepted": False, "answer": {"status": 404}}, None, "expected success, got refused"),
        (
            {"accepted": False, "answer": {"status": 400, "body": "why"}},
            None,
            "expected success, got refused: why",
        ),
        ({"result": ["nothing"]}, None, "not heard: budget"),
        ({}, {**RECORD, "media": {"codec": "flac", "seconds": 10.0}}, "expected mp3, got flac"),
        ({}, {**RECORD, "media": {"codec": "mp3", "seconds": 9.0}}, "expected 10.0 s of audio, got 9.0"),
        ({}, {**RECORD, "lead": None}, "expected a low lead, got None"),
    ],
)
def test_differences_are_named(job: dict[str, Any], record: dict[str, Any] | None, says: str) -> None:
    """Each way to differ is told with what was expected."""
    assert differences(sent(job, record)) == [says]


def test_an_error_is_judged_by_its_code() -> None:
    """An expected error with another code differs."""
    job = {"outcome": "error", "result": None, "error": {"code": 415, "message": "no"}}
    assert differences(sent({**job, "expect": {"outcome": "error", "code": 415}}, {})) == []
    assert differences(sent({**job, "expect": {"outcome": "error", "code": 422}}, {})) == [
        "expected code 422"
    ]
    assert outcome(sent(job)) == "error 415"


def test_stage_times_add_up_parts() -> None:
    """The seconds of a stage's several steps are one figure."""
    assert stage_times(RECORD) == "transcribe 2.50 merge 0.00"
    assert stage_times({}) == "-"


def test_what_is_no_request_is_wrong_usage(run: Run) -> None:
    """A fixture that is not there, and an engine URL that is none, exit 2."""
    assert run("replay", "nothing-such").code == 2
    assert run("replay", "text", "--to", "https://example.com/").code == 2
