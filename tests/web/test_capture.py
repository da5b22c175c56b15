"""CAPTURE_DIR."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.replay import read
from pipeline.domain.job import Category, Delivery, Job, JobId, PortalId, Request, Source
from pipeline.settings.installation import Settings
from pipeline.telemetry import captures
from pipeline.telemetry.captures import masked
from tests.web.conftest import PORTAL, audio_request, running


def captured(folder: Path) -> dict[str, Any]:
    """The one fixture there, as `replay` reads it."""
    (path,) = folder.glob("*.json")
    return read(str(path))


def test_requests_become_fixtures(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    """A captured request is a fixture with the portal's shapes, and none of its words, links or tokens."""
    folder = tmp_path / "captured"
    request = audio_request(
        auth={"access_token": "very-secret-1"},
        ttl="840",
        payload_markers={"language": "Русский", "type": "audio/mpeg", "manager_name": "Иван Петров"},
        context=[{"role": "user", "content": "Call +7 900 1234567"}],
        prompt={
            "file": f"{PORTAL}/x?token=secret-link",
            "fields": {"prompt": "Vodafone"},
            "fileExtension": "mp3",
        },
    )
    with running(make_settings(capture_dir=folder)) as client:
        for _ in range(2):
            assert client.engine("audio", request).status_code == 202
    fixture = captured(folder)
    assert fixture["body"] == request | {
        "auth": None,
        "callbackUrl": "{callback}",
        "errorCallbackUrl": "{error_callback}",
        "payload_markers": {"language": "xxxxxxx", "type": "audio/mpeg", "manager_name": "xxxx xxxxxx"},
        "context": [{"role": "user", "content": "xxxx +0 000 0000000"}],
        "prompt": {"file": "{file}", "fields": {"prompt": "xxxxxxxx"}, "fileExtension": "mp3"},
    }
    assert (fixture["recording"], fixture["expect"]) == ("sales-call", {"outcome": "success"})
    assert folder.stat().st_mode & 0o077 == 0


def test_what_the_portal_took_is_captured_with_what_it_asked(tmp_path: Path) -> None:
    """The callback stands beside its request, masked alike; without a request there is nothing to add to."""
    body = json.dumps(audio_request()).encode()
    job = Job(
        id=JobId("job_x"), portal=PortalId("portal"), category=Category.AUDIO, source=Source.ENGINE,
        accepted_at=0, deadline=1, request=Request(), digest=hashlib.sha256(body).hexdigest(),
    )  # fmt: skip
    sent = Delivery(
        at=1.0, kind="success", status=200, answer='{"status": "success", "data": {"id": 7}}', accepted=True
    )
    said = {"result": ["[Manager] My number is 900"], "lead": {"quality": "high", "score": 88, "reason": "A"}}
    captures.capture_callback(tmp_path, job, said, sent)
    assert list(tmp_path.iterdir()) == []
    captures.capture_request(tmp_path, Category.AUDIO, body, status=202)
    captures.capture_callback(tmp_path, job, said, sent)
    assert captured(tmp_path)["callback"] == {
        "kind": "success",
        "body": {
            "result": ["[xxxxxxx] xx xxxxxx xx 000"],
            "lead": {"quality": "high", "score": 88, "reason": "x"},
        },
        "answer": {"status": 200, "body": {"status": "success", "data": {"id": 7}}},
    }
    captures.capture_request(tmp_path, Category.AUDIO, body, status=202)  # the portal asks again
    assert "callback" in captured(tmp_path)


def test_refusals_are_captured_too(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    """What was refused is what one wants to see most."""
    with running(make_settings(capture_dir=tmp_path / "captured")) as client:
        assert client.engine("text", audio_request(prompt=None, category="text")).status_code == 400
        assert client.engine("text", b"not json").status_code == 400
    fixture = captured(tmp_path / "captured")
    assert fixture["expect"] == {"outcome": "refused"}
    assert fixture["answer"] == {"status": 400}


def test_captures_are_bounded(
    make_settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full folder takes no more, and requests are served as before."""
    monkeypatch.setattr(captures, "MOST_FILES", 3)
    with running(make_settings(capture_dir=tmp_path / "captured")) as client:
        for number in range(5):
            body = audio_request(callbackUrl=f"{PORTAL}/cb?hash=n{number}")
            assert client.engine("audio", body).status_code == 202
    assert len(list((tmp_path / "captured").iterdir())) == 3


def test_keys_that_say_something_are_masked() -> None:
    """Keys are names of fields, and stay; one that is a sentence does not."""
    assert masked(json.loads('{"Ivan, +7 900": {"stage_id": 5, "x": [true, null, 1.5, 79001234567]}}')) == {
        "xxxx, +0 000": {"stage_id": 5, "x": [True, None, 1.5, 0]}
    }
