"""Calls from elsewhere than a portal."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.domain.job import Entity, JobId, Source
from pipeline.domain.plain import from_plain
from pipeline.domain.recording import Fetched
from pipeline.settings.installation import Settings
from pipeline.storage.blobs import Blobs
from pipeline.store import Store
from pipeline.web.uploads import workplace
from tests.web.conftest import Client, running

URL = "https://files.example/call.mp3"


def test_a_call_by_link(client: Client, store: Store) -> None:
    """JSON with a link gives 202 {"id"}, and a job for a day that knows where its score goes."""
    answer = client.v1(
        "POST",
        "/v1/calls",
        json={"url": URL, "entity": {"type": "deal", "id": 7}, "language": "ru", "prompt": "names"},
    )
    assert answer.status_code == 202
    job = store.load(JobId(answer.json()["id"]))
    assert (job.source, job.ttl) == (Source.API, pytest.approx(86_400))
    assert (job.request.file_url, job.request.entity) == (URL, Entity(type="deal", id=7))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": "http://files.example/call.mp3"}, "url"),
        ({"url": "https://127.0.0.1/call.mp3"}, "url"),
        ({"url": "https://[::1]/call.mp3"}, "url"),
        ({"url": "https://user:pass@files.example/"}, "url"),
        ({"url": URL, "callback_url": "http://169.254.169.254/"}, "callback_url"),
        ({"url": URL, "entity": {"type": "dog", "id": 1}}, "entity.type"),
        ({"url": URL, "portal": "nobody"}, "portal"),
        ({"url": URL, "portal": 5}, "portal"),
    ],
)
def test_a_bad_call_is_a_400(client: Client, store: Store, body: Any, field: str) -> None:
    """What cannot be served is refused with the field's name, and leaves no record."""
    answer = client.v1("POST", "/v1/calls", json=body)
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == [field]
    assert store.page() == []


