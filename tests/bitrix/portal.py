"""A small portal on loopback: REST methods over a handful of records, with faults on request."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipeline.sandbox.php import parse

CODE = "s3cretcode"
Reply = tuple[int, Any] | tuple[int, Any, dict[str, str]]


class Fault(Exception):
    """A REST error."""

    def __init__(self, status: int, code: str, description: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.description = description


@dataclass
class Portal:
    """State and log of the portal; `faults` are answered first, one per request, None meaning none."""

    url: str = ""
    activities: dict[int, dict[str, Any]] = field(default_factory=dict)
    transcripts: dict[int, str] = field(default_factory=dict)
    bound: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    files: dict[int, str] = field(default_factory=dict)
    sizes: dict[int, str] = field(default_factory=dict)
    engines: dict[str, dict[str, Any]] = field(default_factory=dict)
    attached: list[dict[str, Any]] = field(default_factory=list)
    statistics: list[dict[str, Any]] = field(default_factory=list)
    says_not_found: bool = False  # of a call without a transcript, instead of an empty result
    missing: set[str] = field(default_factory=set)  # methods that this portal has not
    faults: list[Reply | str | None] = field(default_factory=list)  # "drop": serve, then lose the answer
    asked: list[str] = field(default_factory=list)  # methods, in order
    commands: list[int] = field(default_factory=list)  # how many each batch had
    follows: bool = True  # references of a batch's commands to the results of earlier ones
    completions_status: int = 200
    scopes: list[str] = field(default_factory=lambda: ["crm", "disk", "telephony", "ai_admin"])

    def call(self, number: int, at: float, **fields: Any) -> None:
        """Adds a call activity created at unix seconds `at`."""
        when = datetime.fromtimestamp(at, UTC).isoformat()
        self.activities[number] = {
            "ID": str(number), "TYPE_ID": "2", "PROVIDER_ID": "VOXIMPLANT_CALL", "OWNER_TYPE_ID": "3",
            "OWNER_ID": "900", "ORIGIN_ID": f"VI_call.{number}", "CREATED": when, "START_TIME": when,
            "END_TIME": when, "FILES": [], **fields,
        }  # fmt: skip

    def serve(self, method: str, params: dict[str, Any]) -> Any:
        if method in self.missing:
            raise Fault(404, "ERROR_METHOD_NOT_FOUND", "Method not found!")
        name = "do_" + method.replace(".", "_")
        return getattr(self, name)(params)

    def do_batch(self, params: dict[str, Any]) -> Any:
        good: dict[str, Any] = {}
        bad = {}
        self.commands.append(len(params["cmd"]))
        for key, command in params["cmd"].items():
            method, _, query = command.partition("?")
            try:
                filled = parse(query)
                filled = _followed(filled, good) if self.follows else filled
                result = self.serve(method, filled)
                start = int(filled.get("start") or 0)
                good[key] = result.of(start) if isinstance(result, _Page) else result
            except Fault as fault:
                bad[key] = {"error": fault.code, "error_description": fault.description}
        return {"result": good or [], "result_error": bad or [], "result_time": []}

    def do_profile(self, params: dict[str, Any]) -> Any:
        return {"ID": "1", "ADMIN": True}

    def do_scope(self, params: dict[str, Any]) -> Any:
        return self.scopes

    def do_crm_activity_get(self, params: dict[str, Any]) -> Any:
        if (number := _id(params["id"])) not in self.activities:
            raise Fault(400, "", "Not found")
        return self.activities[number]

    def do_crm_activity_list(self, params: dict[str, Any]) -> Any:
        wanted = params["filter"]
        found = list(self.activities.values())
        for key, value in wanted.items():
            if key == ">=CREATED":
                found = [item for item in found if _at(item["CREATED"]) >= _at(value)]
            elif key == "<=CREATED":
                found = [item for item in found if _at(item["CREATED"]) <= _at(value)]
            elif key == "<ID":
                found = [item for item in found if int(item["ID"]) < int(value)]
            else:
                found = [item for item in found if item[key] == str(value)]
        return _Page(sorted(found, key=lambda item: -int(item["ID"])), size=50)

    def do_crm_activity_binding_list(self, params: dict[str, Any]) -> Any:
        pairs = self.bound.get(_id(params["activityId"]), [])
        return [{"entityTypeId": kind, "entityId": number} for kind, number in pairs]

    def do_crm_activity_call_getTranscript(self, params: dict[str, Any]) -> Any:
        text = self.transcripts.get(_id(params["activityId"]))
        if text == "DENIED":
            raise Fault(403, "ACCESS_DENIED")
        if text is None and self.says_not_found:
            raise Fault(400, "NOT_FOUND", "no transcript")
        return {"transcription": text} if text is not None else None

    def do_crm_timeline_logmessage_add(self, params: dict[str, Any]) -> Any:
        self.entries.append(params["fields"])
        return {"logMessage": {"id": len(self.entries), **params["fields"]}}

    def do_crm_timeline_logmessage_list(self, params: dict[str, Any]) -> Any:
        key = (params["entityTypeId"], params["entityId"])
        return _Page(
            [e for e in reversed(self.entries) if (e["entityTypeId"], e["entityId"]) == key], size=10
        )

    def do_crm_timeline_comment_add(self, params: dict[str, Any]) -> Any:
        self.comments.append(params["fields"])
        return len(self.comments)

    def do_crm_timeline_comment_list(self, params: dict[str, Any]) -> Any:
        wanted = params["filter"]
        return _Page(
            [c for c in reversed(self.comments) if all(c[k] == v for k, v in wanted.items())], size=50
        )

    def do_disk_file_get(self, params: dict[str, Any]) -> Any:
        if (number := _id(params["id"])) not in self.files:
            raise Fault(400, "ERROR_NOT_FOUND") if self.files else Fault(403, "insufficient_scope")
        size = {"SIZE": self.sizes[number]} if number in self.sizes else {}
        return {"ID": str(number), "DOWNLOAD_URL": self.files[number], **size}

    def do_voximplant_statistic_get(self, params: dict[str, Any]) -> Any:
        wanted = params["FILTER"]["CALL_ID"]
        return [call for call in self.statistics if call["CALL_ID"] == wanted]

    def do_telephony_call_attachTranscription(self, params: dict[str, Any]) -> Any:
        self.attached.append(params)
        return {"TRANSCRIPT_ID": 1}

    def do_ai_engine_register(self, params: dict[str, Any]) -> Any:
        if params["code"] in self.engines:
            raise Fault(400, "ENGINE_REGISTER_ERROR_CODE_UNIQUE", "exists")
        self.engines[params["code"]] = {"id": len(self.engines) + 1, **params}
        return len(self.engines)

    def do_ai_engine_list(self, params: dict[str, Any]) -> Any:
        wanted = {key.lower(): value for key, value in (params.get("filter") or {}).items()}
        found = [e for e in self.engines.values() if all(str(e.get(k)) == str(v) for k, v in wanted.items())]
        return found[: int(params.get("limit") or 100)]

    def do_ai_engine_unregister(self, params: dict[str, Any]) -> Any:
        return self.engines.pop(params["code"], None) is not None


class _Page:
    def __init__(self, items: list[Any], *, size: int) -> None:
        self.items = items
        self.size = size

    def of(self, start: int) -> list[Any]:
        return self.items[start : start + self.size]


def _followed(params: Any, results: dict[str, Any]) -> Any:
    """With `$result[c0][ID]` replaced by what that command returned, or by nothing."""
    if isinstance(params, dict):
        return {key: _followed(value, results) for key, value in params.items()}
    if not isinstance(params, str) or not params.startswith("$result["):
        return params
    found: Any = results
    for key in params[len("$result[") : -1].split("]["):
        if isinstance(found, list):
            found = found[int(key)] if int(key) < len(found) else ""
        else:
            found = found.get(key, "") if isinstance(found, dict) else ""
    return found


def _id(value: Any) -> int:
    if not str(value).isdigit():
        raise Fault(400, "ERROR_ARGUMENT", "Invalid value of parameter")
    return int(value)


def _at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


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
        params = json.loads(body or b"{}")
        try:
            result = portal.serve(method, params)
        except Fault as problem:
            return problem.status, {"error": problem.code, "error_description": problem.description}
        if fault == "drop":
            return None
        if isinstance(result, _Page):
            start = int(params.get("start") or 0)
            page: dict[str, Any] = {"result": result.of(start)}
            if start + result.size < len(result.items):
                page["next"] = start + result.size
            return 200, page
        return 200, {"result": result, "time": {"operating": 0}}

    with serving(answer) as url:
        portal.url = f"{url}/rest/1/{CODE}/"
        yield portal
