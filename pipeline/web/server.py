"""The HTTP server's last gaps: heads that never end, and bodies that nobody waits for any more."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
MAX_HEAD_BYTES = 65_536
LINGER_SECONDS = 2.0  # that a body is still thrown away after its answer
LINGER_BYTES = 16 << 20


class Bounded(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with a limit in time and bytes on a request's head; for `uvicorn.Config(http=...)`.

    What is answered before the whole body has come is answered with `Connection: close`. Closing on unread
    bytes would reset the connection, and the sender would never read its answer: so the rest is thrown away
    for a moment. The limits of a body that is waited for are in `pipeline/web/bodies.py`.
    """

    head_seconds = HEAD_SECONDS
    linger_seconds = LINGER_SECONDS
    _late: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _thrown_away = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_Lingering(transport, self))  # type: ignore[arg-type]
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._have_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            self._thrown_away += len(data)
            if self._thrown_away > LINGER_BYTES:
                self.transport.abort()
            return
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

    @property
    def body_is_coming(self) -> bool:
        """Whether the request that is worked on, or was answered last, has not come to its end."""
        return self.cycle is not None and self.cycle.more_body

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        async def closing(scope: Any, receive: Any, send: Any) -> None:
            async def answer(message: Any) -> None:
                if cycle.more_body and message["type"] == "http.response.start":
                    message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
                await send(message)

            await app(scope, receive, answer)

        super()._start_asgi_task(cycle, closing)

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


class _Lingering:
    """A transport that, while a body is still coming, closes its own half and then waits for a moment."""

    def __init__(self, transport: asyncio.Transport, protocol: Bounded) -> None:
        self._transport, self._protocol = transport, protocol
        self._lingers = False
        self.write = transport.write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._lingers or self._transport.is_closing()

    def close(self) -> None:
        if self._lingers or not self._protocol.body_is_coming or self._transport.is_closing():
            self._transport.close()
            return
        self._lingers = True
        self._transport.write_eof()
        self._transport.resume_reading()
        self._protocol.loop.call_later(self._protocol.linger_seconds, self._transport.abort)
