"""A provider on loopback whose answers are scripted, and which keeps every request that it got."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipeline.clients.providers import Unremembered
from pipeline.clients.transport import Transport
from pipeline.settings.portals import Provider

LISTS = ("timestamp_granularities[]", "timestamp_granularities", "languages[]", "keywords[]", "context_bias")


@dataclass(kw_only=True)
class Asked:
    """A request as the server got it."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def form(self) -> dict[str, Any]:
        """Fields of a multipart body, lists as lists; the file as (name, type, bytes)."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        message = BytesParser(policy=HTTP).parsebytes(head + self.body)
        fields: dict[str, Any] = {}
        for part in message.iter_parts():  # type: ignore[attr-defined]
            assert isinstance(part, EmailMessage)
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            if part.get_filename():
                fields[str(name)] = (part.get_filename(), part.get_content_type(), content)
            elif name in fields or name in LISTS:
                fields[str(name)] = [*fields.get(str(name), []), content.decode()]
            else:
                fields[str(name)] = content.decode()
        return fields


@dataclass(kw_only=True)
class Scripted:
    """The server's memory: answers to give, requests that came."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: deque[tuple[int, dict[str, str], bytes]] = field(default_factory=deque)
    rule: Callable[[Asked], tuple[int, Any]] | None = None  # status and body where no answer is waiting

    def answer(self, status: int, body: Any = None, **headers: str) -> None:
        """The next answer; status 0 hangs up without one. Header names with underscores for dashes."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, {"content-type": "application/json", **named}, raw))

    def always(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        """The answer by the rule."""
        assert self.rule is not None, "an unexpected request"
        status, body = self.rule(asked)
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return status, {"content-type": "application/json"}, raw

    def provider(self, *models: str | None) -> Provider:
        return Provider(url=f"{self.url}/v1", key="secret-key-of-the-test", models=models or (None,))


@pytest.fixture
def server() -> Iterator[Scripted]:
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            script.asked.append(Asked(path=self.path, headers=headers, body=self.rfile.read(size)))
            status, extra, body = (
                script.answers.popleft() if script.answers else script.always(script.asked[-1])
            )
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    script.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield script
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport()
    yield made
    made.close()


@pytest.fixture
def capabilities() -> Unremembered:
    return Unremembered()
