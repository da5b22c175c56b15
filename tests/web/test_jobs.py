"""Jobs as `/v1/jobs` shows them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.domain.job import (
    Category,
    Delivery,
    Event,
    Failure,
    Job,
    JobId,
    PortalId,
    Request,
    Source,
    Step,
    Timeline,
)
from pipeline.domain.kinds import KINDS, kind_of
from pipeline.domain.lead import Lead
from pipeline.domain.plain import to_plain
from pipeline.domain.recording import Chunk, Fetched, Media, Plan, Span
from pipeline.domain.transcript import Recognition, Segment, Transcript
from pipeline.steps import flow
from pipeline.storage.blobs import Blobs
from pipeline.store import Store, Transition, fields_of
from pipeline.web.openapi import described
from tests.web.conftest import Client

NOW = 1_900_000_000.0

FACTS: dict[str, Any] = {
    "fetch": Fetched(blob="x/recording", size_bytes=10, sha256="ab" * 32),
    "sniff": Media(
        container="wav", codec="pcm_alaw", channels=2, sample_rate=8000, size_bytes=10, sha256="ab" * 32
    ),
    "split": Plan(
        seconds=12.5,
        channels=2,
        chunks=tuple(
            Chunk(
                id=str(side),
                channel=side,
                span=Span(start=0.0, end=12.5),
                blob="x/c.flac",
                filename="chunk-000.flac",
                content_type="audio/flac",
                size_bytes=5,
                sounding_seconds=5.0,
            )
            for side in (0, 1)
        ),
    ),
    "transcribe:0": Recognition(text="Hello", language="en", paid_seconds=12.5),
    "transcribe:1": Recognition(text="Hi & bye", language="en", paid_seconds=12.5),
    "merge": {
        "at": NOW + 3,
        "transcript": Transcript(
            text="[Manager] Hello\n[Client] Hi & bye",
            language="en",
            segments=(
                Segment(start=0.5, end=1.0, speaker="manager", text="Hello"),
                Segment(start=1.5, end=2.25, speaker="client", text="Hi & bye"),
            ),
            empty_spans=(Span(start=3.0, end=4.0),),
        ),
    },
    "classify": {
        "lead": Lead(quality="high", score=88, reason="Budget named."),
        "usage": {"prompt_tokens": 100, "completion_tokens": 20},
    },
    "callback": {"accepted": True, "asked": True},
    "link": Timeline(state="unlinked", why="no activity matches"),
}


def put(store: Store, number: int = 0, facts: dict[str, Any] | None = None, **changes: Any) -> JobId:
    """A job with facts, as workers would have left it."""
    known: dict[str, Any] = {
        "id": JobId(f"job_{number:026d}"),
        "portal": PortalId("portal"),
        "category": Category.AUDIO,
        "source": Source.ENGINE,
        "accepted_at": NOW + number,
        "deadline": NOW + number + 14_400,
        "request": Request(
            file_url="https://portal.example/r?token=secret", callback_url="https://portal.example/c"
        ),
    }
    job = Job(**(known | changes), facts=to_plain(facts or {}))
    store.accept(job, flow.advance(job, NOW).dues, fields_of(job), 10_000)
    return job.id


def test_a_finished_job(client: Client, store: Store) -> None:
    """All that is known of a job stands in its answer, and nothing of the request's links."""
    job = put(store, facts=FACTS)
    loaded = store.load(job)
    store.finish(
        loaded,
        Transition(
            facts={},
            dues=(),
            status="done",
            events=(Event(at=NOW + 1, step=Step("fetch"), what="done", took=0.5, attempt=2),),
            deliveries=(Delivery(at=NOW + 5, kind="success", status=200, answer="ok", accepted=True),),
            closed=True,
        ),
        claim=None,
    )
    answer = client.v1("GET", f"/v1/jobs/{job}")
    assert answer.status_code == 200
    assert "secret" not in answer.text
    body = answer.json()
    assert {"id": job, "portal": "portal", "category": "audio", "status": "done"}.items() <= body.items()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["accepted_at"])
    assert body["progress"] == {"parts_done": 2, "parts_total": 2}
    media = {"codec": "pcm_alaw", "seconds": 12.5, "channels": 2, "sample_rate": 8000, "bytes": 10}
    assert (media | {"sha256": "ab" * 32}).items() <= body["media"].items()
    assert body["transcript"]["segments"][0] == {
        "start": 0.5,
        "end": 1.0,
        "speaker": "manager",
        "text": "Hello",
    }
    assert body["transcript"]["empty_spans"] == [{"start": 3.0, "end": 4.0}]
    assert (body["transcript"]["partial"], body["transcript"]["missing"]) == (False, [])
    lead = {"quality": "high", "score": 88, "reason": "Budget named.", "criteria": []}
    assert body["lead"] == lead
    why = "no activity matches"
    assert body["timeline"] == {"state": "unlinked", "entity": None, "activity_id": None, "why": why}
    assert body["usage"] == {"transcription_seconds": 25.0, "prompt_tokens": 100, "completion_tokens": 20}
    assert body["deliveries"] == [
        {"at": "2030-03-17T17:46:45.000Z", "kind": "success", "status": 200, "answer": "ok", "accepted": True}
    ]
    done = {"at": "2030-03-17T17:46:41.000Z", "step": "fetch", "what": "done", "took": 0.5, "attempt": 2}
    assert body["events"][-1] == done | {"why": None}
    assert body["error"] is None


