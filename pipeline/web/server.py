"""The HTTP server's last gap: uvicorn waits for ever for a request line and headers that never end."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
MAX_HEAD_BYTES = 65_536


class Bounded(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with a limit in time and bytes on a request's head; for `uvicorn.Config(http=...)`.

    The limits of a body are in `pipeline/web/bodies.py`.
    """

    head_seconds = HEAD_SECONDS
    _late: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._have_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._late is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._late is not None and self._head_bytes > MAX_HEAD_BYTES:
            self._give_up()

    def on_message_begin(self) -> None:
        if self._late is None:
            self._expect_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._have_head()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._late = self.loop.call_later(self.head_seconds, self._give_up)

    def _have_head(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._have_head()
        if not self.transport.is_closing():
            self.transport.close()
