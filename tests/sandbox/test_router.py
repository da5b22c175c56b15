"""The AI router of the sandbox, driven as any OpenAI-compatible server is."""

from __future__ import annotations

import hashlib
import io
import json
import wave
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import httpx
import pytest

from pipeline.sandbox.app import Sandbox

FIXTURES = Path(__file__).parents[2] / "fixtures"
AUDIO = FIXTURES / "audio"
MANIFEST = json.loads((AUDIO / "MANIFEST.json").read_text(encoding="utf-8"))


def upload(router: httpx.Client, name: str, filename: str, **fields: str) -> httpx.Response:
    data = (AUDIO / name).read_bytes()
    return router.post("/audio/transcriptions", files={"file": (filename, data)}, data=fields)


def test_speech_is_really_recognised_and_nobody_waits(sandbox: Sandbox, router: httpx.Client) -> None:
    """The words of a recording come back where they were spoken; the portal answers meanwhile."""
    name = "weak-lead"
    with (
        ThreadPoolExecutor(1) as pool,
        httpx.Client(base_url=sandbox.base_url, trust_env=False, verify=False) as portal,
    ):
        heard = pool.submit(upload, router, name, "call.wav", response_format="verbose_json", language="en")
        answered = 0
        while not wait([heard], timeout=0.05).done:
            answered += portal.get("/").status_code == 200
        answer = heard.result()
    assert answered > 20, "one interpreter that recognises answers between its four sentences only"
    assert answer.status_code == 200
    body = answer.json()
    assert body["duration"] == pytest.approx(MANIFEST[name]["seconds"], abs=0.1)
    for words in MANIFEST[name]["words"]:
        assert words in body["text"]
    script = MANIFEST[name]["script"]
    assert len(body["segments"]) == len(script)
    for segment, turn in zip(body["segments"], script, strict=True):
        assert segment["start"] == pytest.approx(turn["start"], abs=0.4)
        assert segment["end"] == pytest.approx(turn["end"], abs=0.4)


def test_what_is_spoken_to_the_very_end_is_heard(router: httpx.Client) -> None:
    """A piece that ends with the last word, without any silence after it, keeps that word."""
    turn = MANIFEST["weak-lead"]["script"][-1]
    piece = io.BytesIO()
    with wave.open(str(AUDIO / "weak-lead")) as call, wave.open(piece, "wb") as cut:
        cut.setparams(call.getparams())
        call.setpos(int((turn["start"] - 0.2) * 16_000))
        cut.writeframes(call.readframes(int((turn["end"] - turn["start"] + 0.2) * 16_000)))
    files = {"file": ("piece.wav", piece.getvalue())}
    assert router.post("/audio/transcriptions", files=files).json()["text"].endswith("do not call again")


def test_silence_has_no_words(router: httpx.Client) -> None:
    """Silence is recognised as nothing, in every response format."""
    assert upload(router, "silence", "call.mp3").json()["text"] == ""
    verbose = upload(router, "silence", "call.mp3", response_format="verbose_json").json()
    assert (verbose["text"], verbose["segments"]) == ("", [])
    assert upload(router, "silence", "call.mp3", response_format="text").text == "\n"


@pytest.mark.parametrize(
    ("filename", "content", "fields", "status", "code"),
    [
        ("call.opus", b"OggS", {}, 400, "invalid_request"),
        ("call", b"OggS", {}, 400, "invalid_request"),
        ("call.mp3", b"", {}, 400, "empty_file"),
        ("call.mp3", b"<html>", {}, 400, "invalid_request"),
        ("call.mp3", b"x", {"language": "English"}, 400, "invalid_language"),
        ("call.mp3", b"x", {"model": "whisper-9"}, 404, "ai_model_not_found"),
        ("call.mp3", b"x", {"response_format": "vtt"}, 400, "invalid_request"),
        ("call.mp3", b"x" * (25 << 20) + b"x", {}, 413, "file_too_large"),
    ],
)
def test_bad_uploads_are_refused(
    router: httpx.Client, filename: str, content: bytes, fields: dict[str, str], status: int, code: str
) -> None:
    """What a provider refuses is refused here, with the raw error shape and its code."""
    answer = router.post("/audio/transcriptions", files={"file": (filename, content)}, data=fields)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_no_file_is_refused(router: httpx.Client) -> None:
    """A form without a file, and a body that is no form, are refused."""
    empty = router.post("/audio/transcriptions", files={"other": ("a", b"b")})
    assert empty.json()["error"]["code"] == "no_file"
    assert router.post("/audio/transcriptions", json={}).json()["error"]["code"] == "invalid_request"


def test_key_is_checked(sandbox: Sandbox) -> None:
    """No key and a wrong key are 401, in the shape that the route has; both headers are taken."""
    with httpx.Client(base_url=sandbox.router_url, trust_env=False, verify=False) as client:
        assert client.get("/models").json()["error"]["code"] == "MISSING_API_KEY"
        wrong = client.get("/ai/usage", headers={"x-api-key": "wrong"})
        assert (wrong.status_code, wrong.json()["success"]) == (401, False)
        assert wrong.json()["error"]["code"] == "INVALID_API_KEY"
        assert client.get("/models", headers={"x-api-key": "sandbox-router-key"}).status_code == 200