def test_the_document_tells_the_same(client: Client, store: Store) -> None:
    """What /openapi.json says of a job and its parts is its answer to the key, from the first moment on."""
    schemas = described()["components"]["schemas"]
    schema = schemas["JobView"]
    for number, facts in enumerate((None, FACTS)):
        body = client.v1("GET", f"/v1/jobs/{put(store, number, facts)}").json()
        assert set(schema["properties"]) == set(schema["required"]) == set(body)
        for name, part in schema["properties"].items():
            named = part.get("anyOf", [part])[0].get("$ref", "").rpartition("/")[2]
            if named and "properties" in schemas[named] and body[name] is not None:
                assert set(schemas[named]["properties"]) == set(body[name]), name


@pytest.mark.parametrize("query", ["state=done", "statuss=done", "limit=1&page=2"])
def test_a_filter_that_is_not_known_is_refused_by_name(client: Client, query: str) -> None:
    """A mistyped filter would show all jobs as if they fitted it."""
    name = query.rpartition("&")[2].partition("=")[0]
    answer = client.v1("GET", f"/v1/jobs?{query}")
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == [name]


def test_a_job_that_has_just_begun(client: Client, store: Store) -> None:
    """What is not known yet is null, and never left out."""
    body = client.v1("GET", f"/v1/jobs/{put(store)}").json()
    assert body["status"] == "accepted"
    assert [body[name] for name in ("media", "transcript", "lead", "error")] == [None] * 4
    assert body["progress"] == {"parts_done": 0, "parts_total": 0}
    assert [event["what"] for event in body["events"]] == ["accepted"]


def test_exports(client: Client, store: Store) -> None:
    """The transcript comes as text, SubRip, WebVTT and JSON; without one it is 404."""
    job = put(store, facts=FACTS)
    text = client.v1("GET", f"/v1/jobs/{job}/transcript.txt")
    assert text.text.startswith("[Manager] Hello\n[Client] Hi & bye")
    assert text.headers["content-type"].startswith("text/plain")
    assert "00:00:00,500 --> 00:00:01,000" in client.v1("GET", f"/v1/jobs/{job}/transcript.srt").text
    assert client.v1("GET", f"/v1/jobs/{job}/transcript.vtt").text.startswith("WEBVTT")
    assert len(client.v1("GET", f"/v1/jobs/{job}/transcript.json").json()["segments"]) == 2
    assert client.v1("GET", f"/v1/jobs/{job}/transcript.doc").status_code == 404
    assert client.v1("GET", f"/v1/jobs/{put(store, 1)}/transcript.txt").status_code == 404


def test_pages(client: Client, store: Store) -> None:
    """Pages are newest first, cover every job once, and filter."""
    jobs = [
        put(store, number, category=Category.TEXT if number % 3 == 0 else Category.AUDIO)
        for number in range(25)
    ]
    seen, cursor = [], ""
    while True:
        page = client.v1("GET", f"/v1/jobs?limit=10&cursor={cursor}").json()
        seen += [row["id"] for row in page["jobs"]]
        cursor = page["next"]
        if cursor is None:
            break
        assert len(page["jobs"]) == 10
    assert seen == jobs[::-1]
    texts = client.v1("GET", "/v1/jobs?category=text&limit=9").json()
    assert ([row["id"] for row in texts["jobs"]], texts["next"]) == (jobs[::-3], None)
    assert client.v1("GET", "/v1/jobs?portal=other").json() == {"jobs": [], "next": None}
    assert len(client.v1("GET", "/v1/jobs?status=accepted&portal=portal").json()["jobs"]) == 25


@pytest.mark.parametrize(
    "query", ["status=lost", "category=dogs", "limit=0", "limit=x", "limit=²", "cursor=nan"]
)
def test_bad_queries(client: Client, query: str) -> None:
    """A wrong filter is a 400 that names it."""
    answer = client.v1("GET", f"/v1/jobs?{query}")
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == [query.partition("=")[0]]


