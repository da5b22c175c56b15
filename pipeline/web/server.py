"""The HTTP server's last gaps: heads that never end, bodies that nobody waits for any more, and requests
that are cheap to send and dear to read."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pipeline.telemetry.metrics import REFUSED
from pipeline.web.bodies import BODY_IS_HERE

HEAD_SECONDS = 10.0
MAX_HEAD_BYTES = (
    16_384  # trailers included; a portal's head has some hundreds, a browser's behind proxies 4,000
)
HEADER_BYTES = 32  # that each header counts beside its own
PIPELINED = 8  # requests that come before the one before them is answered; portals and browsers send none so
FEW_PIECES = 1_000  # of a body in chunks; beyond them they have LEAST_PIECE_BYTES on average
LEAST_PIECE_BYTES = 512
FRAME_BYTES = 65_536  # around a body, as the extensions of its chunks, beside a sixteenth of it
LINGER_SECONDS = 2.0  # that a body is still thrown away after its answer
LINGER_BYTES = 16 << 20


class Bounded(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with limits on what a request may cost to read; for `uvicorn.Config(http=...)`.

    One read brings up to 256 KB, and all of it is parsed before anybody else has a turn: so heads, trailers,
    pipelined requests and chunks are counted while they are parsed, and what is raised then is a 400.

    What is answered before the whole body has come is answered with `Connection: close`. Closing on unread
    bytes would reset the connection, and the sender would never read its answer: so the rest is thrown away
    for a moment. The limits of a body that is waited for are in `pipeline/web/bodies.py`.
    """

    head_seconds = HEAD_SECONDS
    linger_seconds = LINGER_SECONDS
    _late: asyncio.TimerHandle | None = None
    _in_head = False
    _head_bytes = 0
    _counted_bytes = 0  # of the URL, headers and trailers
    _wire_bytes = 0
    _body_bytes = 0
    _pieces = 0
    _thrown_away = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_Lingering(transport, self))  # type: ignore[arg-type]
        self._in_head = True
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
        if self._in_head:
            self._head_bytes += len(data)
        self._wire_bytes += len(data)
        super().data_received(data)
        if self._in_head:  # most come whole, and need no timer
            if self._head_bytes > MAX_HEAD_BYTES:
                self._give_up()
            elif self._late is None:
                self._expect_head()
        elif (
            self.body_is_coming
            and self._wire_bytes - self._body_bytes * 17 // 16 > FRAME_BYTES + MAX_HEAD_BYTES
        ):
            self._give_up()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINED:
            raise ValueError("too many requests at once")
        self._counted_bytes = self._wire_bytes = self._body_bytes = self._pieces = 0
        if not self._in_head:
            self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._counted_bytes += len(url)
        if self._counted_bytes > MAX_HEAD_BYTES:
            raise ValueError("head too large")
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._counted_bytes += HEADER_BYTES + len(name) + len(value)
        if self._counted_bytes > MAX_HEAD_BYTES:
            raise ValueError("head too large")
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._pieces += 1
        self._body_bytes += len(body)
        if self._pieces > FEW_PIECES and self._body_bytes < self._pieces * LEAST_PIECE_BYTES:
            raise ValueError("chunks too small")
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._have_head()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        REFUSED.inc("no_http")
        super().send_400_response(msg)

    @property
    def body_is_coming(self) -> bool:
        """Whether the request that is worked on, or was answered last, has not come to its end."""
        return self.cycle is not None and self.cycle.more_body

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        transport = cast(_Lingering, self.transport)

        async def closing(scope: Any, receive: Any, send: Any) -> None:
            async def answer(message: Any) -> None:
                if message["type"] != "http.response.start":
                    try:
                        await send(message)
                    finally:
                        transport.flush()
                    return
                if cycle.more_body:
                    message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
                transport.hold()
                await send(message)

            if not cycle.more_body:
                scope["extensions"] = {BODY_IS_HERE: {}}
            await app(scope, receive, answer)

        super()._start_asgi_task(cycle, closing)

    def _expect_head(self) -> None:
        self._late = self.loop.call_later(self.head_seconds, self._give_up)

    def _have_head(self) -> None:
        self._in_head = False
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._have_head()
        if not self.transport.is_closing():
            self.transport.close()


class _Lingering:
    """A transport that, while a body is still coming, closes its own half and then waits for a moment.

    What is written while it holds goes out at once with what follows: each way through the system is dear.
    """

    def __init__(self, transport: asyncio.Transport, protocol: Bounded) -> None:
        self._transport, self._protocol = transport, protocol
        self._lingers = False
        self._held: list[bytes] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._lingers or self._transport.is_closing()

    def hold(self) -> None:
        self._held = self._held or []

    def flush(self) -> None:
        held, self._held = self._held, None
        if held:
            self.write(b"".join(held))

    def write(self, data: bytes) -> None:
        if self._held is not None:
            self._held.append(data)
        elif not self._lingers:  # an app that answers what was given up meanwhile
            self._transport.write(data)

    def close(self) -> None:
        self.flush()
        if self._lingers or not self._protocol.body_is_coming or self._transport.is_closing():
            self._transport.close()
            return
        self._lingers = True
        self._transport.write_eof()
        self._transport.resume_reading()
        self._protocol.loop.call_later(self._protocol.linger_seconds, self._transport.abort)
