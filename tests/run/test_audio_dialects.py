# ruff: noqa: E501  (a table of what real servers answer)
"""Calls over a real store, heard by recognisers of many dialects: no call is lost, nothing is paid a third time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.domain.job import Job, Request, Source
from pipeline.sandbox.app import Sandbox
from pipeline.steps import retry
from tests.installation import Open, accept, recording, run

HEAR = "*/audio/transcriptions"
SAID = "we need a phone system for fifty users"


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedule in hundredths."""
    monkeypatch.setattr(retry, "AMBIGUOUS_GAPS", (0.05, 0.3, 3.0, 18.0))
    monkeypatch.setattr(retry, "GAPS", (0.01, 0.02))


def heard(opened: Open, sandbox: Sandbox, **settings: Any) -> tuple[Job, Any]:
    """A call of one channel when it has ended, and the body of its callback."""
    tools = opened(timeline="off", glossary="Bitrix24,CRM", **settings)
    url = f"{sandbox.base_url}/hook/audio"
    sandbox.script.add(path="/hook/audio", times=None, status=200, body={"status": "success"})
    link = sandbox.crm.link(sandbox.base_url, recording(sandbox))
    request = Request(file_url=link, language="uz", callback_url=url, error_callback_url=url)
    job = accept(tools, request, Source.ENGINE, "audio")
    (done,) = run(tools, job, until=lambda job: "callback" in job.facts)
    (sent,) = sandbox.ledger.find("/hook/audio")
    return done, sent["json"]


def forms(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [entry["fields"] for entry in sandbox.ledger.find(HEAR)]


def first(sandbox: Sandbox, **rule: Any) -> None:
    """Before what the sandbox says by default."""
    sandbox.script.add(path=HEAR, **rule)
    sandbox.script.rules.insert(0, sandbox.script.rules.pop())


REFUSED = {
    "a language, in the router's shape": ('name="language"', {"error": {"code": "invalid_language", "message": "no"}}),
    "a language, in its other shape": (
        'name="language"', {"success": False, "error": {"code": "invalid_request", "message": "language uz is unknown"}},
    ),
    "hints": ('name="prompt"', {"error": {"message": "Unsupported parameter: 'prompt'", "param": None, "code": "400"}}),
    "times": ("timestamp_granularities", {"detail": [{"loc": ["body", "timestamp_granularities[]"], "msg": "x"}]}),
    "the form": ("verbose_json", {"error": {"message": "response_format 'verbose_json' is not compatible"}}),
    "whatever is optional": ('name="language"', {"error": {"message": "Bad request"}}),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_no_call_is_lost_for_an_optional_field(opened: Open, sandbox: Sandbox, name: str) -> None:
    """The refused field gives way within the step, and the portal has its transcript."""
    contains, body = REFUSED[name]
    first(sandbox, contains=contains, times=None, status=400, body=body)
    done, sent = heard(opened, sandbox)
    assert done.status == "done"
    assert SAID in sent["result"][0]
    assert len(forms(sandbox)) <= 3


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (f'data: {{"type": "transcript.text.done", "text": "{SAID}"}}\n\n', "text/event-stream"),
        (SAID, "text/plain"),
        (f"1\n00:00:00,000 --> 00:00:03,000\n{SAID}\n", "text/plain"),
        (json.dumps({"success": True, "data": {"text": SAID}}), "application/json"),
        (json.dumps({"text": f"language English<asr_text>{SAID}"}), "application/json"),
        (json.dumps({"text": f"<|startoftranscript|><|en|>{SAID}<|endoftext|>"}), "application/json"),
        (json.dumps({"segments": [{"start": "0.0", "end": "3.0", "text": SAID}]}), "application/json"),
    ],
)
def test_a_paid_answer_is_read_whatever_it_comes_in(
    opened: Open, sandbox: Sandbox, body: str, kind: str
) -> None:
    """It is asked for once, and the portal reads what was said, and nothing else."""
    first(sandbox, times=None, status=200, body=body, headers={"content-type": kind})
    done, sent = heard(opened, sandbox)
    assert done.status == "done"
    assert sent["result"] == [SAID]
    uploads = [entry["sha256"] for entry in sandbox.ledger.find(HEAR)]
    assert len(uploads) == len(set(uploads))


def test_turns_of_one_channel_are_told(opened: Open, sandbox: Sandbox) -> None:
    """A recogniser that diarizes is asked who speaks, and its turns reach the portal."""
    parts = [
        {"start": 0.2, "end": 1.4, "text": "hello what can I do for you", "speaker": "SPEAKER_01"},
        {"start": 1.6, "end": 3.0, "text": SAID, "speaker": "SPEAKER_00"},
    ]
    text = " ".join(str(part["text"]) for part in parts)
    first(sandbox, times=None, status=200, body={"text": text, "segments": parts})
    _, sent = heard(opened, sandbox, transcription_diarize="yes")
    assert forms(sandbox)[0]["diarize"] == "true"
    assert sent["result"][0].splitlines() == [
        "[Speaker 1] hello what can I do for you",
        f"[Speaker 2] {SAID}",
    ]


def test_an_answer_that_is_never_readable_ends_in_one_error(opened: Open, sandbox: Sandbox) -> None:
    """Each upload is paid twice at most, and the portal hears why."""
    first(sandbox, times=None, status=200, body={"odd": True})
    done, sent = heard(opened, sandbox)
    assert done.status == "failed"
    assert "holds no text" in sent["message"]
    uploads = [entry["sha256"] for entry in sandbox.ledger.find(HEAR)]
    assert max(uploads.count(each) for each in uploads) == 2