@pytest.mark.parametrize(("audio", "step"), [("kept", "split"), ("gone", "fetch")])
def test_a_failed_job_runs_again(client: Client, store: Store, tmp_path: Path, audio: str, step: str) -> None:
    """Retry of a failed job is 202 and has its work due again, the download too if need be; else 409."""
    if audio == "kept":
        keep_recording(client, "x", tmp_path)
    failure = Failure(slug="not_audio", code=415, message="No audio.", step=Step("sniff"))
    job = put(store, facts={"fetch": FACTS["fetch"], "failure": failure, "callback": {"accepted": True}})
    assert client.v1("POST", f"/v1/jobs/{job}/retry").status_code == 409
    store.finish(store.load(job), Transition(facts={}, dues=(), status="failed", closed=True), claim=None)
    failed = client.v1("GET", f"/v1/jobs/{job}").json()
    assert (failed["status"], failed["error"]["slug"], failed["error"]["code"]) == (
        "failed",
        "not_audio",
        415,
    )
    assert client.v1("POST", f"/v1/jobs/{job}/retry").status_code == 202
    claim = store.claim(KINDS[kind_of(step)].queue, "test", lease_seconds=5)
    assert claim is not None
    assert (claim.job, claim.step) == (job, step)


def keep_recording(client: Client, job: str, folder: Path) -> Blobs:
    """Some audio of the job on the storage."""
    blobs: Blobs = client.app.state.service.tools.blobs
    source = folder / "sound"
    source.write_bytes(b"sound")
    blobs.put(f"{job}/recording", source)
    return blobs


def test_erasure(client: Client, store: Store, tmp_path: Path) -> None:
    """DELETE takes the record and its audio away; a second one is 404."""
    job = put(store, facts=FACTS)
    blobs = keep_recording(client, job, tmp_path)
    assert client.v1("DELETE", f"/v1/jobs/{job}").status_code == 204
    assert not blobs.exists(f"{job}/recording")
    assert client.v1("GET", f"/v1/jobs/{job}").status_code == 404
    assert client.v1("DELETE", f"/v1/jobs/{job}").status_code == 404


@pytest.mark.parametrize("job", ["job_unknown", "x", "job_..%2f..", "job_" + "a" * 200, "job_é"])
def test_unknown_jobs_are_404(client: Client, job: str) -> None:
    """Whatever the id looks like."""
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/retry"), ("GET", "/transcript.txt")):
        answer = client.v1(method, f"/v1/jobs/{job}{path}")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] in ("unknown_job", "not_found")


DAMAGES: list[tuple[str, str | bytes]] = [
    ("request", "{broken"), ("category", "video"), ("accepted_at", ""), ("deadline", "nan"), ("rev", "one"),
    ("status", "tired"), ("due:fetch", ""), ("fact:merge", "{broken"), ("fact:merge", b"\xff\xfe"),
    ("fact:merge", "5"), ("fact:merge", '{"transcript": {"from": "a version to come"}}'),
    ("fact:split", "[]"), ("fact:sniff", "{}"), ("fact:callback", "7"), ("fact:failure", "{}"),
    ("held_since", "x"), ("tries:fetch", "y"), ("request", "[" * 5000), ("fact:merge", "[" * 5000),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), DAMAGES, ids=lambda value: str(value)[:16])
def test_a_damaged_record_is_shown_as_it_is_stored(
    client: Client, store: Store, field: str, value: str | bytes
) -> None:
    """It is no error of ours in any view: what can be read is, the rest is told without secrets."""
    job, other = put(store, facts=FACTS), put(store, number=1)
    store._redis.hset(f"cs:job:{job}", field, value)
    shown = client.v1("GET", f"/v1/jobs/{job}")
    assert shown.status_code == 200
    view = shown.json()
    assert view["id"] == job
    assert "token=secret" not in shown.text
    if not view["is_readable"]:
        assert view["error"]["slug"] == "unreadable_record"
        assert view["stored"]["portal"] == "portal"
        assert view["status"] in ("accepted", "running", "done", "failed")
    assert view["is_readable"] == (field in ("due:fetch", "rev"))
    listed = client.v1("GET", "/v1/jobs").json()["jobs"]
    assert {row["id"] for row in listed} == {job, other}
    for method, path in (("GET", "/transcript.txt"), ("POST", "/retry")):
        assert client.v1(method, f"/v1/jobs/{job}{path}").status_code in (200, 202, 404, 409), path
    for page in ("/jobs", f"/jobs/{job}", f"/calls/{job}"):
        assert client.v1("GET", page).status_code in (200, 409), page
    assert client.v1("DELETE", f"/v1/jobs/{job}").status_code == 204
    assert client.v1("GET", f"/v1/jobs/{other}").json()["is_readable"]
