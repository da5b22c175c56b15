"""Recordings come whole, in time and of a bounded size, or not at all."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import resource
import signal
import time
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.clients.transport import Downloaded, Transport
from pipeline.domain.errors import (
    CallscribeError,
    DownloadFailed,
    ForbiddenURL,
    RecordingGone,
    StoreUnavailable,
    TooLarge,
)
from tests.transport.conftest import Serve
from tests.transport.listener import Connection

SOUND = bytes(range(256)) * 1000


def get(transport: Transport, url: str, to: Path, *, seconds: float = 10.0) -> Downloaded:
    return transport.download(url, to / "recording", max_bytes=1 << 20, timeout_seconds=seconds)


def fails(
    transport: Transport, url: str, to: Path, kind: type[CallscribeError], *, seconds: float = 10.0
) -> str:
    """The message of the failure; nothing may be left on the disk, nothing secret in the message."""
    with pytest.raises(kind) as failure:
        get(transport, url, to, seconds=seconds)
    assert not (to / "recording").exists()
    assert "secret" not in failure.value.message
    return failure.value.message


def test_a_recording_comes_whole(serve: Serve, transport: Transport, tmp_path: Path) -> None:
    """Size, digest and the server's idea of the type are told; no cookie or credential is sent."""
    server = serve(lambda c, _: c.answer(SOUND, headers="Content-Type: audio/mpeg\r\nSet-Cookie: a=b\r\n"))
    for _ in range(2):
        got = get(transport, server.url + "/a?sign=secret", tmp_path)
    assert got == Downloaded(
        size_bytes=len(SOUND), sha256=hashlib.sha256(SOUND).hexdigest(), content_type="audio/mpeg"
    )
    assert (tmp_path / "recording").read_bytes() == SOUND
    assert server.connections == 2  # those of downloads are never reused
    head = server.requests[1].lower()
    assert head.startswith(b"get /a?sign=secret http/1.1\r\n")
    assert b"accept-encoding: identity\r\n" in head
    assert b"cookie" not in head
    assert b"authorization" not in head


def test_chunked_and_endless_bodies_are_taken(serve: Serve, transport: Transport, tmp_path: Path) -> None:
    """A body without a length is taken when it is chunked, and when the end of the connection ends it."""
    server = serve(
        lambda c, _: c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    )
    assert get(transport, server.url, tmp_path).size_bytes == 3

    def until_closed(connection: Connection, _: bytes) -> None:
        connection.send(b"HTTP/1.0 200 OK\r\n\r\nabcd")
        raise OSError

    assert get(transport, serve(until_closed).url, tmp_path).size_bytes == 4


@pytest.mark.parametrize("status", [204, 400, 401, 403, 404, 409, 410, 423])
def test_what_may_not_be_there_yet_is_told(
    serve: Serve, transport: Transport, tmp_path: Path, status: int
) -> None:
    """These statuses may mean that the recording comes in a moment: the error says so."""
    server = serve(lambda c, _: c.answer(b"", status=status))
    with pytest.raises(RecordingGone, match=str(status)) as failure:
        get(transport, server.url + "/?sign=secret", tmp_path)
    assert failure.value.early
    assert "secret" not in str(failure.value)


@pytest.mark.parametrize("status", [402, 405, 406, 414, 416, 431, 451, 501, 505])
def test_what_will_never_come_is_told(
    serve: Serve, transport: Transport, tmp_path: Path, status: int
) -> None:
    """These statuses refuse the request itself, which will be the same tomorrow."""
    server = serve(lambda c, _: c.answer(b"no", status=status))
    with pytest.raises(RecordingGone, match=str(status)) as failure:
        get(transport, server.url, tmp_path)
    assert not failure.value.early


