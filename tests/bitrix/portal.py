"""The sandbox's portal as these tests want it: calls with few fields, odd answers, faults on request."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipeline.sandbox.app import WEBHOOK, Sandbox
from pipeline.sandbox.crm import Activity, Unfit
from pipeline.sandbox.entities import integer

CODE = WEBHOOK
Reply = tuple[int, Any] | tuple[int, Any, dict[str, str]]


class Portal:
    """A running sandbox, and what is odd about it.

    denied: calls whose transcript nobody may read. files: links of the disk's files, without any the disk is
    closed; sizes: of those files. says_not_found: of a call without a transcript, instead of an empty result.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox, self.crm, self.url = sandbox, sandbox.crm, sandbox.webhook_url
        self.scopes = ["crm", "disk", "telephony", "ai_admin"]
        self.denied: set[int] = set()
        self.files: dict[int, str] = {}
        self.sizes: dict[int, str] = {}
        self.says_not_found = False
        self.crm.add_entity("deal", 42)
        self._methods = {
            **sandbox.rest._methods,
            "scope": lambda params, base: self.scopes,
            "crm.activity.call.gettranscript": self._transcript,
            "disk.file.get": self._file,
        }
        self.lacks()
        self.completions(200)

    def call(self, number: int, at: float, text: str | None = None, bound: Any = (), **fields: Any) -> None:
        """Adds a call activity created at unix seconds `at`; text: its stored transcript."""
        when = datetime.fromtimestamp(at, UTC).isoformat()
        self.crm.activities[number] = Activity(
            fields={
                "ID": str(number), "TYPE_ID": "2", "PROVIDER_ID": "VOXIMPLANT_CALL", "OWNER_TYPE_ID": "3",
                "OWNER_ID": "900", "ORIGIN_ID": f"VI_call.{number}", "CREATED": when, "START_TIME": when,
                "END_TIME": when, "FILES": [], **fields,
            },
            bindings=list(bound),
            transcript=text,
        )  # fmt: skip

    def lacks(self, *methods: str) -> None:
        """Methods that this portal has not."""
        missing = {name.lower() for name in methods}
        self.sandbox.rest._methods = {
            name: method for name, method in self._methods.items() if name not in missing
        }
        self._rules("/rest/*/", [f"/rest/*/{name}*" for name in methods])

    def fails(self, *faults: Reply | str | None) -> None:
        """What the next requests get, one each, None as usual; "drop": served, then the answer is lost."""
        script = self.sandbox.script
        script.rules = [rule for rule in script.rules if rule.path != "/rest/*"]
        for number, fault in enumerate(faults):
            told: dict[str, Any] = {"path": "/rest/*", "skip": faults[:number].count(None)}
            if fault == "drop":
                script.add(reset="after", **told)
            elif fault is not None:
                status, body, *headers = fault
                body = body.decode() if isinstance(body, bytes) else body
                script.add(status=status, body=body, headers=dict(*headers), **told)

    def completions(self, status: int) -> None:
        """What our engines' addresses answer to the portal."""
        self._rules("/engines/", [])
        self.sandbox.script.add(path="/engines/*", times=None, status=status, body="")

    @property
    def asked(self) -> list[str]:
        """The methods of all requests so far, in order."""
        paths = [entry["path"] for entry in self.sandbox.ledger.find("/rest/*")]
        return [path.rpartition("/")[2].removesuffix(".json") for path in paths]

    def sent(self, method: str) -> list[Any]:
        """The parameters of the requests for a method."""
        return [entry["json"] for entry in self.sandbox.ledger.find(f"/rest/*/{method}*")]

    @property
    def engines(self) -> dict[str, dict[str, Any]]:
        """By their codes."""
        return {engine["code"]: engine for engine in self.sandbox.engines.registered}

    def _rules(self, prefix: str, paths: list[str]) -> None:
        script = self.sandbox.script
        script.rules = [rule for rule in script.rules if not rule.path.startswith(prefix)]
        for path in paths:
            script.add(path=path, times=None, status=404, body={"error": "ERROR_METHOD_NOT_FOUND"})

    def _transcript(self, params: Mapping[str, Any], base: str) -> Any:
        number = integer(params, "activityId")
        if number in self.denied:
            raise Unfit("ACCESS_DENIED", "", 403)
        text = self.crm.activity(number).transcript
        if text is None and self.says_not_found:
            raise Unfit("NOT_FOUND", "no transcript")
        return {"transcription": text} if text is not None else None

    def _file(self, params: Mapping[str, Any], base: str) -> Any:
        number = integer(params, "id")
        if number not in self.files:
            raise Unfit("ERROR_NOT_FOUND", "") if self.files else Unfit("insufficient_scope", "", 403)
        size = {"SIZE": self.sizes[number]} if number in self.sizes else {}
        return {"ID": str(number), "DOWNLOAD_URL": self.files[number], **size}


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
