"""Callbacks: what counts as taken, and what is kept of the answer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest

from pipeline.clients.deliver import deliver
from pipeline.clients.signing import signature_headers
from pipeline.clients.transport import Transport
from pipeline.domain.job import Delivery
from tests.transport.conftest import Serve
from tests.transport.listener import Connection, Listener

BODY = {"result": ["[Manager] Добрый день"]}


def send(transport: Transport, url: str) -> Delivery:
    return deliver(url, BODY, transport=transport, at=7.0, kind="success", timeout_seconds=5)


def test_the_portal_gets_plain_json(serve: Serve, transport: Transport) -> None:
    """POST to the URL as it stands, JSON in UTF-8, and an attempt with its time and kind comes back."""
    server = serve(lambda c, _: c.answer(b'{"status": "success"}'))
    got = send(transport, server.url + "/ai.php?hash=abc&rid=1")
    assert got == Delivery(at=7.0, kind="success", status=200, answer='{"status": "success"}', accepted=True)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /ai.php?hash=abc&rid=1 HTTP/1.1\r\n")
    assert b"content-type: application/json" in head.lower()
    assert json.loads(body.decode("utf-8")) == BODY


@pytest.mark.parametrize(
    ("status", "body", "accepted"),
    [
        (200, b"", True),
        (200, b"OK", True),
        (202, b'{"status": "ok"}', True),
        (200, b'["error"]', True),
        (200, b"<p>error</p>", True),
        (200, b"[" * 100_000, True),
        (200, bytes(2 << 20), True),
        (200, b'{"status": "error", "errors": [{"message": "Hash not found"}]}', False),
        (200, b'\xef\xbb\xbf {"status":"ERROR"}', False),
        (302, b"", False),
        (404, b"", False),
        (500, b'{"status": "success"}', False),
    ],
)
def test_what_counts_as_taken(
    serve: Serve, transport: Transport, status: int, body: bytes, accepted: bool
) -> None:
    """A 2xx answer is acceptance unless its body is the portal's refusal; all else is none."""
    server = serve(lambda c, _: c.answer(body, status=status, headers="Location: /elsewhere\r\n"))
    got = send(transport, server.url)
    assert (got.status, got.accepted) == (status, accepted)
    assert len(got.answer) <= 500
    assert len(server.requests) == 1


def test_no_answer_is_an_attempt(serve: Serve, transport: Transport) -> None:
    """A dead host and a forbidden one are attempts without a status, never an exception."""
    dead = serve(lambda c, _: c.answer())
    dead.close()
    for url in (dead.url + "/?hash=secret", "http://10.0.0.1/?hash=secret", "nonsense"):
        got = send(transport, url)
        assert (got.status, got.accepted) == (None, False)
        assert got.answer
        assert "secret" not in got.answer


def test_queries_of_urls_are_not_kept(serve: Serve, transport: Transport) -> None:
    """An answer that quotes a URL, plain or as JSON writes it, is kept without the query."""
    for answer in (
        b"see https://a.example/x?sign=secret&b=1#f now",
        b'{"u":"https:\\/\\/a.example\\/x?k=secret"}',
    ):
        server = serve(lambda c, _, answer=answer: c.answer(answer))
        got = send(transport, server.url)
        assert "secret" not in got.answer
        assert "a.example" in got.answer


def check(secret_key: bytes, server: Listener) -> None:
    head, _, body = server.requests[-1].partition(b"\r\n\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert headers[b"webhook-id"] == b"job_1"
    assert headers[b"webhook-timestamp"] == b"1700000000"
    signed = b"job_1.1700000000." + body
    expected = base64.b64encode(hmac.new(secret_key, signed, hashlib.sha256).digest())
    assert expected.lower() in headers[b"webhook-signature"]


def test_callbacks_can_be_signed(serve: Serve, transport: Transport) -> None:
    """A receiver that follows the Standard Webhooks scheme verifies the very bytes that it got."""
    server = serve(lambda c, _: c.answer())
    key = b"0123456789abcdef01234567"
    for secret in ("whsec_" + base64.b64encode(key).decode(), base64.b64encode(key).decode()):
        deliver(
            server.url, BODY, transport=transport, at=1_700_000_000.9, kind="success", secret=secret,
            message_id="job_1",
        )  # fmt: skip
        check(key, server)


def test_the_schemes_own_example() -> None:
    """The example of the scheme's reference libraries gives their signature."""
    headers = signature_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        at=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_any_text_serves_as_a_secret() -> None:
    """A secret that is no base64 is the key itself."""
    one, other = (
        signature_headers(secret, message_id="a", at=1, body=b"")["webhook-signature"]
        for secret in ("a pass phrase!", "another phrase!")
    )
    assert one != other


def test_an_outcome_that_may_have_been_taken(serve: Serve, transport: Transport) -> None:
    """An answer that was lost, or a gateway's in the portal's place, leaves open whether it was taken."""

    def hang_up(connection: Connection, _: bytes) -> None:
        raise OSError

    for script, unknown in (
        (hang_up, True),
        (lambda c, _: c.wait_closed(), True),
        (lambda c, _: c.answer(status=502), True),
        (lambda c, _: c.answer(status=504), True),
        (lambda c, _: c.answer(status=403), False),
        (lambda c, _: c.answer(b'{"status": "error"}'), False),
    ):
        got = deliver(serve(script).url, BODY, transport=transport, at=0, kind="error", timeout_seconds=0.5)
        assert (got.accepted, got.unknown) == (False, unknown)
    dead = serve(hang_up)
    dead.close()
    assert not send(transport, dead.url).unknown
