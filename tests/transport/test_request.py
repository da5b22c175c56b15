"""Requests to providers, portals and callbacks: one answer, or a failure that says what may have been."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from pipeline.clients.messages import Body
from pipeline.clients.retry_after import retry_after_seconds
from pipeline.clients.transport import Answer, Transport, Unreachable
from pipeline.domain.errors import BadAnswer, ForbiddenURL, SettingsError
from tests.transport.conftest import Serve
from tests.transport.listener import TLS, Connection


def test_any_status_is_an_answer(serve: Serve, transport: Transport) -> None:
    """Errors and redirects of a server are answers, with names of headers in lower case."""
    for status in (200, 302, 404, 429, 503):
        server = serve(lambda c, _, s=status: c.answer(b'{"a": 1}', status=s, headers="Retry-After: 3\r\n"))
        for operator in (True, False):
            answer = transport.request("GET", server.url, timeout_seconds=5, operator=operator)
            assert (answer.status, answer.headers["retry-after"], answer.json()) == (status, "3", {"a": 1})


def test_bodies_of_every_kind(serve: Serve, transport: Transport) -> None:
    """JSON keeps its letters, forms are forms, uploads carry the file's name; headers go along."""
    server = serve(lambda c, _: c.answer())

    def send(**body: Any) -> bytes:
        transport.request(
            "POST",
            server.url + "/v1?q=1",
            headers={"Authorization": "Bearer k"},
            timeout_seconds=5,
            operator=True,
            body=Body(**body),
        )
        return server.requests[-1]

    sent = send(json={"text": "Да"})
    assert sent.startswith(b"POST /v1?q=1 HTTP/1.1\r\n")
    assert b"Authorization: Bearer k\r\n" in sent
    assert json.loads(sent.partition(b"\r\n\r\n")[2]) == {"text": "Да"}
    assert send(data={"a": "b c"}).endswith(b"\r\n\r\na=b+c")
    assert send(content=b"\x00raw").endswith(b"\r\n\r\n\x00raw")
    sent = send(files={"file": ("chunk-001.mp3", b"ID3", "audio/mpeg")}, data={"model": "whisper"})
    assert b'name="file"; filename="chunk-001.mp3"\r\nContent-Type: audio/mpeg\r\n\r\nID3\r\n' in sent
    assert b'name="model"\r\n\r\nwhisper\r\n' in sent
    assert server.connections == 1  # the provider's connection is kept


def test_head_and_body_leave_together(serve: Serve, transport: Transport) -> None:
    """A request that is not long is one write: its head is not sent ahead of its body."""
    seen: list[bytes] = []

    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            sock, _ = server.accept()
            with sock:
                seen.append(sock.recv(65536))
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=listen)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        transport.request("POST", url, body=Body(content=b"whole"), timeout_seconds=5)
        thread.join(5)
    assert seen[0].startswith(b"POST / HTTP/1.1\r\n")
    assert seen[0].endswith(b"\r\n\r\nwhole")


@pytest.mark.parametrize("tls", [False, True])
def test_a_guarded_connection_is_kept_while_its_name_leads_there(serve: Serve, tls: bool) -> None:
    """A portal's connection serves its next request too, but each request looks the name up for itself."""
    server, asked = serve(lambda c, _: c.answer(b"ok"), tls=tls), []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    made = Transport(trusted=["calls.example"], ca_file=TLS / "authority.pem", lookup=lookup)
    with closing(made):
        for _ in range(3):
            url = f"http{'s' if tls else ''}://calls.example:{server.port}/"
            assert made.request("POST", url, body=Body(json={}), timeout_seconds=5).body == b"ok"
    assert (server.connections, asked) == (1, 3 * ["calls.example"])


def test_a_kept_connection_is_checked_for_each_request(serve: Serve) -> None:
    """Who is not trusted does not reach a private address by the connection of somebody who is."""
    server = serve(lambda c, _: c.answer(b"ok"), tls=True)
    url = f"https://calls.example:{server.port}/"
    with closing(Transport(ca_file=TLS / "authority.pem", lookup=lambda host, port: ["127.0.0.1"])) as made:
        for _ in range(2):
            assert made.request("GET", url, timeout_seconds=5, same_host="calls.example").body == b"ok"
            with pytest.raises(ForbiddenURL, match="loopback"):
                made.request("GET", url, timeout_seconds=5)
            made.request("GET", url, timeout_seconds=5, operator=True)
            with pytest.raises(ForbiddenURL, match="loopback"):
                made.request("GET", url, timeout_seconds=5)
    assert len(server.requests) == 4