def test_the_same_key_is_the_same_job(client: Client, store: Store) -> None:
    """An Idempotency-Key gives one job for one body, and 409 for another body."""
    key = {"Idempotency-Key": "order-7"}
    first = client.v1("POST", "/v1/calls", json={"url": URL}, headers=key)
    again = client.v1("POST", "/v1/calls", json={"url": URL}, headers=key)
    assert first.json() == again.json()
    other = client.v1("POST", "/v1/calls", json={"url": URL + "2"}, headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_conflict")
    assert len(store.page()) == 1
    without = {client.v1("POST", "/v1/calls", json={"url": URL}).json()["id"] for _ in range(2)}
    assert len(without) == 2


def test_an_upload_is_kept_before_it_is_accepted(client: Client, store: Store, tmp_path: Path) -> None:
    """A recording in a form lies on the storage, whole, and its record needs no fetch."""
    recording = bytes(range(256)) * 12_000
    answer = client.v1(
        "POST",
        "/v1/calls",
        files={"file": ("Запись.mp3", recording, "audio/mpeg")},
        data={"entity_type": "lead", "entity_id": "9", "prompt": "имена"},
    )
    assert answer.status_code == 202
    job = store.load(JobId(answer.json()["id"]))
    fetched = from_plain(Fetched, job.facts["fetch"])
    assert fetched.sha256 == hashlib.sha256(recording).hexdigest()
    assert fetched.size_bytes == len(recording)
    assert (job.request.entity, job.request.prompt) == (Entity(type="lead", id=9), "имена")
    with Blobs.open((tmp_path / "var" / "audio").as_uri()).get(fetched.blob) as path:
        assert path.read_bytes() == recording
    claim = store.claim("media", "test", lease_seconds=5)
    assert claim is not None
    assert claim.step == "split"
    assert not list((tmp_path / "var" / "audio").glob("_upload-*"))


def test_an_upload_again(client: Client, store: Store, tmp_path: Path) -> None:
    """The same key: the same form is the same job, another one is a 409 and spoils nothing."""

    def send(content: bytes) -> Any:
        files = {"file": ("a", content, "audio/wav")}
        return client.v1("POST", "/v1/calls", files=files, headers={"Idempotency-Key": "k"})

    first = send(b"one")
    assert send(b"one").json() == first.json()
    assert send(b"two").status_code == 409
    fetched = from_plain(Fetched, store.load(JobId(first.json()["id"])).facts["fetch"])
    assert (tmp_path / "var" / "audio" / fetched.blob).read_bytes() == b"one"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"no form at all"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=" + "b" * 500, b"x"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nhalf',
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n\r\n--b--\r\n',
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n--b--\r\n',
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n\xff\r\n--b--\r\n',
        ),
    ],
)
def test_a_broken_form_is_a_400(
    client: Client, store: Store, tmp_path: Path, content_type: str, body: bytes
) -> None:
    """No boundary, half a form, an empty recording or none: 400, and nothing is left on the disk."""
    answer = client.v1("POST", "/v1/calls", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 400
    assert store.page() == []
    assert not [path for path in (tmp_path / "var" / "audio").rglob("*") if path.is_file()]


def test_an_upload_too_large_is_413(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    """A recording beyond MAX_DOWNLOAD_BYTES is refused, and nothing of it stays."""
    with running(make_settings(max_download_bytes=1000)) as client:
        answer = client.v1("POST", "/v1/calls", files={"file": ("a", b"x" * 1001, "audio/wav")})
        assert answer.status_code == 413
    assert not [path for path in (tmp_path / "var" / "audio").rglob("*") if path.is_file()]


def test_without_the_key_nothing_is_taken(client: Client, store: Store) -> None:
    """No key and a wrong key are 401, before the body is looked at."""
    assert client.post("/v1/calls", json={"url": URL}).status_code == 401
    wrong = {"Authorization": "Bearer nonsense"}
    assert client.post("/v1/calls", json={"url": URL}, headers=wrong).status_code == 401
    assert store.page() == []


def test_what_a_killed_process_left_is_removed(make_settings: Callable[..., Settings]) -> None:
    """Halves of uploads go at the next start; those of a process that lives, and blobs, stay."""
    settings = make_settings()
    ended = subprocess.Popen(["true"])
    ended.wait()
    ours = workplace(settings)
    (ours / "recording").write_bytes(b"half")
    dead = ours.with_name(ours.name.replace(f"-{os.getpid()}-", f"-{ended.pid}-"))
    alive = ours.with_name(ours.name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-"))
    blob = ours.with_name("job_x")
    for place in (dead, alive, blob):
        place.mkdir()
    with running(settings):
        assert {path.name for path in ours.parent.iterdir()} == {alive.name, blob.name}


@pytest.mark.parametrize("recording", [b"short", b"x" * 100_000])
def test_a_recording_under_another_name_is_told_the_right_one(client: Client, recording: bytes) -> None:
    """The error of an upload names `file`, however long the recording is."""
    answer = client.v1("POST", "/v1/calls", files={"audio": ("a.wav", recording, "audio/wav")})
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == ["file"]


def test_thousands_of_parts_under_one_name_are_refused(client: Client) -> None:
    """Parts are counted as they come, not by what is kept of them."""
    form = b'--x\r\nContent-Disposition: form-data; name="language"\r\n\r\nen\r\n' * 30 + b"--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.v1("POST", "/v1/calls", content=form, headers=headers)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "body: too many fields")


@pytest.mark.parametrize("body", [b"[]", b'[{"url": "https://files.example/a"}]', b" [1"])
def test_an_array_is_a_wrong_body(client: Client, body: bytes) -> None:
    """It is the body that is told as wrong, and no field that it could not have."""
    answer = client.v1("POST", "/v1/calls", content=body)
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == ["body"]


def test_what_is_not_known_is_refused_by_name(client: Client) -> None:
    """A mistyped key or form field is named, however odd it is; nothing is accepted in silence."""
    for sent, field in (({"callbackUrl": URL}, "callbackUrl"), ({"\ud800": 1}, "?")):
        answer = client.v1("POST", "/v1/calls", content=json.dumps({"url": URL} | sent))
        assert answer.status_code == 400
        assert list(answer.json()["error"]["fields"]) == [field]
    form = {"files": {"file": b"RIFF"}, "data": {"langauge": "en"}}
    answer = client.v1("POST", "/v1/calls", **form)
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["langauge"])