@pytest.mark.parametrize("status", [202, 206, 304, 408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_asked_again(
    serve: Serve, transport: Transport, tmp_path: Path, status: int
) -> None:
    """Any other answer than a whole body is worth another try, at the time that the host asks for."""
    server = serve(lambda c, _: c.answer(b"", status=status, headers="Retry-After: 7\r\n"))
    with pytest.raises(DownloadFailed) as failure:
        get(transport, server.url, tmp_path)
    assert (failure.value.http_status, failure.value.retry_after_seconds) == (status, 7.0)
    assert failure.value.transient


def test_a_short_body_is_noticed(serve: Serve, transport: Transport, tmp_path: Path) -> None:
    """A body that ends before its declared length, or inside of a chunk, has not brought the recording."""
    for head in (b"Content-Length: 9", b"Transfer-Encoding: chunked"):

        def cut(connection: Connection, _: bytes, head: bytes = head) -> None:
            connection.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n5\r\nabc")
            raise OSError

        fails(transport, serve(cut).url, tmp_path, DownloadFailed)


def test_too_large_is_refused_early_and_late(serve: Serve, transport: Transport, tmp_path: Path) -> None:
    """By the declared length before a byte is read, and by the bytes themselves where none is declared."""
    declared = serve(lambda c, _: c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"))
    assert "1048576" in fails(transport, declared.url, tmp_path, TooLarge)

    def endless(connection: Connection, _: bytes) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.send(bytes(65536))

    fails(transport, serve(endless).url, tmp_path, TooLarge)


@pytest.mark.parametrize(
    "coding",
    ["identity", "IDENTITY", "", "aws-chunked", "Aws-Chunked", "aws-chunked, identity", "none", "gzip", "br"],
)
def test_plain_bytes_under_any_label_are_taken(
    serve: Serve, transport: Transport, tmp_path: Path, coding: str
) -> None:
    """What a server writes into Content-Encoding over plain bytes changes nothing."""
    server = serve(lambda c, _: c.answer(b"RIFF and so on", headers=f"Content-Encoding: {coding}\r\n"))
    get(transport, server.url, tmp_path)
    assert (tmp_path / "recording").read_bytes() == b"RIFF and so on"


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZIP", lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:])),
        ("deflate", zlib.compress),
        ("aws-chunked,gzip", gzip.compress),
    ],
)
def test_compressed_recordings_are_unpacked(
    serve: Serve, transport: Transport, tmp_path: Path, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    """A server that compresses unasked costs no call: size and sha256 are those of the recording."""
    recording = random.Random(1).randbytes(200_000) + bytes(300_000)
    server = serve(lambda c, _: c.answer(pack(recording), headers=f"Content-Encoding: {coding}\r\n"))
    got = get(transport, server.url, tmp_path)
    assert (tmp_path / "recording").read_bytes() == recording
    assert (got.size_bytes, got.sha256) == (len(recording), hashlib.sha256(recording).hexdigest())


def test_a_bomb_is_cut_off(serve: Serve, transport: Transport, tmp_path: Path) -> None:
    """What is unpacked counts against the largest recording, and is never held in memory."""
    bomb = gzip.compress(bytes(100 << 20))
    server = serve(lambda c, _: c.answer(bomb, headers="Content-Encoding: gzip\r\n"))
    tracemalloc.start()
    assert "larger" in fails(transport, server.url, tmp_path, TooLarge)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20


def test_a_broken_compressed_body_is_asked_for_again(
    serve: Serve, transport: Transport, tmp_path: Path
) -> None:
    """A compressed body that ends early, or is damaged, has not brought the recording."""
    packed = gzip.compress(random.Random(1).randbytes(100_000))
    for body in (packed[:-500], packed[:500] + b"\xff" * 500 + packed[1000:]):
        server = serve(lambda c, _, b=body: c.answer(b, headers="Content-Encoding: gzip\r\n"))
        fails(transport, server.url, tmp_path, DownloadFailed)


def test_redirects_are_followed_thrice(serve: Serve, transport: Transport, tmp_path: Path) -> None:
    """Three redirects are fine, relative and with bare Cyrillic as portals write them; a fourth is not."""
    hops: dict[bytes, str] = {b"/1": "2", b"/2": "/3?x=1", b"/3?x=1": "//{host}/моя запись"}

    def script(connection: Connection, request: bytes) -> None:
        path = request.split(b" ")[1]
        if path in hops:
            location = hops[path].format(host=f"127.0.0.1:{server.port}")
            head = f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n"
            connection.send(head.encode())
        else:
            connection.answer(SOUND)

    server = serve(script)
    assert get(transport, server.url + "/1", tmp_path).size_bytes == len(SOUND)
    assert b" /%D0%BC%D0%BE%D1%8F%20%D0%B7%D0%B0%D0%BF" in server.requests[-1]
    (tmp_path / "recording").unlink()
    hops[b"/0"] = "/1"
    assert "more than 3" in fails(transport, server.url + "/0", tmp_path, ForbiddenURL)


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://127.0.0.1/", "http://user:secret@127.0.0.1/", "http://2130706433/", "http://[::1]/",
     "http://localhost/", "https://10.0.0.1/", "https://[::ffff:127.0.0.1]/", "gopher://127.0.0.1:6379/"],
)  # fmt: skip
def test_redirects_are_checked(serve: Serve, transport: Transport, tmp_path: Path, location: str) -> None:
    """Each target is checked like the first URL, and the hop is never made."""
    server = serve(lambda c, _: c.answer(status=302, headers=f"Location: {location}\r\n"))
    fails(transport, server.url, tmp_path, ForbiddenURL)
    assert len(server.requests) == 1


def test_a_redirect_without_a_place_is_a_failure(serve: Serve, transport: Transport, tmp_path: Path) -> None:
    """A 302 that does not say whither is no recording."""
    fails(transport, serve(lambda c, _: c.answer(status=302)).url, tmp_path, DownloadFailed)


@pytest.mark.parametrize(
    "drip",
    [
        b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 100_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 100_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 100_000,
    ],
    ids=["header", "informational", "body", "chunks"],
)
def test_a_drip_ends_with_the_deadline(
    serve: Serve, transport: Transport, tmp_path: Path, drip: bytes
) -> None:
    """A server that keeps sending a little is held to the deadline of the whole, wherever it dawdles."""

    def script(connection: Connection, _: bytes) -> None:
        for start in range(len(drip)):
            connection.send(drip[start : start + 1])
            time.sleep(0.02)

    server = serve(script)
    begun = time.monotonic()
    assert "in time" in fails(transport, server.url, tmp_path, DownloadFailed, seconds=0.4)
    assert 0.3 < time.monotonic() - begun < 20