def test_a_kept_connection_is_left_when_its_name_has_moved(serve: Serve) -> None:
    """The next request goes where the name leads then, or nowhere, and never to where it led before."""
    server = serve(lambda c, _: c.answer(b"ok"))
    turns = iter([["127.0.0.1"], *4 * [["127.0.0.9"]]])
    url = f"http://calls.example:{server.port}/"
    with closing(Transport(trusted=["calls.example"], lookup=lambda host, port: next(turns))) as made:
        assert made.request("GET", url, timeout_seconds=5).body == b"ok"
        with pytest.raises(Unreachable, match="refused") as moved:
            made.request("GET", url, timeout_seconds=5)
        assert not moved.value.sent
    assert len(server.requests) == 1


@pytest.mark.parametrize("operator", [True, False])
def test_what_follows_an_answer_is_not_taken_for_the_next_one(
    serve: Serve, transport: Transport, operator: bool
) -> None:
    """Where a server sends more than it said, what is over goes with its connection."""
    answer, more = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
    )
    for over in (b"\n", b"garbage", more):
        server = serve(lambda c, _, over=over: c.send(answer + over))
        for _ in range(3):
            heard = transport.request("GET", server.url, timeout_seconds=5, operator=operator)
            assert (heard.status, heard.body) == (200, b"ok")
        assert server.connections == 3


def test_servers_are_told_apart_by_their_whole_origin(serve: Serve, transport: Transport) -> None:
    """A kept connection serves its own host and port alone, whoever asks."""
    servers = [serve(lambda c, _, n=n: c.answer(b"%d" % n)) for n in range(2)]
    for _ in range(2):
        for number, server in enumerate(servers):
            assert transport.request("GET", server.url, timeout_seconds=5).body == b"%d" % number
    assert [server.connections for server in servers] == [1, 1]


