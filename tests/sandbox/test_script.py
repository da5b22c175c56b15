"""The sandbox misbehaves exactly as it is told."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from fixtures import long_call
from pipeline.sandbox.app import KEY, Sandbox
from pipeline.sandbox.script import Rule, Script

SILENCE = (Path(__file__).parents[2] / "fixtures" / "audio" / "silence").read_bytes()


def test_rules_are_used_in_order_and_used_up(sandbox: Sandbox, router: httpx.Client) -> None:
    """`skip` lets requests pass, `times` are treated, the next rule follows, then all is well again."""
    control = f"{sandbox.base_url}/_script"
    rules = [{"path": "/v1/models", "status": 429, "headers": {"Retry-After": "7"}, "skip": 1, "times": 2}]
    assert httpx.post(control, json={"rules": rules}, trust_env=False, verify=False).status_code == 200
    httpx.post(
        control,
        json={"path": "/v1/models", "status": 500, "body": "<h1>no</h1>"},
        trust_env=False,
        verify=False,
    )
    answers = [router.get("/models") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [500, 429, 429, 200, 200]
    assert answers[1].headers["retry-after"] == "7"
    assert answers[0].headers["content-type"].startswith("text/html")


def test_unknown_key_of_a_rule_is_refused(sandbox: Sandbox) -> None:
    """A misspelt rule is a 400 that names the key, so that no test passes by accident."""
    answer = httpx.post(f"{sandbox.base_url}/_script", json={"stauts": 500}, trust_env=False, verify=False)
    assert answer.status_code == 400
    assert "stauts" in answer.json()["error"]["message"]


def test_contains_and_sha256_choose_requests() -> None:
    """A rule may look into the body and at the digest of the upload."""
    script = Script()
    script.add(contains="verbose_json", status=400, times=None)
    script.add(sha256="ab", status=500, times=None)
    asked = {"method": "POST", "path": "/v1/audio/transcriptions", "query": ""}
    first = script.take(**asked, body=b"..verbose_json..", sha256="cd")
    second = script.take(**asked, body=b"json", sha256="abcd")
    assert isinstance(first, Rule)
    assert isinstance(second, Rule)
    assert (first.status, second.status) == (400, 500)
    assert script.take(**asked, body=b"json", sha256="cd") is None


@pytest.mark.parametrize(("reset", "done"), [("before", False), ("after", True), ("midway", True)])
def test_connection_is_reset(sandbox: Sandbox, router: httpx.Client, reset: str, done: bool) -> None:
    """A reset loses the answer; "before" it was not served, "after" and "midway" it was."""
    sandbox.crm.add_entity("deal", 72)
    sandbox.crm.log_entries.clear()
    sandbox.script.add(path="/v1/timeline-logs", reset=reset)
    body = {"entityType": "deal", "entityId": 72, "title": "t", "text": "x"}
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        router.post("/timeline-logs", json=body)
    assert bool(sandbox.crm.log_entries) is done
    assert sandbox.ledger.entries[-1]["status"] == "reset"
    assert router.post("/timeline-logs", json=body).status_code == 201


def test_answers_are_late_and_slow(sandbox: Sandbox, router: httpx.Client) -> None:
    """`delay_seconds` holds the answer back, `drip_seconds` lets the body out piece by piece."""
    sandbox.script.add(path="/v1/models", delay_seconds=0.3, drip_seconds=0.3)
    started = time.monotonic()
    with router.stream("GET", "/models") as answer:
        head = time.monotonic() - started
        pieces = list(answer.iter_raw())
    assert head >= 0.3
    assert time.monotonic() - started >= 0.6
    assert len(pieces) > 3


def test_recognition_is_scripted(sandbox: Sandbox, router: httpx.Client) -> None:
    """Scripted words come in the shape asked for, with the true length of the upload."""
    turns = [{"start": 0.5, "end": 1.5, "text": "hello"}, {"start": 2.0, "end": 3.0, "text": "yes"}]
    sandbox.script.add(path="/v1/audio/*", text="one two")
    sandbox.script.add(path="/v1/audio/*", segments=turns)
    sandbox.script.add(path="/v1/audio/*", text="")
    answers = [
        router.post(
            "/audio/transcriptions",
            files={"file": ("a.mp3", SILENCE)},
            data={"response_format": "verbose_json"},
        ).json()
        for _ in range(3)
    ]
    assert [answer["text"] for answer in answers] == ["one two", "hello yes", ""]
    assert [s["start"] for s in answers[1]["segments"]] == [0.5, 2.0]
    assert answers[0]["duration"] == pytest.approx(12.0, abs=0.1)


def test_chat_is_scripted(sandbox: Sandbox, router: httpx.Client) -> None:
    """A scripted chat answer replaces the rules' own."""
    sandbox.script.add(path="/v1/chat/*", text="no JSON at all")
    body = {"messages": [{"role": "user", "content": "hi"}]}
    answer = router.post("/chat/completions", json=body).json()
    assert answer["choices"][0]["message"]["content"] == "no JSON at all"


def test_scripts_and_ledger_are_cleared(sandbox: Sandbox, router: httpx.Client) -> None:
    """DELETE on /_script and /_ledger forgets."""
    router.get("/models")
    sandbox.script.add(path="*", status=500, times=None)
    for path in ("_script", "_ledger"):
        assert httpx.delete(f"{sandbox.base_url}/{path}", trust_env=False, verify=False).status_code == 200
    assert httpx.get(f"{sandbox.base_url}/_ledger", trust_env=False, verify=False).json() == {"requests": []}
    assert router.get("/models").status_code == 200


def test_long_call_is_replayed_by_its_pauses(sandbox: Sandbox, router: httpx.Client, tmp_path: Path) -> None:
    """Told to hear pauses alone, it gives every turn of a long call its place, far faster than words."""
    seconds = long_call.build(tmp_path / "long", seconds=160, channels=1)
    turns = long_call.turns(seconds)
    sandbox.script.add(path="/v1/audio/*", recognition="pauses", times=None)
    answer = router.post(
        "/audio/transcriptions",
        files={"file": ("long.wav", (tmp_path / "long").read_bytes())},
        data={"response_format": "verbose_json"},
    ).json()
    assert answer["duration"] == pytest.approx(seconds, abs=0.1)
    assert len(answer["segments"]) == len(turns) == 2 * 16
    for segment, turn in zip(answer["segments"], turns, strict=True):
        assert segment["start"] == pytest.approx(turn["start"], abs=0.5)
        assert segment["end"] == pytest.approx(turn["end"], abs=0.5)


def test_stopping_leaves_no_process() -> None:
    """A sandbox that recognised something ends its recogniser's process when it stops."""
    before = children()
    with Sandbox() as own:
        client = httpx.Client(base_url=own.router_url, headers={"x-api-key": KEY}, timeout=60, verify=False)
        with client:
            heard = client.post("/audio/transcriptions", files={"file": ("a.mp3", SILENCE)})
        assert heard.json()["text"] == ""
        started = children() - before
        assert started
    assert children() == before


def children() -> set[str]:
    """Process ids of this process's children."""
    lists = Path("/proc/self/task").glob("*/children")
    return {pid for path in lists for pid in path.read_text().split()}