def test_silence_and_trickles_end_before_the_deadline(serve: Serve, tmp_path: Path) -> None:
    """A host that stops sending, or sends less than any recording needs, is left long before the deadline."""
    transport = Transport(trusted=["127.0.0.1"], stall_seconds=0.2, min_bytes_per_second=10_000)
    begun = time.monotonic()
    silent = serve(lambda c, _: c.wait_closed())
    fails(transport, silent.url, tmp_path, DownloadFailed, seconds=60)

    def trickle(connection: Connection, _: bytes) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.send(b"a")
            time.sleep(0.02)

    assert "slowly" in fails(transport, serve(trickle).url, tmp_path, DownloadFailed, seconds=60)
    assert time.monotonic() - begun < 30


def test_a_head_without_end_is_not_collected(serve: Serve, transport: Transport, tmp_path: Path) -> None:
    """Headers are bounded like bodies."""

    def script(connection: Connection, _: bytes) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.send(b"X-Padding: " + b"a" * 60_000 + b"\r\n")

    fails(transport, serve(script).url, tmp_path, DownloadFailed)


def test_garbage_is_a_failure_without_quotation(serve: Serve, transport: Transport, tmp_path: Path) -> None:
    """What is no HTTP fails, and the message quotes nothing of it."""

    def script(connection: Connection, _: bytes) -> None:
        connection.send(b"SSH-2.0-secret\r\nsecret header line\r\n\r\n")
        raise OSError

    fails(transport, serve(script).url, tmp_path, DownloadFailed)


def test_nobody_listening_is_a_failure(serve: Serve, transport: Transport, tmp_path: Path) -> None:
    """A refused connection is worth another try."""
    server = serve(lambda c, _: c.answer())
    server.close()
    assert "refused" in fails(transport, server.url, tmp_path, DownloadFailed)


def test_untrusted_hosts_get_no_plain_http(serve: Serve, tmp_path: Path) -> None:
    """Without trust, neither plain http nor the loopback address is spoken to: the listener sees nobody."""
    server = serve(lambda c, _: c.answer(SOUND))
    stranger = Transport(lookup=lambda host, port: ["127.0.0.1"])
    assert "https" in fails(stranger, server.url, tmp_path, ForbiddenURL)
    fails(stranger, f"https://127.0.0.1:{server.port}/", tmp_path, ForbiddenURL)
    fails(stranger, f"https://calls.example:{server.port}/", tmp_path, ForbiddenURL)
    fails(stranger, f"https://localhost:{server.port}/", tmp_path, ForbiddenURL)
    assert server.connections == 0


def test_a_trusted_port_is_trusted_alone(serve: Serve, tmp_path: Path) -> None:
    """`host:port` opens that port and no other."""
    ours, other = serve(lambda c, _: c.answer(SOUND)), serve(lambda c, _: c.answer(SOUND))
    transport = Transport(trusted=[f"127.0.0.1:{ours.port}"])
    assert get(transport, ours.url, tmp_path).size_bytes == len(SOUND)
    (tmp_path / "recording").unlink()
    fails(transport, other.url, tmp_path, ForbiddenURL)
    assert other.connections == 0


def test_the_portals_own_address_may_be_private(serve: Serve, tmp_path: Path) -> None:
    """Recordings come from the portal as the operator wrote it; a redirect from there gains nothing."""
    other = serve(lambda c, _: c.answer(SOUND))

    def script(connection: Connection, request: bytes) -> None:
        if b"/away" in request:
            connection.answer(status=302, headers=f"Location: {other.url}\r\n")
        else:
            connection.answer(SOUND)

    portal = serve(script)
    transport = Transport()
    to = tmp_path / "recording"
    got = transport.download(
        portal.url + "/a", to, max_bytes=1 << 20, timeout_seconds=5, same_host=portal.url
    )
    assert got.size_bytes == len(SOUND)
    for url in (portal.url + "/away", other.url):
        with pytest.raises(ForbiddenURL):
            transport.download(url, to, max_bytes=9, timeout_seconds=5, same_host=portal.url)
    assert other.connections == 0


def test_a_full_disk_is_our_failure(serve: Serve, transport: Transport, tmp_path: Path) -> None:
    """When the file cannot be written the storage is to blame, not the host, and what was written goes."""
    server = serve(lambda c, _: c.answer(SOUND))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        fails(transport, server.url, tmp_path, StoreUnavailable)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN


def test_the_environment_is_not_read(
    serve: Serve, transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies of the environment are for other programs."""
    trap = serve(lambda c, _: c.answer(b"trapped"))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setitem(os.environ, name, trap.url)
    server = serve(lambda c, _: c.answer(SOUND))
    with closing(Transport(trusted=["127.0.0.1"])) as fresh:
        assert get(fresh, server.url, tmp_path).size_bytes == len(SOUND)
        assert fresh.request("GET", server.url, timeout_seconds=5, operator=True).status == 200
    assert trap.connections == 0