def test_ledger_knows_what_was_uploaded(sandbox: Sandbox, router: httpx.Client) -> None:
    """The ledger has the upload's digest, length, name, fields and masked key, also of a scripted failure."""
    sandbox.script.add(path="/v1/audio/*", status=503, body={"error": {"code": "model_unavailable"}})
    assert upload(router, "silence", "a.mp3", language="ru").status_code == 503
    assert upload(router, "silence", "b.mp3", language="ru").status_code == 200
    first, second = sandbox.ledger.find("/v1/audio/transcriptions")
    digest = hashlib.sha256((AUDIO / "silence").read_bytes()).hexdigest()
    assert first["sha256"] == second["sha256"] == digest
    assert (first["status"], second["status"]) == (503, 200)
    assert (first["filename"], second["filename"]) == ("a.mp3", "b.mp3")
    assert first["fields"] == {"language": "ru"}
    assert second["seconds"] == pytest.approx(12.0, abs=0.1)
    assert "router-key" not in json.dumps(first)


def test_chat_scores_the_transcript_it_is_sent(router: httpx.Client) -> None:
    """The lead question gets a score from what is said: other transcripts, other scores."""
    system = 'Answer {"quality", "score", "reason"}: "quality" and "score". In English.'

    def score(text: str) -> dict[str, object]:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        body = router.post("/chat/completions", json={"messages": messages}).json()
        assert body["model"] == "sandbox-rules"
        assert body["usage"]["total_tokens"] > len(text) // 5
        lead: dict[str, object] = json.loads(body["choices"][0]["message"]["content"])
        return lead

    said = {
        name: score("\n".join(f"[{t['speaker'].title()}] {t['text']}" for t in MANIFEST[name]["script"]))
        for name in ("sales-call", "medium-lead-m4a", "weak-lead")
    }
    assert {name: lead["quality"] for name, lead in said.items()} == {
        name: MANIFEST[name]["lead_quality"] for name in said
    }
    assert said["sales-call"]["score"] == 97
    assert "fifty users" in str(said["sales-call"]["reason"])


def test_images_are_served(sandbox: Sandbox, router: httpx.Client) -> None:
    """Image links lead to PNGs of the size asked for."""
    body = {"prompt": "a telephone", "n": 2, "size": "1024x1792", "response_format": "url"}
    data = router.post("/images/generations", json=body).json()["data"]
    assert len({item["url"] for item in data}) == 2
    image = httpx.get(data[0]["url"], trust_env=False, verify=False)
    assert image.headers["content-type"] == "image/png"
    assert image.content[16:24] == (1024).to_bytes(4, "big") + (1792).to_bytes(4, "big")


def test_legacy_routes_say_so(router: httpx.Client) -> None:
    """/v1/ai/... works and answers with the deprecation headers."""
    answer = router.get("/ai/models")
    assert answer.headers["deprecation"] == "true"
    assert answer.headers["x-deprecated-use"] == "/v1/models"
    assert "sandbox-rules" in [model["id"] for model in answer.json()["data"]]


def test_timeline_logs_take_both_forms(sandbox: Sandbox, router: httpx.Client) -> None:
    """An entry written by name or by number stands in the same timeline; an unknown deal has none."""
    sandbox.crm.add_entity("deal", 70)
    named = {"entityType": "deal", "entityId": 70, "title": "one", "text": "1"}
    numbered = {"entityTypeId": 2, "entityId": "70", "title": "two", "text": "2"}
    assert router.post("/timeline-logs", json=named).status_code == 201
    assert router.post("/timeline-logs", json=numbered).json()["success"] is True
    listed = router.get("/timeline-logs", params={"entityTypeId": 2, "entityId": 70}).json()
    assert [entry["title"] for entry in listed["data"]] == ["two", "one"]
    assert router.post("/timeline-logs", json={**named, "entityId": 71}).status_code == 404
    assert router.post("/timeline-logs", json={"title": "x"}).status_code == 400


def test_a_model_is_looked_up_by_its_id(router: httpx.Client) -> None:
    """Also where the id holds a slash; an unknown one is an error of OpenAI's shape."""
    assert router.get("/models/bitrix/bitrixgpt-5.5").json()["id"] == "bitrix/bitrixgpt-5.5"
    missing = router.get("/models/nope")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "ai_model_not_found")


def test_chat_answers_as_a_stream_where_it_is_asked_to(router: httpx.Client) -> None:
    """Chunks whose deltas are the whole answer, a reason to stop, the usage last, and the end."""
    body = {"model": "sandbox-rules", "messages": [{"role": "user", "content": "We need ten seats."}]}
    whole = router.post("/chat/completions", json=body).json()
    streaming = {**body, "stream": True, "stream_options": {"include_usage": True}}
    answer = router.post("/chat/completions", json=streaming)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *events, end = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    chunks = [json.loads(event) for event in events]
    said = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
    assert said == whole["choices"][0]["message"]["content"]
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-1] == "stop"
    assert (chunks[-1]["usage"], end) == (whole["usage"], "[DONE]")
