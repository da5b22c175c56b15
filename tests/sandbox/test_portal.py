"""The portal of the sandbox: what it sends, and what it takes."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.sandbox import php
from pipeline.sandbox.app import APPLICATION_TOKEN, Sandbox, create_app

FIXTURES = Path(__file__).parents[2] / "fixtures"
NAMES = sorted(path.stem for path in (FIXTURES / "requests").glob("*.json"))


@dataclass
class Engine:
    """An engine that writes down what it gets and answers as it is told."""

    url: str = ""
    status: int = 202
    answer: bytes = b'{"result":"OK"}'
    received: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def engine() -> Iterator[Engine]:
    told = Engine()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.received.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self.reply()

        def reply(self) -> None:
            self.send_response(told.status if self.command == "POST" else 200)
            self.send_header("content-length", str(len(told.answer)))
            self.end_headers()
            self.wfile.write(told.answer)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}/engine"
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


def post(url: str, body: Any) -> Any:
    return httpx.post(url, json=body, trust_env=False, verify=False).json()


@pytest.mark.parametrize("name", NAMES)
def test_every_request_fixture_is_sent_whole(sandbox: Sandbox, engine: Engine, name: str) -> None:
    """Each committed request goes out as JSON with every placeholder filled, and is accepted by a 202."""
    job = sandbox.send(name, to=engine.url)
    assert job.accepted
    (_, headers, raw), fixture = (
        engine.received[0],
        json.loads((FIXTURES / f"requests/{name}.json").read_text()),
    )
    body = json.loads(raw)
    assert headers["content-type"] == "application/json"
    assert raw.isascii()
    assert b"http:\\/\\/" in raw
    assert b"{file}" not in raw
    assert b"callback}" not in raw
    assert body["category"] == fixture["category"] == job.category
    assert body["callbackUrl"].startswith(f"{sandbox.base_url}/callback?hash={job.hash}")
    assert set(body) == set(fixture["body"])
    assert fixture["name"] == name
    assert fixture["expect"]["outcome"] in ("success", "error")


def test_recordings_come_by_signed_links_without_extension(sandbox: Sandbox, engine: Engine) -> None:
    """The link gives the committed bytes; unsigned it is refused, expired it leads nowhere."""
    sandbox.send("weak-lead", to=engine.url)
    link = json.loads(engine.received[0][2])["prompt"]["file"]
    answer = httpx.get(link, trust_env=False, verify=False)
    assert answer.content == (FIXTURES / "audio" / "weak-lead").read_bytes()
    assert "." not in httpx.URL(link).path.rsplit("/", 1)[1]
    assert (
        httpx.get(link.replace("signature=", "signature=0"), trust_env=False, verify=False).status_code == 403
    )
    sandbox.crm.expired.add(max(sandbox.crm.files))
    assert httpx.get(link, trust_env=False, verify=False).status_code == 404
    sandbox.send("missing-file", to=engine.url)
    gone = json.loads(engine.received[1][2])["prompt"]["file"]
    assert httpx.get(gone, trust_env=False, verify=False).status_code == 404


@pytest.mark.parametrize(
    ("status", "answer", "accepted"),
    [
        (202, b'{"result":"OK"}', True),
        (202, b"{}", False),
        (202, b"[]", False),
        (202, b"accepted", False),
        (200, b'{"result":"OK"}', False),
        (503, b'{"result":"OK"}', False),
    ],
)
def test_only_202_with_an_object_accepts(
    sandbox: Sandbox, engine: Engine, status: int, answer: bytes, accepted: bool
) -> None:
    """A portal takes 202 with an object that is not empty as acceptance, and nothing else."""
    engine.status, engine.answer = status, answer
    assert sandbox.send("text", to=engine.url).accepted is accepted


def test_success_consumes_the_job(sandbox: Sandbox, engine: Engine) -> None:
    """The first success counts; a second one, or an error after it, finds no job."""
    job = sandbox.send("text", to=engine.url)
    body = json.loads(engine.received[0][2])
    assert post(body["callbackUrl"], {"result": ["done"], "lead": None})["status"] == "success"
    assert post(body["callbackUrl"], {"result": ["again"]})["status"] == "error"
    assert post(body["errorCallbackUrl"], {"message": "m", "code": 1})["status"] == "error"
    done = sandbox.wait(job.hash)
    assert (done.outcome, done.result) == ("success", ["done"])
    assert [callback["kind"] for callback in done.callbacks] == ["success", "success", "error"]
    assert post(f"{sandbox.base_url}/callback?hash=unknown", {"result": ["x"]})["status"] == "error"


@pytest.mark.parametrize("result", [None, [], {}, "", [""], "text", [{"text": "x"}], [None]])
def test_results_of_the_wrong_shape_are_refused(sandbox: Sandbox, engine: Engine, result: Any) -> None:
    """What a portal would lose is refused in the body of a 200, and the job stays open."""
    job = sandbox.send("text", to=engine.url)
    url = json.loads(engine.received[0][2])["callbackUrl"]
    answer = httpx.post(url, json={"result": result}, trust_env=False, verify=False)
    assert (answer.status_code, answer.json()["status"]) == (200, "error")
    assert sandbox.portal.jobs[job.hash].outcome is None


def test_call_and_image_results_have_their_own_shapes(sandbox: Sandbox, engine: Engine) -> None:
    """A call's result is JSON in a string with formatted times; an image's is a list of URLs."""
    sandbox.send("video-call", to=engine.url)
    sandbox.send("image", to=engine.url)
    call, image = (json.loads(received[2])["callbackUrl"] for received in engine.received)
    turn = {"text": "hi", "user_id": 0, "start_time_formatted": "00:01", "end_time_formatted": "00:02"}
    assert post(call, {"result": ["plain text"]})["status"] == "error"
    assert (
        post(call, {"result": [json.dumps({"transcriptions": [turn], "language": "en"})]})["status"]
        == "success"
    )
    assert post(image, {"result": ["not a link"]})["status"] == "error"
    assert post(image, {"result": ["https://example.com/a.png"]})["status"] == "success"


def test_error_is_refused_after_the_ttl_a_success_is_not(sandbox: Sandbox, engine: Engine) -> None:
    """After the ttl the error callback finds an expired job, and a success is still taken."""
    job = sandbox.send("text", to=engine.url)
    body = json.loads(engine.received[0][2])
    sandbox.portal.jobs[job.hash].sent_at -= job.ttl + 1
    error = {"message": "too late", "code": 504, "api_request_completed": False}
    assert post(body["errorCallbackUrl"], error)["status"] == "error"
    assert post(body["callbackUrl"], {"result": ["late"]})["status"] == "success"


def test_the_same_request_can_be_sent_again(sandbox: Sandbox, engine: Engine) -> None:
    """With its hash, an earlier request goes out once more, byte for byte."""
    job = sandbox.send("sales-call", to=engine.url)
    again = sandbox.send("sales-call", hash=job.hash)
    assert again.hash == job.hash
    assert engine.received[0][2] == engine.received[1][2]


def test_transcript_of_a_callback_is_that_of_the_activity(
    sandbox: Sandbox, engine: Engine, rest: httpx.Client
) -> None:
    """What an audio callback brings is what crm.activity.call.getTranscript returns, null before."""
    job = sandbox.send("sales-call", to=engine.url)
    ask = {"activityId": job.activity}
    assert rest.post("crm.activity.call.getTranscript", json=ask).json()["result"] is None
    post(json.loads(engine.received[0][2])["callbackUrl"], {"result": ["[Manager] good morning"]})
    got = rest.post("crm.activity.call.getTranscript", json=ask).json()["result"]
    assert got == {"transcription": "[Manager] good morning"}


def test_administration_sends_and_waits(sandbox: Sandbox, engine: Engine) -> None:
    """POST /_send sends a fixture, GET /_jobs/{hash} tells its outcome; unknown ones are 404."""
    sent = post(f"{sandbox.base_url}/_send", {"fixture": "text", "to": engine.url})
    assert sent["answer"]["status"] == 202
    post(json.loads(engine.received[0][2])["callbackUrl"], {"result": ["done"]})
    job = httpx.get(f"{sandbox.base_url}/_jobs/{sent['hash']}?wait=5", trust_env=False, verify=False).json()
    assert (job["outcome"], job["result"]) == ("success", ["done"])
    assert httpx.get(f"{sandbox.base_url}/_jobs/none", trust_env=False, verify=False).status_code == 404
    unknown = httpx.post(f"{sandbox.base_url}/_send", json={"fixture": "../x"}, trust_env=False, verify=False)
    assert unknown.status_code == 404


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b"{}", b'{"fixture": 7}', b'{"fixture": {}}', b'{"fixture": "text", "to": 7}',
     b'{"fixture": {"category": "text"}}'],
)  # fmt: skip
def test_administration_says_what_is_wrong(sandbox: Sandbox, body: bytes) -> None:
    """Whatever is sent to /_send, what was expected of it is said with a 400."""
    answer = httpx.post(f"{sandbox.base_url}/_send", content=body, trust_env=False, verify=False)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_events_are_forms_with_php_brackets(sandbox: Sandbox, engine: Engine) -> None:
    """An event is posted form-encoded with nested brackets and the application token."""
    status = sandbox.send_event("ONCRMACTIVITYADD", {"FIELDS": {"ID": 501}}, to=engine.url)
    _, headers, raw = engine.received[0]
    assert status == 202
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert b"data%5BFIELDS%5D%5BID%5D=501" in raw
    form = php.parse(raw.decode())
    assert (form["event"], form["data"]) == ("ONCRMACTIVITYADD", {"FIELDS": {"ID": "501"}})
    assert form["auth"]["application_token"] == APPLICATION_TOKEN


def test_files_by_path_are_for_this_machine(tmp_path: Path) -> None:
    """A caller from elsewhere sends committed recordings, never a file of this machine by its path."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    fixture = json.loads((FIXTURES / "requests" / "silence.json").read_text(encoding="utf-8"))
    app = create_app(public_url="http://sandbox.test")

    async def ask(host: str, recording: str) -> int:
        transport = httpx.ASGITransport(app=app, client=(host, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox.test") as client:
            body = {"fixture": {**fixture, "recording": recording}, "to": "http://127.0.0.1:9/"}
            return (await client.post("/_send", json=body)).status_code

    asked = [("127.0.0.1", str(secret)), ("192.0.2.1", "silence"), ("192.0.2.1", str(secret))]
    assert [asyncio.run(ask(*pair)) for pair in asked] == [200, 200, 400]


def test_failed_call_is_sent_exactly_once_more(sandbox: Sandbox, engine: Engine) -> None:
    """Told to do as portals do, it sends a CRM call whose job failed once more, under a new hash."""
    sandbox.portal.retries_calls = True
    try:
        first = sandbox.send("sales-call", to=engine.url)
        for number in range(2):
            error = {"message": "no", "code": 500, "api_request_completed": False}
            post(json.loads(engine.received[number][2])["errorCallbackUrl"], error)
            wait_until(lambda: not sandbox.portal.retrying)
    finally:
        sandbox.portal.retries_calls = False
    bodies = [json.loads(raw) for _, _, raw in engine.received]
    assert len(bodies) == 2
    assert bodies[0]["prompt"] == bodies[1]["prompt"]
    assert bodies[0]["callbackUrl"] != bodies[1]["callbackUrl"]
    (again,) = [job for job in sandbox.portal.jobs.values() if job.retry_of == first.hash]
    assert again.outcome == "error"


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Returns once it is true; fails when that takes longer."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.01)
