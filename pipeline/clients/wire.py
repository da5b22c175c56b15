"""Sockets with an overall deadline, connected to checked addresses: what httpcore calls a network backend.

httpx and httpcore know time-outs per read only, so a server that sends a byte a second holds a thread for
ever, in the headers as in the body. Here every wait of a call is cut at the call's end. The addresses are
checked here as well, on the very answer of the name server that is connected to: no second look-up follows.
"""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import certifi
import httpcore
import httpx

from pipeline.clients import guard
from pipeline.domain import hosts
from pipeline.domain.errors import ForbiddenURL, SettingsError

MAX_ADDRESSES = 6
PIECE_BYTES = 16384
# Below what common servers grant (uvicorn and Node 5 s): a connection that the server closes while a request
# is on its way looks like a lost answer, and a lost answer may have been paid for.
KEEPALIVE_SECONDS = 3.0


class _Call(threading.local):
    """The call that this thread is making."""

    ends_at: float = -math.inf  # monotonic
    any_address: bool = False


class Wire(httpcore.NetworkBackend):
    """Connects within `call(...)` only, each thread for itself."""

    def __init__(self, lookup: guard.Lookup = guard.lookup) -> None:
        self._call = _Call()
        self._lookup = lookup
        self._sockets = httpcore.SyncBackend()

    @contextmanager
    def call(self, *, ends_at: float, any_address: bool) -> Iterator[None]:
        """Everything on this wire inside ends at `ends_at` (monotonic seconds)."""
        self._call.ends_at, self._call.any_address = ends_at, any_address
        try:
            yield
        finally:
            self._call.ends_at, self._call.any_address = -math.inf, False

    def left(self, timeout: float | None, late: type[httpcore.TimeoutException]) -> float:
        """Seconds that the next wait may take; raises `late` when the call's time is up."""
        left = self._call.ends_at - time.monotonic()
        if left <= 0:
            raise late("the deadline of the whole call passed")
        return left if timeout is None else min(timeout, left)

    def addresses(self, host: str, port: int, *, timeout_seconds: float) -> Sequence[str]:
        """Where a name leads; raises guard.Unresolved."""
        return guard.resolve(host, port, timeout_seconds=timeout_seconds, lookup=self._lookup)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        seconds = self.left(timeout, httpcore.ConnectTimeout)
        try:
            addresses = guard.resolve(host, port, timeout_seconds=seconds, lookup=self._lookup)
        except guard.Unresolved as error:
            raise httpcore.ConnectError(str(error)) from None
        if not self._call.any_address:
            guard.check_addresses(host, addresses)
        addresses = addresses[:MAX_ADDRESSES]
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses:  # one silent address must not use up the time of the others
            share = self.left(seconds / len(addresses), httpcore.ConnectTimeout)
            try:
                stream = self._sockets.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Stream(stream, self)
        raise failure


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, wire: Wire) -> None:
        self._stream = stream
        self._wire = wire

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._wire.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # in pieces, since the time-out of a write counts for each send, not for the whole of a large body
        for start in range(0, len(buffer), PIECE_BYTES):
            left = self._wire.left(timeout, httpcore.WriteTimeout)
            self._stream.write(buffer[start : start + PIECE_BYTES], left)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        seconds = self._wire.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, seconds), self._wire)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Tls(ssl.SSLContext):
    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Set once, below: httpcore does it for each connection, while OpenSSL reads it in other threads."""


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """The public certificate authorities, and those in `ca_file`; raises SettingsError."""
    context = _Tls(ssl.PROTOCOL_TLS_CLIENT)  # certificates and host names are checked, TLS 1.2 or later
    ssl.SSLContext.set_alpn_protocols(context, ["http/1.1"])
    context.load_verify_locations(cafile=certifi.where())  # comes with httpx
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"CALLSCRIBE_CA_FILE: cannot be read: {error.strerror or error}") from None
    return context


def tls_hint(error: BaseException | None) -> str | None:
    """What mends a connection that TLS has refused, by OpenSSL's own code; None where it was not TLS."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    if error is None:
        return None
    code = getattr(error, "verify_code", None)
    if code in (9, 10):  # not valid yet, not valid any more
        return "The server's certificate has to be renewed there; or this machine's clock is wrong."
    if code in (62, 64):  # for another name, another address
        return "The certificate is for another name: correct the address in the setting."
    if code is not None:
        return (
            "If that server is yours, name the authority that signed its certificate (a PEM file) in "
            "CALLSCRIBE_CA_FILE."
        )
    return "That port does not speak TLS: correct the address, its port, or https:// in it."


def kept_connections(wire: Wire, tls: ssl.SSLContext, proxy: str | None) -> httpcore.ConnectionPool:
    """A pool of connections, apart for each server; through the proxy if one is set; raises SettingsError."""
    # a provider may think for a quarter of an hour: keep the path through NAT open, and notice when it died
    options: list[httpcore.SOCKET_OPTION] = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    shared: dict[str, Any] = {
        "ssl_context": tls,
        "max_connections": None,  # as many as there are threads; providers share no limit
        "keepalive_expiry": KEEPALIVE_SECONDS,
        "network_backend": wire,
        "socket_options": options,
    }
    if proxy is None:
        return httpcore.ConnectionPool(**shared)
    try:
        read = httpx.Proxy(proxy)
        hosts.read_host(read.url.host)
    except (ValueError, httpx.InvalidURL, ForbiddenURL):
        raise SettingsError("CALLSCRIBE_PROVIDER_PROXY: expected http://host:port") from None
    if read.url.scheme not in ("http", "https"):
        raise SettingsError("CALLSCRIBE_PROVIDER_PROXY: only http:// and https:// proxies are served")
    return httpcore.HTTPProxy(
        proxy_url=httpcore.URL(
            scheme=read.url.raw_scheme, host=read.url.raw_host, port=read.url.port, target=read.url.raw_path
        ),
        proxy_auth=read.raw_auth,
        **shared,
    )