def test_kept_connections_are_few(
    serve: Serve, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What many hosts leave open is bounded: the one that has waited longest is closed first."""
    monkeypatch.setattr("pipeline.clients.connections.MOST_IDLE", 2)
    servers = [serve(lambda c, _: c.answer()) for _ in range(3)]
    for server in (*servers, *servers[1:], servers[0]):
        transport.request("GET", server.url, timeout_seconds=5)
    assert [server.connections for server in servers] == [2, 1, 1]


def test_kept_connections_of_many_threads_answer_their_own(serve: Serve, transport: Transport) -> None:
    """Requests of threads that share the kept connections get each its own answer."""
    server = serve(lambda c, request: c.answer(request.partition(b"\r\n\r\n")[2]))

    def ask(number: int) -> bool:
        text = str(number).encode()
        return transport.request("POST", server.url, body=Body(content=text), timeout_seconds=20).body == text

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(200)))
    assert 1 <= server.connections <= 8


def test_a_kept_connection_that_ended_is_not_used(serve: Serve, transport: Transport) -> None:
    """When a server closed a kept connection, the next request opens another instead of failing."""

    def once(connection: Connection, _: bytes) -> None:
        connection.answer()
        raise OSError

    server = serve(once)
    for _ in range(3):
        assert transport.request("GET", server.url, timeout_seconds=5, operator=True).status == 200
        deadline = time.monotonic() + 5
        while any(thread.is_alive() for thread in server._threads[1:]) and time.monotonic() < deadline:
            time.sleep(0.001)  # until the server's end of the connection is closed
    assert server.connections == 3


@pytest.mark.parametrize("operator", [True, False])
def test_a_lost_answer_may_have_been_served(serve: Serve, transport: Transport, operator: bool) -> None:
    """Once the whole request has left, a failure says that it may have been served and paid."""

    def hang_up(connection: Connection, _: bytes) -> None:
        raise OSError

    def half(connection: Connection, _: bytes) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        raise OSError

    for script in (hang_up, half, lambda c, _: c.send(b"garbage\r\n\r\n"), lambda c, _: c.wait_closed()):
        with pytest.raises(Unreachable) as failure:
            transport.request(
                "POST", serve(script).url, body=Body(json={}), timeout_seconds=0.3, operator=operator
            )
        assert failure.value.sent


def test_a_request_that_did_not_leave_was_not_served(serve: Serve, transport: Transport) -> None:
    """A refused connection and a name without address are no request at all."""
    closed = serve(lambda c, _: c.answer())
    closed.close()
    nameless = Transport(lookup=lambda host, port: [])
    for made, url in ((transport, closed.url), (nameless, "https://calls.example/")):
        with pytest.raises(Unreachable) as failure:
            made.request("POST", url, body=Body(content=b""), timeout_seconds=5, operator=True)
        assert not failure.value.sent


def test_an_upload_that_nobody_reads_ends_with_the_deadline(transport: Transport) -> None:
    """A server that accepts and then reads nothing is held to the deadline too; nothing was served."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        begun = time.monotonic()
        with pytest.raises(Unreachable, match="in time") as failure:
            transport.request(
                "POST",
                f"http://127.0.0.1:{deaf.getsockname()[1]}/",
                body=Body(files={"file": ("a.wav", bytes(40 << 20), "audio/wav")}),
                timeout_seconds=0.5,
                operator=True,
            )
        assert not failure.value.sent
        assert time.monotonic() - begun < 20


def test_an_early_refusal_of_an_upload_is_heard(transport: Transport) -> None:
    """A server may answer 413 and hang up while the body is still on its way: that is the answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            sock, _ = server.accept()
            sock.recv(1000)
            sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(1 << 20):
                pass
            sock.close()

        thread = threading.Thread(target=refuse)
        thread.start()
        answer = transport.request(
            "POST",
            f"http://127.0.0.1:{server.getsockname()[1]}/",
            body=Body(content=bytes(8 << 20)),
            timeout_seconds=10,
            operator=True,
        )
        assert (answer.status, answer.body) == (413, b"no")
        thread.join(5)


def test_a_large_answer_is_not_read(serve: Serve, transport: Transport) -> None:
    """A body above the limit is a bad answer, and so is a compressed one."""
    large = serve(lambda c, _: c.answer(bytes(2000)))
    packed = serve(lambda c, _: c.answer(b"\x1f\x8b", headers="Content-Encoding: gzip\r\n"))
    for server in (large, packed):
        with pytest.raises(BadAnswer) as failure:
            transport.request("GET", server.url, timeout_seconds=5, operator=True, max_answer_bytes=1000)
        assert (failure.value.http_status, failure.value.ambiguous) == (200, True)
    exact = transport.request("GET", large.url, timeout_seconds=5, operator=True, max_answer_bytes=2000)
    assert len(exact.body) == 2000


def test_drips_do_not_hold_a_provider_call(serve: Serve, transport: Transport) -> None:
    """The deadline counts for the whole call, however steadily the headers drip."""

    def drip(connection: Connection, _: bytes) -> None:
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000:
            connection.send(bytes([byte]))
            time.sleep(0.02)

    begun = time.monotonic()
    with pytest.raises(Unreachable, match="in time"):
        transport.request("GET", serve(drip).url, timeout_seconds=0.4, operator=True)
    assert time.monotonic() - begun < 10


def test_a_deadline_that_passed_asks_nobody(serve: Serve, transport: Transport) -> None:
    """No time left means no connection at all."""
    server = serve(lambda c, _: c.answer())
    for operator in (True, False):
        with pytest.raises(Unreachable) as failure:
            transport.request("GET", server.url, timeout_seconds=0, operator=operator)
        assert not failure.value.sent
    assert server.connections == 0


def test_threads_share_a_transport(serve: Serve, transport: Transport) -> None:
    """32 threads get each its own answer, guarded or not, and their deadlines do not mix."""

    def echo(connection: Connection, request: bytes) -> None:
        number = request.split(b" ")[1]
        if number.endswith(b"/slow"):
            time.sleep(0.5)
        connection.answer(number)

    server = serve(echo)

    def call(number: int) -> bool:
        slow = number % 4 == 0
        path = f"/{number}" + ("/slow" if slow else "")
        try:
            answer = transport.request(
                "GET", server.url + path, timeout_seconds=0.2 if slow else 20, operator=number % 2 == 0
            )
        except Unreachable:
            return slow
        return answer.body == path.encode() and not slow

    with ThreadPoolExecutor(32) as threads:
        assert all(threads.map(call, range(320)))


def test_headers_that_are_none_are_not_sent(serve: Serve, transport: Transport) -> None:
    """A key with a line break or letters beyond ASCII fails before anything leaves, and is not quoted."""
    server = serve(lambda c, _: c.answer())
    for key in ("secret\r\nX: y", "secret-ключ", "secret\x00"):
        with pytest.raises(Unreachable) as failure:
            transport.request("GET", server.url, headers={"X-Api-Key": key}, timeout_seconds=5, operator=True)
        assert "secret" not in failure.value.message
        assert not failure.value.sent
    assert server.requests == []


def test_nothing_secret_is_logged(
    serve: Serve, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither header nor query nor body reaches a log, at whatever level."""
    server = serve(lambda c, _: c.answer(b"secret-answer", headers="X-Token: secret-header\r\n"))
    with caplog.at_level(logging.DEBUG):
        for operator in (True, False):
            transport.request(
                "POST",
                server.url + "/?k=secret-q",
                body=Body(json={"t": "secret-text"}),
                headers={"X-Api-Key": "secret-key"},
                timeout_seconds=5,
                operator=operator,
            )
    assert "secret" not in caplog.text


def test_the_operators_urls_go_through_the_proxy(serve: Serve) -> None:
    """PROVIDER_PROXY carries the operator's requests, with its password, and nothing else."""
    server = serve(lambda c, _: c.answer(b"direct"))
    proxy = serve(lambda c, _: c.answer(b"proxied"))
    address = proxy.url.replace("//", "//user:word@")
    with closing(Transport(trusted=["127.0.0.1"], proxy=address)) as made:
        assert made.request("GET", server.url + "/a", timeout_seconds=5, operator=True).body == b"proxied"
        assert made.request("GET", server.url + "/a", timeout_seconds=5).body == b"direct"
    assert proxy.requests[0].startswith(f"GET {server.url}/a HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic dXNlcjp3b3Jk\r\n" in proxy.requests[0]


def test_a_tunnel_is_no_request(serve: Serve) -> None:
    """When the proxy refuses the tunnel, or dies behind it, the request itself has not left."""
    refusing = serve(lambda c, _: c.answer(status=403))

    def dying(connection: Connection, _: bytes) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        raise OSError

    for proxy in (refusing, serve(dying)):
        with closing(Transport(proxy=proxy.url)) as made, pytest.raises(Unreachable) as failure:
            made.request(
                "POST", "https://calls.example/v1", body=Body(json={}), timeout_seconds=5, operator=True
            )
        assert not failure.value.sent
        assert proxy.requests[0].startswith(b"CONNECT calls.example:443 HTTP/1.1\r\n")


def test_ways_through_a_proxy_are_kept(serve: Serve) -> None:
    """A tunnel serves the next request to the same server, and so does a plain way through the proxy."""
    secret, plain = serve(lambda c, _: c.answer(b"ok"), tls=True), serve(lambda c, _: c.answer())

    def proxy(connection: Connection, request: bytes) -> None:
        if not request.startswith(b"CONNECT"):
            return connection.answer(b"plain")
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        with socket.create_connection(("127.0.0.1", secret.port)) as there:

            def back() -> None:
                with suppress(OSError):  # the client hung up
                    while data := there.recv(65536):
                        connection.send(data)

            thread = threading.Thread(target=back, daemon=True)
            thread.start()
            while data := connection._sock.recv(65536):
                there.sendall(data)
            there.shutdown(socket.SHUT_RDWR)
            thread.join(5)
        return None

    between = serve(proxy)
    with closing(Transport(proxy=between.url, ca_file=TLS / "authority.pem")) as made:
        for _ in range(3):
            url = f"https://calls.example:{secret.port}/"
            assert made.request("GET", url, timeout_seconds=5, operator=True).body == b"ok"
            assert made.request("GET", plain.url, timeout_seconds=5, operator=True).body == b"plain"
    assert (between.connections, secret.connections) == (2, 1)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "127.0.0.1:3128", "ftp://x", "http://[", ""])
