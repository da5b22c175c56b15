"""The door of the sandbox: writes every request down and applies the script before it is served."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from typing import Any

from starlette.applications import Starlette
from starlette.types import Message, Receive, Scope, Send

from pipeline.sandbox.script import Ledger, Rule, Script, masked, uploaded

PIECES = 10  # of a body that drips


class Door:
    """The outermost ASGI application, next to the server; administration (`/_...`) passes by it."""

    def __init__(self, app: Starlette, *, script: Script, ledger: Ledger) -> None:
        self.app = app
        self.script = script
        self.ledger = ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_"):
            await self.app(scope, receive, send)
            return
        body = await _whole(receive)
        query = scope["query_string"].decode("latin-1")
        entry = self.ledger.open(**_facts(scope, body, query))
        rule = self.script.take(
            method=scope["method"], path=scope["path"], query=query, body=body, sha256=entry.get("sha256")
        )
        scope["ledger"], scope["rule"] = entry, rule
        if rule and rule.delay_seconds:
            await asyncio.sleep(rule.delay_seconds)
        try:
            await self._serve(scope, body, send, rule, entry)
        finally:
            entry["finished_at"] = time.time()

    async def _serve(
        self, scope: Scope, body: bytes, send: Send, rule: Rule | None, entry: dict[str, Any]
    ) -> None:
        if rule and rule.reset == "before":
            entry["status"] = "reset"
            _cut(send)
            return
        sent: list[Message] = []
        if rule and rule.answers:
            status, headers, content = rule.answer()
            raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
            if b"content-length" not in dict(raw):
                raw.append((b"content-length", str(len(content)).encode()))
            sent.append({"type": "http.response.start", "status": status, "headers": raw})
            sent.append({"type": "http.response.body", "body": content})
        else:
            given = iter([{"type": "http.request", "body": body, "more_body": False}])

            async def receive() -> Message:
                return next(given, {"type": "http.disconnect"})

            async def keep(message: Message) -> None:
                sent.append(message)

            await self.app(scope, receive, keep)
        entry["status"] = sent[0]["status"]
        if rule and rule.reset == "after":
            entry["status"] = "reset"
            _cut(send)
            return
        await send(sent[0])
        content = b"".join(message.get("body", b"") for message in sent[1:])
        if rule and rule.reset == "midway":
            entry["status"] = "reset"
            await send(
                {"type": "http.response.body", "body": content[: len(content) // 2], "more_body": True}
            )
            await asyncio.sleep(0.05)  # lets the half that was written reach the client before the cut
            _cut(send)
            return
        await _drip(send, content, rule.drip_seconds if rule else 0.0)


def _facts(scope: Scope, body: bytes, query: str) -> dict[str, Any]:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    facts: dict[str, Any] = {
        "method": scope["method"],
        "path": scope["path"],
        "query": query,
        "content_type": headers.get("content-type"),
        "user_agent": headers.get("user-agent"),
        "key": masked(headers.get("x-api-key") or bearer),
    }
    kind = facts["content_type"] or ""
    if kind.startswith("multipart/"):
        facts |= uploaded(body, kind)
    elif body:
        try:
            facts["json"] = json.loads(body)
        except ValueError:
            facts["body"] = body[:10_000].decode("utf-8", "replace")
    return facts


async def _whole(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    return b"".join(parts)


async def _drip(send: Send, content: bytes, seconds: float) -> None:
    pieces = [content]
    if seconds:
        step = max(1, -(-len(content) // PIECES))
        pieces = [content[start : start + step] for start in range(0, len(content), step)] or [b""]
    for number, piece in enumerate(pieces, 1):
        await asyncio.sleep(seconds / len(pieces))
        await send({"type": "http.response.body", "body": piece, "more_body": number < len(pieces)})


def _cut(send: Send) -> None:
    """Resets the connection. ASGI has no word for that, so it is asked of uvicorn's own transport."""
    transport = send.__self__.transport  # type: ignore[attr-defined]
    tcp = transport.get_extra_info("socket")
    if tcp is not None:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
