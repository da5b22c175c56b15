"""The api as a real server on a loopback port: slow, huge and broken clients, and a store that is away."""

from __future__ import annotations

import gc
import http.client
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from pipeline.settings.installation import Settings
from pipeline.store import Store
from pipeline.web import bodies
from pipeline.web.app import create_app
from pipeline.web.server import PIPELINED, Bounded
from tests.conftest import embedded_store
from tests.web.conftest import API_KEY, PORTAL, TOKEN, audio_request


class Hurried(Bounded):
    head_seconds = 0.3


@contextmanager
def serving(settings: Settings) -> Iterator[int]:
    """The port of a server in a thread."""
    config = uvicorn.Config(create_app(settings), http=Hurried, ws="none", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: Any


def ask(port: int, method: str, path: str, body: bytes | None = None) -> Answer:
    """The answer, for which a client waits as long as a portal does: 5 s."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body=body)
        answer = connection.getresponse()
        text = answer.read()
        return Answer(answer.status, answer.headers, json.loads(text) if text.startswith(b"{") else None)
    finally:
        connection.close()


def post(port: int, body: bytes) -> Answer:
    return ask(port, "POST", f"/engines/{TOKEN}/audio", body)


def numbered(number: int) -> bytes:
    return json.dumps(audio_request(callbackUrl=f"{PORTAL}/cb?hash=n{number}")).encode()


def closed(port: int, data: bytes) -> bool:
    """Whether the server itself closes a connection on which only `data` was sent; TimeoutError if not."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(data)
        while connection.recv(65_536):
            pass
        return True


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /engines/x HTTP/1.1\r\nHost: a\r\nX-Slow:",
        b"GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET /hea",
    ],
)
def test_half_a_head_is_not_waited_for(make_settings: Callable[..., Settings], sent: bytes) -> None:
    """A connection whose request never ends its head is closed, a second request's too."""
    with serving(make_settings()) as port:
        assert closed(port, sent)


def test_a_thousand_idle_connections(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that send half a head by the thousand keep no valid request from its answer."""
    monkeypatch.setattr(Hurried, "head_seconds", 30.0)
    with serving(make_settings()) as port, ExitStack() as idle:
        for _ in range(1_500):
            connection = idle.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            connection.sendall(b"POST /engines/x")
        assert post(port, numbered(1)).status == 202


def test_an_endless_head_is_cut_off(make_settings: Callable[..., Settings]) -> None:
    """Headers beyond 16 KiB close the connection."""
    with serving(make_settings()) as port, socket.create_connection(("127.0.0.1", port), timeout=5) as sender:
        sender.sendall(b"GET /health HTTP/1.1\r\n")
        with pytest.raises(ConnectionError):
            sender.sendall((b"X-More: " + b"x" * 1000 + b"\r\n") * 100_000)


CHUNKED = f"POST /engines/{TOKEN}/audio HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /health HTTP/1.1\r\n\r\n" * 10_000,
        b"GET /health HTTP/1.1\r\n" + b"A: b\r\n" * 40_000 + b"\r\n",
        b"GET /" + b"a/" * 100_000 + b" HTTP/1.1\r\n\r\n",
        CHUNKED + b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n",
        CHUNKED.replace(b"/engines/", b"/nowhere/") + b"1\r\na\r\n" * 100_000,
        CHUNKED + b"1\r\na\r\n0\r\n" + b"A: b\r\n" * 100_000 + b"\r\n",
        CHUNKED + b"1;" + b"x" * 1_000_000 + b"\r\na\r\n0\r\n\r\n",
    ],
    ids=[
        "pipelined",
        "headers",
        "path",
        "chunks",
        "refused chunks",
        "trailers",
        "extensions",
    ],
)
def test_what_is_dear_to_read_is_not_read_on(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """Thousands of requests, headers, chunks or trailers in a row: nine are served at most, then it ends."""
    served: list[str] = []
    real = Hurried._start_asgi_task

    def counted(self: Hurried, cycle: Any, app: Any) -> None:
        served.append(cycle.scope["path"])
        real(self, cycle, app)

    broken: list[Any] = []
    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "error", lambda *said, **_: broken.append(said))
    monkeypatch.setattr(Hurried, "_start_asgi_task", counted)
    monkeypatch.setattr(Hurried, "linger_seconds", 0.2)
    with serving(make_settings()) as port, socket.create_connection(("127.0.0.1", port), timeout=5) as sender:
        answer = b""
        with suppress(ConnectionError):  # who sends on is cut off
            sender.sendall(sent)
        with suppress(ConnectionError):
            while piece := sender.recv(65_536):
                answer += piece
        assert len(served) <= PIPELINED + 1
        assert b" 202 " not in answer
        assert post(port, numbered(1)).status == 202
    assert broken == [], "the log is told of no bug"


def test_a_body_in_chunks_of_ordinary_size_is_read(make_settings: Callable[..., Settings]) -> None:
    """Chunks of a kilobyte by the hundred, each with an extension, and a trailer: the request is taken."""
    body = json.dumps(audio_request(callbackUrl=f"{PORTAL}/cb?hash=c1", more="x" * 800_000)).encode()
    parts = [body[start : start + 1024] for start in range(0, len(body), 1024)]
    chunks = b"".join(b"%x;signed=no\r\n%s\r\n" % (len(part), part) for part in parts)
    with serving(make_settings()) as port, socket.create_connection(("127.0.0.1", port), timeout=5) as sender:
        sender.sendall(CHUNKED + chunks + b"0\r\nX-Sum: 1\r\n\r\n")
        assert sender.recv(100).startswith(b"HTTP/1.1 202")


def test_half_a_body_is_not_waited_for(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that stops flowing is a 408, and healthy requests are answered meanwhile."""
    monkeypatch.setattr(bodies, "PATIENCE_SECONDS", 0.5)
    with serving(make_settings()) as port:
        slow = []
        for _ in range(50):
            connection = socket.create_connection(("127.0.0.1", port), timeout=10)
            connection.sendall(f"POST /engines/{TOKEN}/audio HTTP/1.1\r\nHost: a\r\n".encode())
            connection.sendall(b"Content-Length: 1000\r\n\r\n{")
            slow.append(connection)
        assert post(port, numbered(1)).status == 202
        for connection in slow:
            with connection:
                assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_who_sends_too_much_hears_it(make_settings: Callable[..., Settings]) -> None:
    """A client that sends its whole body before it reads still gets the 413."""
    with serving(make_settings()) as port:
        assert post(port, b"x" * (9 << 20)).status == 413


@pytest.mark.parametrize(
    "path", [f"/engines/{TOKEN}/audio", "/engines/unknown/audio", "/v1/calls", "/health"]
)
def test_an_early_answer_waits_for_no_body(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """What is answered before its body has come closes the connection, also on a sender that never ends."""
    monkeypatch.setattr(Hurried, "linger_seconds", 0.3)
    with serving(make_settings()) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as sender:
            sender.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n".encode())
            sender.sendall(b"x" * 100_000)
            answer = b""
            while piece := sender.recv(65_536):
                answer += piece
            head = answer.partition(b"\r\n\r\n")[0].lower()
            assert head.split()[1] in (b"401", b"404", b"405", b"413")
            assert b"connection: close" in head
            with pytest.raises(ConnectionError):
                sender.sendall(b"x" * (64 << 20))
        assert post(port, numbered(1)).status == 202


def test_a_connection_is_kept_after_a_refusal(make_settings: Callable[..., Settings]) -> None:
    """A request that came whole is refused, and the next one on the same connection is taken."""
    with serving(make_settings()) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        for body, status in ((b"{}", 400), (numbered(1), 202)):
            connection.request("POST", f"/engines/{TOKEN}/audio", body=body)
            answer = connection.getresponse()
            answer.read()
            assert (answer.status, answer.headers["connection"]) == (status, None)
        connection.close()


def test_a_request_leaves_no_garbage_behind(make_settings: Callable[..., Settings]) -> None:
    """What belongs to a request refers to nothing that refers back to it, so that it goes with its answer."""
    with serving(make_settings()) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        gc.collect()
        gc.disable()
        try:
            for number in range(20):
                connection.request("POST", f"/engines/{TOKEN}/audio", body=numbered(number))
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 202
            left = [found for found in gc.get_objects() if isinstance(found, RequestResponseCycle)]
        finally:
            gc.enable()
        assert len(left) <= 1, "but for the connection's last"
        connection.close()


def test_fifty_at_once_are_one_job(make_settings: Callable[..., Settings], store: Store) -> None:
    """The same request, fifty times in parallel: 202 each, one job."""
    with serving(make_settings()) as port, ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: post(port, numbered(0)).status, range(50)))
    assert answers == [202] * 50
    assert len(store.page()) == 1


