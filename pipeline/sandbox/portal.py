"""The stand-in Bitrix24 portal: sends engine requests and events, serves recordings, takes callbacks.

Shapes and limits are those of the wire contract: 5 s for an answer, 202 with an object that is not empty,
a success consumes the job, an answer of 200 may still be a refusal.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from pipeline.sandbox import php
from pipeline.sandbox.crm import CRM, Stored
from pipeline.sandbox.engines import Engines, tls

ANSWER_SECONDS = 5.0
TTL = 14_400
LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Authorization</title></head><body>Sign in</body></html>"

Fixture = Mapping[str, Any]


@dataclass(kw_only=True)
class Job:
    """An engine request as the portal remembers it; times are unix seconds."""

    hash: str
    rid: str
    category: str
    url: str
    body: dict[str, Any]
    ttl: int
    fixture: str | None = None
    expect: dict[str, Any] | None = None
    activity: int | None = None  # the CRM call it is about
    retry_of: str | None = None  # the hash of the job that ended in an error
    sent_at: float = 0.0
    answer: dict[str, Any] | None = None  # {"status", "body", "seconds"}; status None: none came
    accepted: bool = False
    outcome: str | None = None  # "success", "error"
    finished_at: float | None = None
    result: Any = None
    error: dict[str, Any] | None = None
    callbacks: list[dict[str, Any]] = field(default_factory=list)  # {"at", "kind", "body", "reply"}


class Portal:
    """State and handlers; `base_url` is how others reach it."""

    def __init__(self, *, crm: CRM, engines: Engines, fixtures: Path, application_token: str) -> None:
        self.crm, self.engines, self.fixtures = crm, engines, fixtures
        self.application_token = application_token
        self.base_url = ""
        self.jobs: dict[str, Job] = {}
        self.retries_calls = False  # as portals do: a CRM call whose job failed is sent once more
        self._settled: dict[str, asyncio.Event] = {}
        self.retrying: set[asyncio.Task[None]] = set()  # retries on their way

    # what it sends

    async def send(
        self,
        fixture: Fixture | str,
        *,
        to: str | None = None,
        hash: str | None = None,
        again: bool = True,
        activity: int | None = None,
    ) -> Job:
        """Sends an engine request exactly as a portal does; returns the job with the answer.

        fixture: a name in fixtures/requests, or its content. to: the engine's URL, otherwise the one that
        is registered for the category. hash: of an earlier job, to send the very same request again (with
        `again`, its body too). activity: the CRM's call that it is about, where the fixture makes none.
        Raises LookupError when no engine is registered.
        """
        known = self.jobs.get(hash) if hash and again else None
        if known:
            known.answer, known.accepted = await self._post(known.url, known.body)
            return known
        plain = self._read(fixture)
        url = to or self.engines.url(plain["category"])
        if not url:
            raise LookupError(f"no engine is registered for {plain['category']}")
        token, rid = hash or secrets.token_hex(16), secrets.token_hex(8)
        recording = self.recording(plain.get("recording"))
        activity = self._call(plain.get("crm"), recording) or activity
        body = self._filled(plain["body"], token, rid, recording)
        job = Job(
            hash=token,
            rid=rid,
            category=plain["category"],
            url=url,
            body=body,
            ttl=int(body.get("ttl") or TTL),
            fixture=plain.get("name"),
            expect=plain.get("expect"),
            activity=activity,
            sent_at=time.time(),
        )
        self.jobs[token] = job
        self._settled[token] = asyncio.Event()
        job.answer, job.accepted = await self._post(url, body)
        return job

    async def send_event(
        self, event: str, data: Mapping[str, Any], *, to: str, token: str | None = None
    ) -> int:
        """Posts an event, form-encoded with PHP brackets, once; returns the status of the answer.

        data: as in the documentation of the event, `{"FIELDS": {"ID": 7}}`. token: the application token.
        """
        form = php.build(
            {
                "event": event,
                "event_handler_id": "1",
                "data": data,
                "ts": int(time.time()),
                "auth": {
                    "access_token": secrets.token_hex(8),
                    "expires_in": "3600",
                    "scope": "crm,telephony",
                    "domain": httpx.URL(self.base_url).netloc.decode(),
                    "server_endpoint": "https://oauth.bitrix.info/rest/",
                    "status": "L",
                    "client_endpoint": f"{self.base_url}/rest/",
                    "member_id": "sandbox",
                    "application_token": self.application_token if token is None else token,
                },
            }
        )
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "user-agent": "Bitrix24",
        }
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False, verify=tls()) as client:
            return (await client.post(to, content=form, headers=headers)).status_code

    async def _post(self, url: str, body: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        started = time.monotonic()
        content = json.dumps(body).replace("/", "\\/").encode()  # as PHP writes it: ASCII, slashes escaped
        headers = {"content-type": "application/json", "user-agent": "Bitrix24"}
        try:
            async with httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False, verify=tls()) as client:
                response = await client.post(url, content=content, headers=headers)
        except httpx.HTTPError as error:
            seconds = round(time.monotonic() - started, 3)
            return {"status": None, "body": type(error).__name__, "seconds": seconds}, False
        seconds = round(time.monotonic() - started, 3)
        try:
            plain = response.json()
        except ValueError:
            plain = None
        accepted = response.status_code == 202 and isinstance(plain, dict) and bool(plain)
        answer = {"status": response.status_code, "body": response.text[:2000], "seconds": seconds}
        return answer, accepted

    def _read(self, fixture: Fixture | str) -> Fixture:
        if not isinstance(fixture, str):
            return fixture
        path = self.fixtures / "requests" / f"{fixture}.json"
        if Path(fixture).name != fixture or not path.is_file():
            raise LookupError(f"no fixture {fixture}")
        plain: Fixture = json.loads(path.read_text(encoding="utf-8"))
        return plain

    def recording(self, name: str | None) -> Stored | None:
        """A committed recording (or a file, by its path) put on the portal's disk."""
        if not name:
            return None
        path = self.fixtures / "audio" / name if Path(name).name == name else Path(name)
        manifest = json.loads((self.fixtures / "audio" / "MANIFEST.json").read_text(encoding="utf-8"))
        kind = manifest.get(path.name, {}).get("mime", "application/octet-stream")
        return self.crm.store(path, content_type=kind)

    def _call(self, crm: Mapping[str, Any] | None, recording: Stored | None) -> int | None:
        if not crm:
            return None
        kind, number = crm["owner"]
        self.crm.add_entity(kind, number, TITLE=crm.get("title") or f"{kind} {number}")
        made = self.crm.add_call(
            owner=(kind, number),
            bindings=tuple((k, n) for k, n in crm.get("bindings", [])),
            activity=crm.get("activity"),
            recording=recording,
        )
        return int(made.fields["ID"])

    def _filled(self, value: Any, token: str, rid: str, recording: Stored | None) -> Any:
        """The body with its placeholders replaced."""
        if isinstance(value, dict):
            return {key: self._filled(item, token, rid, recording) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item, token, rid, recording) for item in value]
        if value == "{file}" and recording:
            return self.crm.link(self.base_url, recording)
        if value == "{missing}":
            return f"{self.base_url}/disk/downloadFile/0/gone?signature={self.crm.sign(0)}"
        if value == "{callback}":
            return f"{self.base_url}/callback?hash={token}&rid={rid}"
        if value == "{error_callback}":
            return f"{self.base_url}/error-callback?hash={token}&rid={rid}"
        return value

    # what it takes

    async def download(self, request: Request) -> Response:
        """GET /disk/downloadFile/{id}/{name}?signature=..."""
        number = int(request.path_params["id"])
        if request.query_params.get("signature") != self.crm.sign(number):
            return HTMLResponse("<html><body>Access denied</body></html>", status_code=403)
        file = self.crm.files.get(number)
        if file is None or number in self.crm.expired:
            return HTMLResponse("<html><body>File not found</body></html>", status_code=404)
        return Response(
            file.content, headers={"content-type": file.content_type, "cache-control": "no-store"}
        )

    async def show_file(self, request: Request) -> Response:
        """FILES of an activity point here; without a session there is only the page to sign in."""
        return HTMLResponse(LOGIN_PAGE)

    async def callback(self, request: Request) -> Response:
        """POST /callback?hash=...: a success, which consumes the job."""
        return await self._take(request, "success")

    async def error_callback(self, request: Request) -> Response:
        """POST /error-callback?hash=...: an error, refused after the ttl."""
        return await self._take(request, "error")

    async def _take(self, request: Request, kind: str) -> Response:
        job = self.jobs.get(request.query_params.get("hash", ""))
        if job is None:
            return _refusal("Job not found")
        try:
            body = json.loads(await request.body())
        except ValueError:
            body = None
        why = self._refused(job, kind, body)
        if why is None:
            job.outcome, job.finished_at = kind, time.time()
            self._settled[job.hash].set()
            if kind == "success":
                job.result = body["result"]
                if job.activity is not None and job.category == "audio":
                    self.crm.activities[job.activity].transcript = body["result"][0]
            else:
                job.error = body
                if self.retries_calls and job.activity is not None and job.retry_of is None:
                    task = asyncio.create_task(self._retry(job))
                    self.retrying.add(task)
                    task.add_done_callback(self.retrying.discard)
        reply = _refusal(why) if why else JSONResponse({"status": "success", "data": None, "errors": []})
        job.callbacks.append(
            {"at": time.time(), "kind": kind, "body": body, "reply": json.loads(bytes(reply.body))}
        )
        return reply

    async def _retry(self, job: Job) -> None:
        token, rid = secrets.token_hex(16), secrets.token_hex(8)
        urls = {"callbackUrl": "{callback}", "errorCallbackUrl": "{error_callback}"}
        body = self._filled({**job.body, **urls}, token, rid, None)
        again = Job(
            hash=token,
            rid=rid,
            category=job.category,
            url=job.url,
            body=body,
            ttl=job.ttl,
            fixture=job.fixture,
            activity=job.activity,
            retry_of=job.hash,
            sent_at=time.time(),
        )
        self.jobs[token], self._settled[token] = again, asyncio.Event()
        again.answer, again.accepted = await self._post(job.url, body)

    def _refused(self, job: Job, kind: str, body: Any) -> str | None:
        if job.outcome is not None:
            return "Job not found"
        if not isinstance(body, dict):
            return "Not a JSON object"
        if kind == "error":
            if time.time() > job.sent_at + job.ttl:
                return "Job is expired"
            if not isinstance(body.get("message"), str) or type(body.get("code")) is not int:
                return "An error has a message and a numeric code"
            return None
        result = body.get("result")
        if not isinstance(result, list) or not result or not all(isinstance(r, str) and r for r in result):
            return "A result is a list of texts"
        if job.category == "call" and not _is_call_result(result[0]):
            return "A call's result is JSON as a string"
        if job.category == "image" and not all(r.startswith(("http://", "https://")) for r in result):
            return "An image's result is a list of URLs"
        return None

    async def wait(self, token: str, seconds: float) -> Job:
        """The job once it has an outcome, or as it is when the time is over."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._settled[token].wait(), seconds)
        return self.jobs[token]


def _is_call_result(text: str) -> bool:
    try:
        plain = json.loads(text)
    except ValueError:
        return False
    turns = plain.get("transcriptions") if isinstance(plain, dict) else None
    keys = {"text", "user_id", "start_time_formatted", "end_time_formatted"}
    return (
        isinstance(turns, list) and bool(turns) and all(isinstance(t, dict) and keys <= set(t) for t in turns)
    )


def _refusal(why: str) -> JSONResponse:
    """How a portal refuses: status 200, and the word in the body."""
    return JSONResponse(
        {"status": "error", "data": None, "errors": [{"message": why, "code": 0, "customData": None}]}
    )


def plain_job(job: Job) -> dict[str, Any]:
    """A job as JSON, for `/_jobs`."""
    return asdict(job)