def test_proxies_that_are_none(proxy: str) -> None:
    """Only http and https proxies are served, and the setting is named."""
    with pytest.raises(SettingsError, match="CALLSCRIBE_PROVIDER_PROXY"):
        Transport(proxy=proxy)


def test_settings_that_cannot_be_used(tmp_path: Path) -> None:
    """An unreadable authority file and a trusted host that is none are named."""
    (tmp_path / "ca.pem").write_text("no certificate")
    for path in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(SettingsError, match="CALLSCRIBE_CA_FILE"):
            Transport(ca_file=path)
    with pytest.raises(SettingsError, match="CALLSCRIBE_TRUSTED_HOSTS"):
        Transport(trusted=["not a host!"])


@pytest.mark.parametrize("operator", [True, False])
def test_certificates_are_for_the_name_in_the_url(serve: Serve, operator: bool) -> None:
    """The server is told the URL's name (SNI), and must prove that name by a known authority."""
    server = serve(lambda c, _: c.answer(b"ok"), tls=True)

    def ask(host: str, ca_file: Path | None) -> Answer:
        with closing(
            Transport(trusted=[host], ca_file=ca_file, lookup=lambda host, port: ["127.0.0.1"])
        ) as made:
            return made.request("GET", f"https://{host}:{server.port}/", timeout_seconds=5, operator=operator)

    authority = TLS / "authority.pem"
    for host, name in (("calls.example", "calls.example"), ("Запись.example", "xn--80ane1al0e.example")):
        assert ask(host, authority).body == b"ok"
        assert server.names[-1] == name
        assert f"Host: {name}:{server.port}\r\n".encode() in server.requests[-1]
    for host, ca_file in (("calls.example", None), ("other.example", authority), ("127.0.0.1", authority)):
        with pytest.raises(Unreachable, match="certificate verify failed") as failure:
            ask(host, ca_file)
        assert not failure.value.sent
    assert len(server.requests) == 2


