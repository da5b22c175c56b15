"""Sends an outcome to the callback URL that the request named."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from pipeline.clients.messages import Body
from pipeline.clients.signing import signature_headers
from pipeline.clients.transport import Transport, Unreachable
from pipeline.domain.errors import BadAnswer, ForbiddenURL
from pipeline.domain.job import Delivery

ANSWER_CHARACTERS = 500
GATEWAY = (502, 504)  # what stands before the portal got no answer from it
_QUERY = re.compile(r"\?[^\s\"'<>?=]*=[^\s\"'<>]*")


def deliver(
    url: str,
    body: dict[str, Any],
    *,
    transport: Transport,
    at: float,
    kind: Literal["success", "error"],
    same_host: str | None = None,
    secret: str | None = None,
    message_id: str = "",
    timeout_seconds: float = 15.0,
) -> Delivery:
    """One attempt: POST as JSON, no redirects; never raises for what the portal does.

    Portals often answer 200 with `{"status": "error"}`: that is a refusal too. A URL that we do not follow
    counts as no answer, since the operator can still come to trust it. at: unix seconds of this attempt.
    secret, message_id: sign the body by the Standard Webhooks scheme. same_host: the portal's own address,
    which may be private.
    """
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    headers = {"content-type": "application/json"}
    if secret:
        headers |= signature_headers(secret, message_id=message_id, at=at, body=content)
    status: int | None
    try:
        answer = transport.request(
            "POST",
            url,
            headers=headers,
            body=Body(content=content),
            timeout_seconds=timeout_seconds,
            max_answer_bytes=1 << 20,
            same_host=same_host,
        )
    except (Unreachable, ForbiddenURL) as error:
        unknown = isinstance(error, Unreachable) and error.sent
        return Delivery(at=at, kind=kind, status=None, answer=error.message, accepted=False, unknown=unknown)
    except BadAnswer as error:  # the status came, and nothing in the body was ours to read
        status, text, refused = error.http_status, error.message, False
    else:
        status, text = answer.status, answer.body.decode("utf-8-sig", "replace")
        refused = _refuses(text)
    accepted = status is not None and 200 <= status < 300 and not refused
    return Delivery(
        at=at, kind=kind, status=status, answer=_bounded(text), accepted=accepted, unknown=status in GATEWAY
    )


def _refuses(text: str) -> bool:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(answer, dict) and str(answer.get("status", "")).lower() == "error"


def _bounded(text: str) -> str:
    """What is kept of an answer: short, and without the queries of URLs, which carry signatures."""
    return _QUERY.sub("?...", text[: 8 * ANSWER_CHARACTERS])[:ANSWER_CHARACTERS]