def test_a_store_that_hangs_or_is_away(make_settings: Callable[..., Settings], short_path: Path) -> None:
    """503 with Retry-After before a portal gives up, /health goes on, and all is well once it is back."""

    def refused(port: int, number: int) -> None:
        answer = post(port, numbered(number))
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.body["error"]["code"] == "store_unavailable"

    with embedded_store(short_path) as (process, url), serving(make_settings(redis_url=url)) as port:
        assert post(port, numbered(1)).status == 202
        os.kill(process.pid, signal.SIGSTOP)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: refused(port, number), range(2, 10)))
        assert ask(port, "GET", "/health").status == 200
        assert ask(port, "GET", "/ready").status == 503
        os.kill(process.pid, signal.SIGCONT)
        assert post(port, numbered(2)).status == 202
        process.terminate()
        process.wait(20)
        refused(port, 11)
        with embedded_store(short_path):
            assert post(port, numbered(11)).status == 202


def test_the_documented_command(valkey: str, short_path: Path) -> None:
    """`uvicorn pipeline.web.app:create_app --factory` serves, logs each job, and leaks no secret."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = {
        "REDIS_URL": valkey,
        "DATA_DIR": str(short_path),
        "PORTAL_URL": PORTAL,
        "PORTAL_TOKEN": TOKEN,
        "API_KEY": API_KEY,
    }
    environment = {**os.environ, **{f"CALLSCRIBE_{name}": value for name, value in settings.items()}}
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "pipeline.web.app:create_app",
        "--factory",
        "--no-proxy-headers",
        "--port",
        str(port),
    ]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        _await_health(port)
        assert post(port, numbered(1)).status == 202
        assert post(port, b'{"callbackUrl": "https://evil.example/?secret=1"}').status == 400
        assert ask(port, "POST", "/sign-in", f"key={API_KEY}".encode()).status == 303
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
    lines: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    accepted = [line for line in lines if line["event"] == "job_accepted"]
    assert len(accepted) == 1
    assert accepted[0]["job"].startswith("job_")
    for secret in (TOKEN, API_KEY, "secret"):
        assert secret not in output


def _await_health(port: int) -> None:
    for _ in range(400):
        try:
            if ask(port, "GET", "/health").status == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the server did not begin to serve")
