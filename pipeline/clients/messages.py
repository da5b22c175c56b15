"""HTTP messages: how our requests are written, and answers' headers read; httpx builds forms and uploads."""

from __future__ import annotations

import json as jsons
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import httpcore
import httpx

from pipeline.domain import hosts


@dataclass(frozen=True, kw_only=True)
class Body:
    """What a request carries: JSON, or a form (with files) as httpx takes it, or bytes."""

    json: Any = None
    data: Any = None
    files: Any = None
    content: bytes | None = None


def written(
    method: str,
    target: hosts.Target,
    headers: Mapping[str, str] | None,
    body: Body,
    *,
    keep: bool,
) -> httpcore.Request:
    """A request of ours. keep: its connection may serve another one. Raises UnicodeError for a header that is
    no ASCII.
    """
    content, about = _content(method, body)
    fields = {"host": ("Host", target.authority)}
    for name, value in (headers or {}).items():
        fields[name.lower()] = (name, value)
    for name, value in (*about.items(), ("User-Agent", "callscribe"), ("Accept", "*/*")):
        fields.setdefault(name.lower(), (name, value))
    fields["accept-encoding"] = ("Accept-Encoding", "identity")  # a compressed body can be a bomb
    if not keep:
        fields["connection"] = ("Connection", "close")
    return httpcore.Request(
        method,
        httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path),
        headers=[(name.encode("ascii"), value.encode("ascii")) for name, value in fields.values()],
        content=content,
    )


def _content(method: str, body: Body) -> tuple[Iterable[bytes], Mapping[str, str]]:
    """What is sent, and the headers that say what it is."""
    if body.data is not None or body.files is not None:
        built = httpx.Request(method, "http://nobody/", data=body.data, files=body.files)
        about = {name: value for name, value in built.headers.items() if name != "host"}
        return cast("Iterable[bytes]", built.stream), about
    content, about = body.content, {}
    if body.json is not None:
        text = jsons.dumps(body.json, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        content, about = text.encode(), {"Content-Type": "application/json"}
    if content is None:
        return (), {"Content-Length": "0"} if method != "GET" else {}
    return (content,), about | {"Content-Length": str(len(content))}


def headers_of(answer: httpcore.Response) -> dict[str, str]:
    """By their names in lower case."""
    found: dict[str, str] = {}
    for raw_name, raw_value in answer.headers:
        name = raw_name.decode("latin-1").lower()
        try:
            value = raw_value.decode()
        except UnicodeDecodeError:
            value = raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
