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

from pipeline.clients import guard
from pipeline.domain.errors import SettingsError
from pipeline.domain.timeval import limit_waits, timeval

MAX_ADDRESSES = 6
PIECE_BYTES = 16384


class _Call(threading.local):
    """The call that this thread is making."""

    ends_at: float = -math.inf  # monotonic
    any_address: bool = False
    address: str = ""  # that it was connected to, if it was
    holds: _Stream | None = None  # has something of the request that is not sent yet


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
        self._call.address, self._call.holds = "", None
        try:
            yield
        finally:
            self._call.ends_at, self._call.any_address, self._call.holds = -math.inf, False, None

    @property
    def address(self) -> str:
        """What this thread's call was connected to; "" where it was not."""
        return self._call.address

    def hold(self, stream: _Stream) -> None:
        """The stream has what is to be sent with the rest of the request."""
        self._call.holds = stream

    def flush(self) -> None:
        """Sends what of this thread's request waits for the rest of it."""
        if self._call.holds:
            self._call.holds.flush()

    def leads_to(self, host: str, port: int, address: str) -> bool:
        """Whether the name, looked up and checked as for a new connection, still leads to the address."""
        return address in self._checked(host, port, self.left(None, httpcore.ConnectTimeout))

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
        addresses = self._checked(host, port, seconds)[:MAX_ADDRESSES]
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses:  # one silent address must not use up the time of the others
            share = self.left(seconds / len(addresses), httpcore.ConnectTimeout)
            try:
                stream = self._sockets.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                self._call.address = address
                return _Stream(stream, self)
        raise failure

    def _checked(self, host: str, port: int, seconds: float) -> Sequence[str]:
        try:
            addresses = guard.resolve(host, port, timeout_seconds=seconds, lookup=self._lookup)
        except guard.Unresolved as error:
            raise httpcore.ConnectError(str(error)) from None
        if not self._call.any_address:
            guard.check_addresses(host, addresses)
        return addresses


class _Stream(httpcore.NetworkStream):
    """A connection. What is written waits for the rest of the request, unless it is much: head and body go
    together.

    The time-outs of a socket without TLS are the kernel's.
    """

    def __init__(self, stream: httpcore.NetworkStream, wire: Wire, *, tls: bool = False) -> None:
        self._stream, self._wire = stream, wire
        self._unsent = b""
        self._plain: socket.socket | None = None if tls else stream.get_extra_info("socket")
        if self._plain:
            self._plain.settimeout(None)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self.flush()
        left = self._wire.left(timeout, httpcore.ReadTimeout)
        if self._plain is None:
            return self._stream.read(max_bytes, left)
        try:
            self._plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval(left))
            return self._plain.recv(max_bytes)
        except BlockingIOError:
            raise httpcore.ReadTimeout("nothing came in time") from None
        except OSError as error:
            raise httpcore.ReadError(str(error)) from None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._unsent += buffer
        if len(self._unsent) >= PIECE_BYTES:
            self.flush()
        else:
            self._wire.hold(self)

    def flush(self) -> None:
        """Sends what waits."""
        rest, self._unsent = memoryview(self._unsent), b""
        while rest:
            rest = rest[self._send(rest) :]

    def _send(self, rest: memoryview) -> int:
        left = self._wire.left(None, httpcore.WriteTimeout)
        if self._plain is None:
            # in pieces, since the time-out of a write counts for each send, not for the whole of a large body
            piece = rest[:PIECE_BYTES]
            self._stream.write(piece, left)  # type: ignore[arg-type]
            return len(piece)
        try:
            self._plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval(left))
            return self._plain.send(rest)
        except BlockingIOError:
            raise httpcore.WriteTimeout("nothing was taken in time") from None
        except OSError as error:
            raise httpcore.WriteError(str(error)) from None

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        seconds = self._wire.left(timeout, httpcore.ConnectTimeout)
        if self._plain is not None:
            limit_waits(self._plain, 0.0)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, seconds), self._wire, tls=True)

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
