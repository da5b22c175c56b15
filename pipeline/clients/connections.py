"""Connections on the wire, and those that are kept for a while for the next request to the same server.

httpcore's own pool looks through all of its connections for each request, and asks the kernel of each; and it
does not know by which look-up one was made.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpcore
import httpx

from pipeline.clients.wire import Wire
from pipeline.domain import hosts
from pipeline.domain.errors import ForbiddenURL, SettingsError

# Below what common servers grant (uvicorn and Node 5 s): a connection that the server closes while a request
# is on its way looks like a lost answer, and a lost answer may have been paid for.
KEEPALIVE_SECONDS = 3.0
MOST_IDLE = 128


class _Idle(NamedTuple):
    """A connection that waits for the next request; address: that it leads to."""

    key: tuple[httpcore.Origin, bool]
    connection: httpcore.ConnectionInterface
    address: str
    until: float  # monotonic


class Connections:
    """Thread-safe. As many at a time as there are threads; raises SettingsError for a false proxy."""

    def __init__(self, wire: Wire, tls: ssl.SSLContext, proxy: str | None) -> None:
        self._wire = wire
        self._makers = {True: _maker(wire, tls, proxy), False: _maker(wire, tls, None)}
        self._idle: list[_Idle] = []  # by when they began to wait
        self._lock = threading.Lock()

    @contextmanager
    def to(self, origin: httpcore.Origin, *, operator: bool) -> Iterator[httpcore.ConnectionInterface]:
        """A connection for one request within the wire's call, kept afterwards where both sides agree.

        operator: the URL is the operator's own. Any other is looked up and checked for each request, and a
        kept connection serves only where it leads to an address of that very answer.
        """
        key = (origin, operator)
        kept = self._take(key)
        connection = kept.connection if kept else self._makers[operator].create_connection(origin)
        try:
            yield connection
        finally:
            if connection.is_available() and not _has_more(connection):
                address = kept.address if kept else self._wire.address
                self._keep(_Idle(key, connection, address, time.monotonic() + KEEPALIVE_SECONDS))
            else:
                connection.close()

    def close(self) -> None:
        """Closes those that are kept."""
        with self._lock:
            idle, self._idle = self._idle, []
        for one in idle:
            one.connection.close()

    def _take(self, key: tuple[httpcore.Origin, bool]) -> _Idle | None:
        """The one that was used last, and is still good."""
        origin, operator = key
        while True:
            with self._lock:
                at = next((at for at in reversed(range(len(self._idle))) if self._idle[at].key == key), None)
                if at is None:
                    return None
                found = self._idle.pop(at)
            try:
                if not found.connection.has_expired() and (
                    operator or self._wire.leads_to(origin.host.decode(), origin.port, found.address)
                ):
                    return found
            except BaseException:
                found.connection.close()
                raise
            found.connection.close()

    def _keep(self, idle: _Idle) -> None:
        now, over = time.monotonic(), []
        with self._lock:
            self._idle.append(idle)
            while len(self._idle) > MOST_IDLE or self._idle[0].until < now:
                over.append(self._idle.pop(0))
        for one in over:
            one.connection.close()


def _has_more(connection: Any) -> bool:
    """Whether bytes came that belong to no answer, and would be taken for the next one's."""
    while not hasattr(connection, "_h11_state"):  # httpcore shows none of the connections in its connections
        connection = connection._connection
    return bool(connection._h11_state.trailing_data[0])


def _maker(wire: Wire, tls: ssl.SSLContext, proxy: str | None) -> httpcore.ConnectionPool:
    """Makes connections, through the proxy if one is set; raises SettingsError."""
    # a provider may think for a quarter of an hour: keep the path through NAT open, and notice when it died
    options: list[httpcore.SOCKET_OPTION] = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    shared: dict[str, Any] = {
        "ssl_context": tls,
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