def test_names_are_looked_up_once_per_connection(serve: Serve) -> None:
    """The address that was checked is the one that is connected to: no second look-up can tell another."""
    server = serve(lambda c, _: c.answer(b"ok"))
    asked: list[tuple[str, int]] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    with closing(Transport(trusted=["calls.example"], lookup=rebinding)) as made:
        url = f"http://calls.example:{server.port}/"
        assert made.request("GET", url, timeout_seconds=5).body == b"ok"
    assert asked == [("calls.example", server.port)]


def test_the_next_address_is_tried(serve: Serve) -> None:
    """A name with a dead and a live address is reached by the live one."""
    server = serve(lambda c, _: c.answer(b"ok"))
    addresses = ["127.0.0.9", "::1", "127.0.0.1"]
    with closing(Transport(trusted=["calls.example"], lookup=lambda host, port: addresses)) as made:
        assert made.request("GET", f"http://calls.example:{server.port}/", timeout_seconds=5).body == b"ok"


def test_a_late_name_server_is_unreachable() -> None:
    """The look-up counts into the deadline."""
    never = threading.Event()

    def late(host: str, port: int) -> list[str]:
        never.wait(60)
        return []

    begun = time.monotonic()
    with pytest.raises(Unreachable, match="name server"):
        Transport(lookup=late).request("GET", "https://calls.example/", timeout_seconds=0.2)
    never.set()
    assert time.monotonic() - begun < 20


def test_forbidden_is_forbidden_for_requests_too(serve: Serve) -> None:
    """A callback to a private address is refused without a connection; the operator's own URL is not."""
    server = serve(lambda c, _: c.answer())
    with closing(Transport()) as made:
        for url in (server.url, server.url.replace("http:", "https:")):
            with pytest.raises(ForbiddenURL):
                made.request("POST", url, body=Body(json={}), timeout_seconds=5)
        assert server.connections == 0
        assert (
            made.request("POST", server.url, body=Body(json={}), timeout_seconds=5, operator=True).status
            == 200
        )


def test_answers_that_are_no_json() -> None:
    """Half a document, none, or one nested without end is a bad answer."""
    for body in (b"", b"<html>", b'{"a": ', b"\xff\xfe", b"[" * 100_000):
        with pytest.raises(BadAnswer):
            Answer(status=200, headers={}, body=body).json()


def test_when_to_come_back() -> None:
    """Retry-After gives seconds, a date or `6m0s`; anything else asks for nothing."""
    assert retry_after_seconds({"retry-after": "120"}) == 120
    assert retry_after_seconds({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after_seconds({"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}) > 1e9
    assert retry_after_seconds({"retry-after": "1.5"}) == 1.5
    assert retry_after_seconds({"retry-after": "6m0s"}) == 360
    for value in ("", "soon", "-1", "٣", "9" * 5000, "1m" * 500):
        assert retry_after_seconds({"retry-after": value}) is None
    assert retry_after_seconds({}) is None
