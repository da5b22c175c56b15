"""Logs: what is in them, and what never is."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from pipeline.settings.installation import Settings
from pipeline.settings.portals import load_portals
from pipeline.telemetry import logs


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What is logged from now on, read back."""
    stream = io.StringIO()
    logs.configure("json", secrets=["known-secret-1", "x"], stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logs.configure("json")


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("https://p.example/file?token=abc&x=1 gone", "https://p.example/file?*** gone"),
        ("GET /rest/1/s3cr3t/crm.deal.get.json", "GET /rest/1/***/crm.deal.get.json"),
        ("POST /engines/abcdefghijklmnopqrstuvwx/audio", "POST /engines/***/audio"),
        ("POST /events/abcdefghijklmnopqrstuvwx", "POST /events/***"),
        ("redis://user:pass@host:1/0", "redis://***@host:1/0"),
        ("the known-secret-1, twice: known-secret-1", "the ***, twice: ***"),
        ("https://p.example/a call.mp3?sign=abc", "https://p.example/a call.mp3?***"),
        ("is it? yes/no? x stays", "is it? yes/no? x stays"),
    ],
)
def test_secrets_are_taken_out(lines: Callable[[], list[dict[str, Any]]], said: str, written: str) -> None:
    """Of our own lines and of libraries', in texts, fields, lists, and traces."""
    log = structlog.get_logger()
    log.info("event", field=said, many=[said], inner={"deep": (said,)})
    logging.getLogger("library").warning("%s", said)
    try:
        raise ValueError(said)
    except ValueError:
        log.exception("broke")
        logging.getLogger("library").exception("theirs")
    ours, foreign, broken, theirs = lines()
    assert (ours["field"], ours["many"], ours["inner"]) == (written, [written], {"deep": [written]})
    assert foreign["event"] == written
    assert broken["exception"].endswith(f"ValueError: {written}")
    assert theirs["exception"].endswith(f"ValueError: {written}")


def test_what_becomes_a_secret_is_taken_out_from_then_on(lines: Callable[[], list[dict[str, Any]]]) -> None:
    """A text that was written before it was known to be a secret is written no more."""
    log = structlog.get_logger()
    log.info("before", field="known-secret-2")
    logs.REDACTOR.learn(["known-secret-2"])
    log.info("after", field="known-secret-2")
    assert [line["field"] for line in lines()] == ["known-secret-2", "***"]


def test_lines_tell_their_moment(lines: Callable[[], list[dict[str, Any]]]) -> None:
    """In UTC, to the microsecond, as ISO 8601 has it."""
    begun = datetime.now(UTC)
    structlog.get_logger().info("now")
    (line,) = lines()
    assert line["timestamp"].endswith("Z")
    assert begun <= datetime.fromisoformat(line["timestamp"]) <= datetime.now(UTC)


def test_strangers_fill_no_log(lines: Callable[[], list[dict[str, Any]]]) -> None:
    """What is no HTTP is no line of its own; what else the server says is."""
    for said in ("Invalid HTTP request received.", "Unsupported upgrade request.", "Started"):
        logging.getLogger("uvicorn.error").warning(said)
    assert [line["event"] for line in lines()] == ["Started"]


def test_libraries_do_not_tell_what_they_set_up(lines: Callable[[], list[dict[str, Any]]]) -> None:
    """The first lines of a start are our own, not those of the archive's library."""
    logging.getLogger("alembic.runtime.plugins").info("setup plugin alembic.autogenerate.schemas")
    logging.getLogger("alembic.runtime.migration").warning("heard")
    assert [line["event"] for line in lines()] == ["heard"]


def test_a_jobs_id_is_in_every_line(lines: Callable[[], list[dict[str, Any]]]) -> None:
    """What is bound to the context stands in the lines of libraries too."""
    with structlog.contextvars.bound_contextvars(job="job_1"):
        structlog.get_logger().info("ours")
        logging.getLogger("library").warning("theirs")
    structlog.get_logger().info("after")
    assert [line.get("job") for line in lines()] == ["job_1", "job_1", None]
    assert {"event", "level", "timestamp"} <= set(lines()[0])


def test_every_secret_setting_is_known(make_settings: Callable[..., Settings]) -> None:
    """Each secret of the settings and portals is among what is taken out, parts of URLs and lists too."""
    settings = make_settings(
        portal_token="a" * 22 + "," + "b" * 22,
        portal_application_token="apptoken-1",
        router_key="router-key-1",
        bitrix24_webhook="https://p.example/rest/1/hook-secret-1/",
        redis_url="redis://:redis-pass-1@host/0",
        webhook_secret="whsec-1234567",
    )
    known = logs.secrets_of(settings, load_portals(settings))
    expected = {
        "a" * 22,
        "b" * 22,
        "apptoken-1",
        "router-key-1",
        "hook-secret-1",
        "redis-pass-1",
        "whsec-1234567",
    }
    assert expected <= known


def test_text_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """The other format is a plain line, to the standard error output of the moment."""
    logs.configure("text")
    structlog.get_logger().info("job_accepted", job="job_1")
    try:
        raise ValueError("https://p.example/?token=abc")
    except ValueError:
        logging.getLogger("library").exception("broke")
    logs.configure("json")
    written = capsys.readouterr().err
    assert "job_accepted" in written
    assert "ValueError: https://p.example/?***" in written


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "is_json"), [(io.StringIO(), True), (_Terminal(), False)])
def test_people_get_text_unless_told_otherwise(stream: io.StringIO, is_json: bool) -> None:
    """On a terminal lines are text, anywhere else JSON."""
    logs.configure(stream=stream)
    structlog.get_logger().info("job_accepted", job="job_1")
    logs.configure("json")
    assert stream.getvalue().startswith("{") is is_json
    assert "job_accepted" in stream.getvalue()
