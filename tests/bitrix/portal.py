"""The sandbox's portal as these tests want it: a handful of records, odd answers, faults on request."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipeline.sandbox import rest as sandbox
from pipeline.sandbox.crm import CRM, Activity, Unfit
from pipeline.sandbox.engines import Engines

CODE = "s3cretcode"
Reply = tuple[int, Any] | tuple[int, Any, dict[str, str]]


@dataclass
class Portal:
    """State and log of the portal; `faults` are answered first, one per request, None meaning none."""

    url: str = ""
    activities: dict[int, dict[str, Any]] = field(default_factory=dict)
    transcripts: dict[int, str] = field(default_factory=dict)  # "DENIED": nobody may read it
    bound: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)  # as they were sent, and so the next three
    comments: list[dict[str, Any]] = field(default_factory=list)
    attached: list[dict[str, Any]] = field(default_factory=list)
    engines: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[int, str] = field(default_factory=dict)  # links; without any the disk is closed
    sizes: dict[int, str] = field(default_factory=dict)
    statistics: list[dict[str, Any]] = field(default_factory=list)
    says_not_found: bool = False  # of a call without a transcript, instead of an empty result
    missing: set[str] = field(default_factory=set)  # methods that this portal has not
    faults: list[Reply | str | None] = field(default_factory=list)  # "drop": serve, then lose the answer
    asked: list[str] = field(default_factory=list)  # methods, in order
    commands: list[int] = field(default_factory=list)  # how many each batch had
    follows: bool = True  # references of a batch's commands to the results of earlier ones
    completions_status: int = 200
    scopes: list[str] = field(default_factory=lambda: ["crm", "disk", "telephony", "ai_admin"])

    def __post_init__(self) -> None:
        self.rest = _Rest(self)

    def call(self, number: int, at: float, **fields: Any) -> None:
        """Adds a call activity created at unix seconds `at`."""
        when = datetime.fromtimestamp(at, UTC).isoformat()
        self.activities[number] = {
            "ID": str(number), "TYPE_ID": "2", "PROVIDER_ID": "VOXIMPLANT_CALL", "OWNER_TYPE_ID": "3",
            "OWNER_ID": "900", "ORIGIN_ID": f"VI_call.{number}", "CREATED": when, "START_TIME": when,
            "END_TIME": when, "FILES": [], **fields,
        }  # fmt: skip

    def serve(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """One request; raises Unfit."""
        return asyncio.run(self.rest.serve(method, params))


class _Everything(dict[Any, Any]):
    """Each deal, lead and call that anybody asks for is there."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: Any) -> dict[str, Any]:
        return {}


class _Rest(sandbox.Rest):
    """The sandbox's REST over the portal's records."""

    def __init__(self, portal: Portal) -> None:
        engines = _Engines(portal)
        super().__init__(crm=CRM(), engines=engines, webhook=CODE, bucket=sandbox.Bucket(1e9, 1e9))
        self._portal = portal
        self.crm.entities = _Everything()
        self._methods["scope"] = lambda params, base: portal.scopes

    async def serve(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        portal = self._portal
        self.crm.activities = {
            number: Activity(fields=fields, bindings=portal.bound.get(number, []))
            for number, fields in portal.activities.items()
        }
        self.crm.calls = _Everything({call["CALL_ID"]: call for call in portal.statistics})
        if method != "batch":
            return await self.call(method.lower(), params, "")
        if "batch" in portal.missing:
            raise Unfit("ERROR_METHOD_NOT_FOUND", "Method not found!", 404)
        portal.commands.append(len(params["cmd"]))
        if not portal.follows:
            cut = {key: command.replace("$result", "%24none") for key, command in params["cmd"].items()}
            params = {**params, "cmd": cut}
        return {"result": await self._batch(params, "")}

    async def call(self, method: str, params: Mapping[str, Any], base: str) -> dict[str, Any]:
        if method in {name.lower() for name in self._portal.missing}:
            raise Unfit("ERROR_METHOD_NOT_FOUND", "Method not found!", 404)
        return await super().call(method, params, base)

    def _activity(self, activity: Activity, base: str) -> dict[str, Any]:
        return activity.fields

    def _get_transcript(self, params: Mapping[str, Any], base: str) -> Any:
        number = sandbox.integer(params, "activityId")
        text = self._portal.transcripts.get(number)
        if text == "DENIED":
            raise Unfit("ACCESS_DENIED", "", 403)
        if text is None and self._portal.says_not_found:
            raise Unfit("NOT_FOUND", "no transcript")
        return {"transcription": text} if text is not None else None

    def _disk_file(self, params: Mapping[str, Any], base: str) -> Any:
        portal, number = self._portal, sandbox.integer(params, "id")
        if number not in portal.files:
            raise Unfit("ERROR_NOT_FOUND", "") if portal.files else Unfit("insufficient_scope", "", 403)
        size = {"SIZE": portal.sizes[number]} if number in portal.sizes else {}
        return {"ID": str(number), "DOWNLOAD_URL": portal.files[number], **size}

    def _log_add(self, params: Mapping[str, Any], base: str) -> Any:
        self._portal.entries.append(params["fields"])
        return super()._log_add(params, base)

    def _comment_add(self, params: Mapping[str, Any], base: str) -> Any:
        self._portal.comments.append(params["fields"])
        return super()._comment_add(params, base)

    def _attach_transcription(self, params: Mapping[str, Any], base: str) -> Any:
        self._portal.attached.append(dict(params))
        return super()._attach_transcription(params, base)


class _Engines(Engines):
    """The sandbox's engines; every completions URL answers."""

    def __init__(self, portal: Portal) -> None:
        super().__init__(answers=_yes)
        self._portal = portal

    async def call(self, method: str, params: Mapping[str, Any]) -> Any:
        known = self._portal.engines
        self.registered = [dict(engine) for engine in known.values()]
        done = await super().call(method, params)
        standing = {engine["code"] for engine in self.registered}
        for code in known.keys() - standing:
            del known[code]
        if method == "ai.engine.register":
            known[str(params["code"])] = {"id": done, **params}
        return done


async def _yes(url: str) -> bool:
    return True


@contextmanager
def serving(answer: Callable[[str, str, dict[str, str], bytes], Reply | None]) -> Iterator[str]:
    """A server on a free loopback port: `answer(verb, path, headers, body)`; None loses the answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            names = {name.lower(): value for name, value in self.headers.items()}
            found = answer(self.command, self.path, names, body)
            if found is None:
                self.close_connection = True
                return
            status, content, *rest = found
            sent = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in (rest[0] if rest else {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def open_portal() -> Iterator[Portal]:
    """A portal whose webhook is `portal.url`."""
    portal = Portal()

    def answer(verb: str, path: str, headers: dict[str, str], body: bytes) -> Reply | None:
        if path.startswith("/engines/"):
            return portal.completions_status, {"status": "ready"}
        if not path.startswith(f"/rest/1/{CODE}/"):
            return 401, {"error": "NO_AUTH_FOUND", "error_description": "Wrong authorization data"}
        method = path.rpartition("/")[2].removesuffix(".json")
        portal.asked.append(method)
        fault = portal.faults.pop(0) if portal.faults else None
        if fault is not None and not isinstance(fault, str):
            return fault
        try:
            answered = portal.serve(method, json.loads(body or b"{}"))
        except Unfit as problem:
            return problem.status, {"error": problem.code, "error_description": problem.description}
        return None if fault == "drop" else (200, {**answered, "time": {"operating": 0}})

    with serving(answer) as url:
        portal.url = f"{url}/rest/1/{CODE}/"
        yield portal
