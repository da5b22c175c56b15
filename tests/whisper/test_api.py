"""`callscribe whisper` as clients of OpenAI's API meet it."""

from __future__ import annotations

import re
import signal
import threading
import wave
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.system.processes import ROOT, short_folder, until
from tests.whisper.conftest import KEY, Served

AUDIO = ROOT / "fixtures" / "audio"
CORPUS = ROOT / "bench" / "truth" / "corpus"


def plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """A second of silence: heard quickly."""
    path = tmp_path / "second.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))
    return path


def test_it_hears_russian_and_tells_words_and_segments_in_their_order(whisper: Served) -> None:
    """verbose_json has the language found, the length, segments and words with times that rise."""
    answer = whisper.ask(
        CORPUS / "ru-voicemail.flac",
        response_format="verbose_json",
        **{"timestamp_granularities[]": ["word", "segment"]},
    )
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert "оставьте сообщение" in plain(body["text"])
    assert body["language"] == "ru"
    assert body["duration"] == pytest.approx(26.0, abs=0.01)
    assert body["usage"] == {"type": "duration", "seconds": body["duration"]}
    for items in (body["segments"], body["words"]):
        times = [time for item in items for time in (item["start"], item["end"])]
        assert times == sorted(times)
        assert 0 <= times[0] < times[-1] <= 26.0
    assert {
        "id",
        "seek",
        "tokens",
        "temperature",
        "avg_logprob",
        "compression_ratio",
        "no_speech_prob",
    } < set(body["segments"][0])
    told = [word["word"] for word in body["words"]]
    assert plain(" ".join(told)) == plain(body["text"])


def test_the_plain_forms(whisper: Served) -> None:
    """json, text, srt and vtt hold the same words; times are only where they were asked for."""
    file = AUDIO / "weak-lead"  # without an extension, as portals deliver it
    as_json = whisper.ask(file, language="en").json()
    assert set(as_json) == {"text", "usage"}
    assert "not interested" in plain(as_json["text"])
    text = whisper.ask(file, language="English", response_format="text", temperature="0").text
    assert plain(text) == plain(as_json["text"])
    srt = whisper.ask(file, language="en", response_format="srt").text
    assert re.match(r"1\n00:00:0\d,\d{3} --> 00:00:\d\d,\d{3}\n\w", srt)
    vtt = whisper.ask(file, language="en", response_format="vtt").text
    assert vtt.startswith("WEBVTT\n\n00:00:0")


@pytest.mark.parametrize(
    ("fields", "status", "param", "code"),
    [
        ({"response_format": "xml"}, 400, "response_format", "unsupported_value"),
        ({"language": "Klingon"}, 400, "language", "invalid_language_format"),
        ({"temperature": "2"}, 400, "temperature", None),
        ({"temperature": "warm"}, 400, "temperature", None),
        ({"timestamp_granularities[]": "letter"}, 400, "timestamp_granularities", "unsupported_value"),
        ({"model": "gpt-transcribe"}, 404, "model", "model_not_found"),
    ],
)
def test_a_wrong_field_is_named(
    whisper: Served, second: Path, fields: dict[str, str], status: int, param: str, code: str | None
) -> None:
    """A field that cannot be served is refused in OpenAI's shape, by its name, before anything is heard."""
    answer = whisper.ask(second, **fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (status, param, code)
    assert error["type"] == "invalid_request_error"
    assert error["message"]


def test_what_is_no_recording_is_refused(whisper: Served, tmp_path: Path) -> None:
    """A page, a playlist that names a local file, nothing at all, and too much of it: each its own answer."""
    secret = tmp_path / "secret.wav"
    secret.write_bytes((AUDIO / "weak-lead").read_bytes())
    playlist = tmp_path / "playlist"
    playlist.write_text(f"ffconcat version 1.0\nfile {secret}\n")
    for path in (AUDIO / "not-audio", playlist):
        answer = whisper.ask(path)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "file"
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate((26 << 20) + 1)
    answer = whisper.ask(large)
    assert (answer.status_code, answer.json()["error"]["param"]) == (413, "file")
    headers = {"authorization": f"Bearer {KEY}"}
    missing = whisper.http.post("/audio/transcriptions", files={"other": b"x"}, headers=headers)
    assert (missing.status_code, missing.json()["error"]["param"]) == (400, "file")


def test_a_key_that_is_set_is_asked_for(whisper: Served, second: Path) -> None:
    """Without the key and with another one nothing is heard and no model is told."""
    for key, code in ((None, None), ("another", "invalid_api_key")):
        answer = whisper.ask(second, key=key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)
    assert whisper.http.get("/models").status_code == 401


def test_models_are_told_and_asked_for_by_name(whisper: Served, second: Path) -> None:
    """The model's name and whisper-1 are listed, found by id, and taken in a request; others are 404."""
    headers = {"authorization": f"Bearer {KEY}"}
    listed = [item["id"] for item in whisper.http.get("/models", headers=headers).json()["data"]]
    assert listed == ["base", "whisper-1"]
    for name in listed:
        assert whisper.http.get(f"/models/{name}", headers=headers).json()["id"] == name
        assert whisper.ask(second, model=name).status_code == 200
    gone = whisper.http.get("/models/tiny", headers=headers)
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "model_not_found")
    assert whisper.http.get("/nothing", headers=headers).json()["error"]["type"] == "invalid_request_error"


def test_sigterm_finishes_the_recording_at_hand_and_tells_those_that_wait() -> None:
    """Asked to leave, it answers what it hears, refuses what waits with 503 and a time, and exits 0."""
    with short_folder() as folder:
        served = Served(folder, whisper_model="base")
        answers: list[httpx.Response] = []
        threads = [
            threading.Thread(target=lambda: answers.append(served.ask(AUDIO / "weak-lead", key=None)))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        health = served.url.removesuffix("/v1") + "/health"
        until(lambda: httpx.get(health, trust_env=False).json()["recordings"] == 3, seconds=60)
        assert served.process.end(signal.SIGTERM) == 0
        for thread in threads:
            thread.join(60)
        served.http.close()
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses[1:] == [503, 503]
        assert statuses[0] in (200, 503)  # 503 where a busy machine took longer than it may
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert refused.json()["error"]["type"] == "server_error"
        assert int(refused.headers["retry-after"]) > 0
