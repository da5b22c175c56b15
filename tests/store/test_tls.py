"""The store over TLS (rediss://): every client of ours checks the certificate, by CA_FILE as well."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from celery import Celery

from pipeline.domain.errors import StoreUnavailable
from pipeline.run.notifier import broker_settings
from pipeline.settings.installation import Settings
from pipeline.store import Store
from tests.transport.listener import TLS

CA = TLS / "authority.pem"
NAME = "calls.example"  # whom the certificate is for


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def port(valkey: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a TLS server that hands all on to the store; `calls.example` leads to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem")
    listener = socket.create_server(("127.0.0.1", 0))
    opened = [listener]

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            try:
                outer = context.wrap_socket(plain, server_side=True)
            except OSError:  # who does not trust us hangs up
                plain.close()
                continue
            inner = socket.socket(socket.AF_UNIX)
            inner.connect(urlsplit(valkey).path)
            opened.extend((outer, inner))
            for ends in ((outer, inner), (inner, outer)):
                threading.Thread(target=_pump, args=ends, daemon=True).start()

    looked_up = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: looked_up("127.0.0.1" if host == NAME else host, *rest, **more),
    )
    threading.Thread(target=serve, daemon=True).start()
    yield int(listener.getsockname()[1])
    for one in opened:
        one.close()


def settings(url: str, ca_file: Path | None) -> Settings:
    return Settings(redis_url=url, ca_file=ca_file, _env_file=None)  # type: ignore[arg-type, call-arg]


def celery_connects(url: str) -> bool:
    app = Celery()
    app.conf.update(broker_settings(url))
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            return True
    except Exception:
        return False
    finally:
        app.close()


def test_a_private_authority_is_trusted_by_all_clients(port: int) -> None:
    """With CA_FILE the store and Celery's broker serve over rediss://."""
    url = settings(f"rediss://{NAME}:{port}/0", CA).store_url
    with contextlib.closing(Store(url)) as store:
        store.ping()
    assert celery_connects(url)


@pytest.mark.parametrize(
    ("host", "ca_file"), [(NAME, None), ("127.0.0.1", CA)], ids=["unknown authority", "other name"]
)
def test_nobody_else_is_trusted_by_any_client(port: int, host: str, ca_file: Path | None) -> None:
    """An authority that nobody named, and a certificate for another name, are refused; Celery's own client
    would have taken both."""
    url = settings(f"rediss://{host}:{port}/0", ca_file).store_url
    with contextlib.closing(Store(url)) as store, pytest.raises(StoreUnavailable):
        store.ping()
    assert not celery_connects(url)


def test_what_the_address_says_of_tls_counts() -> None:
    """Its own parameters stay as they are, whatever CA_FILE says; a plain address gets none."""
    own = settings("rediss://h:1/0?ssl_ca_certs=/own.pem", CA).store_url
    assert "ssl_ca_certs=%2Fown.pem" in own
    assert "ssl_cert_reqs=required" in own
    assert settings("redis://h:1/0", CA).store_url == "redis://h:1/0"
