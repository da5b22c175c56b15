"""What an answer is wrapped in: one JSON object comes out, in the shape of the OpenAI API where possible.

A good answer is paid for, so it is read whatever it comes in: an event stream although none was asked for,
lines of JSON, a `data` or `result` around it, padding that kept the connection open. An error that comes with
status 200 is told apart here, and treated by its own code as if that were the status.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.domain.errors import BadAnswer
from pipeline.domain.plain import loads

# any of these is a result; without one, an object with an error is no answer
RESULTS = frozenset(
    {"text", "choices", "data", "segments", "words", "output", "candidates", "content", "message", "response"}
)
_WRAPPERS = ("data", "result", "results", "response", "output", "body")
_CODES = {  # that servers give as words; source: the error tables of OpenAI, VibeCode, Google and Anthropic
    429: "rate_limit_exceeded rate_limit_error rate_limited too_many_requests ratelimiterror "
    "resource_exhausted throttling_error query_limit_exceeded",
    402: "insufficient_quota insufficient_balance billing_hard_limit_reached ai_credentials_not_configured "
    "payment_required",
    401: "missing_api_key invalid_api_key authentication_error unauthorized unauthenticated",
    403: "scope_missing permission_error permission_denied forbidden",
    404: "ai_model_not_found model_not_found not_found_error not_found",
    400: "invalid_request invalid_request_error bad_request invalid_argument context_length_exceeded "
    "unsupported_parameter unsupported_value invalid_value unknown_parameter invalid_language no_file "
    "empty_file no_default_model content_policy_violation content_filter moderation_blocked",
    500: "server_error internal_error internal_server_error api_error internal",
    502: "ai_provider_unavailable",
    503: "model_unavailable overloaded_error overloaded unavailable service_unavailable",
    504: "ai_provider_timeout timeout deadline_exceeded",
}
_STATUS = {code: status for status, codes in _CODES.items() for code in codes.split()}


def hidden_status(body: bytes, content_type: str) -> int | None:
    """The status that an answer of 200 should have had: that of the error in it; None where there is none.

    0: there is an error, and its code says nothing.
    """
    try:
        found = unwrap(body, content_type)
    except BadAnswer:
        return None
    error = error_of(found)
    if error is None:
        return None
    for value in _codes(error):
        text = str(value).strip().casefold()
        if text.isdigit() and 400 <= int(text) <= 599:
            return int(text)
        if text in _STATUS:
            return _STATUS[text]
    return 0


def error_of(body: Mapping[str, Any]) -> Any:
    """The error of an object that holds no result; None where it is a result."""
    error = body.get("error") or body.get("errors")
    if not error and (body.get("object") == "error" or body.get("type") == "error"):
        error = body
    if not error and body.get("success") is False:
        error = body
    says = any(isinstance(body.get(name), str | list) and body[name] for name in ("message", "msg", "detail"))
    if not error and says and ("detail" in body or body.keys() & {"code", "status", "status_code"}):
        error = body
    choices = body.get("choices")
    if not error and isinstance(choices, list) and choices and isinstance(choices[0], dict):
        message = choices[0].get("message")
        has_text = isinstance(message, dict) and message.get("content")
        return choices[0].get("error") if not has_text else None
    if not error:
        return None
    return None if _has_result(body) else error


def _has_result(body: Mapping[str, Any]) -> bool:
    """Whether something was answered: an empty list of choices beside an error is nothing."""
    return any(
        body.get(name) not in (None, "", [], {}) for name in RESULTS - {"message", "response", "content"}
    )


def _codes(error: Any) -> Iterable[Any]:
    if isinstance(error, list) and error:
        error = error[0]
    if not isinstance(error, dict):
        yield error
        return
    inner = error.get("error")
    for source in (error, inner if isinstance(inner, dict) else {}):
        for name in ("status_code", "http_status", "code", "status", "type"):
            if isinstance(source.get(name), str | int) and not isinstance(source[name], bool):
                yield source[name]


def unwrap(body: bytes, content_type: str = "") -> dict[str, Any]:
    """The one object that an answer holds; raises BadAnswer (unreadable by chance)."""
    text = body.decode("utf-8-sig", "replace").strip()
    if "text/event-stream" in content_type or re.match(r"(?::|data:|event:|id:|retry:)", text):
        return _joined(list(_events(text)), ended="[DONE]" in text[-64:])
    try:
        found = loads(text)
    except RecursionError:
        raise BadAnswer("The provider's answer nests too deep.") from None
    except ValueError:
        lines = _lines(text)
        if not lines:
            raise BadAnswer("The provider's answer is not JSON.") from None
        return _joined(lines, ended=lines[-1].get("done") is True)
    return _object(found)


def _object(found: Any) -> dict[str, Any]:
    for _ in range(3):
        if isinstance(found, list) and len(found) == 1:
            found = found[0]
        if not isinstance(found, dict):
            break
        if found.get("error") or found.get("success") is False:
            return found
        if _is_answer(found):
            return found
        inner = next((found[name] for name in _WRAPPERS if isinstance(found.get(name), dict)), None)
        if inner is None:
            return found
        found = inner
    if not isinstance(found, dict):
        raise BadAnswer("The provider's answer is no JSON object.")
    return found


def _is_answer(found: Mapping[str, Any]) -> bool:
    if found.keys() & {"text", "choices", "segments", "words", "candidates", "message", "content", "chunks"}:
        return True
    return isinstance(found.get("data"), list) or isinstance(found.get("output"), list)


def _events(text: str) -> Iterable[dict[str, Any]]:
    """The JSON objects of server-sent events; comments, names and [DONE] apart."""
    for block in re.split(r"\r?\n\r?\n|\r\r", text):
        data = "\n".join(
            line[5:].removeprefix(" ") for line in block.splitlines() if line.startswith("data:")
        ).strip()
        for piece in [data] if not data or data.startswith("[DONE]") else _parsed(data):
            if isinstance(piece, dict):
                yield piece


def _parsed(data: str) -> list[Any]:
    try:
        return [loads(data)]
    except (ValueError, RecursionError):
        return _lines(data)  # events without a blank line between them


def _lines(text: str) -> list[dict[str, Any]]:
    """A text of JSON objects, one a line; empty unless every line is one."""
    found = []
    for line in text.splitlines():
        if not line.strip() or line.strip() == "[DONE]":
            continue
        try:
            item = loads(line)
        except (ValueError, RecursionError):
            return []
        if not isinstance(item, dict):
            return []
        found.append(item)
    return found


def _joined(events: list[dict[str, Any]], *, ended: bool) -> dict[str, Any]:
    """One answer from its pieces; it was cut (`length`) where nothing says that it ends."""
    if not events:
        raise BadAnswer("The provider's answer is an event stream without an answer.")
    whole: dict[str, Any] = {}
    message: dict[str, Any] = {}
    segments: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    text, done, finish = "", None, None
    streamed = False
    for event in events:
        event = _object(event) if event.get("error") is None else event
        kind = str(event.get("type") or event.get("object") or "")
        if event.get("error") or kind == "error":
            whole["error"] = event.get("error") or event
        for name in ("id", "model", "usage", "language", "languages", "duration", "created"):
            if event.get(name) is not None:
                whole[name] = event[name]
        choices = event.get("choices")
        choice = (
            choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
        )
        if choice is not None or isinstance(event.get("message"), dict):
            streamed = True
            piece = choice if choice is not None else event
            delta = piece.get("delta") or piece.get("message") or {"content": piece.get("text")}
            _add(message, delta if isinstance(delta, dict) else {})
            finish = piece.get("finish_reason") or piece.get("done_reason") or finish
        elif kind.endswith("text.delta") and isinstance(event.get("delta"), str):
            text += event["delta"]
        elif kind.endswith("text.done") and isinstance(event.get("text"), str):
            done = event
        elif isinstance(event.get("response"), str):  # a local server's own way of streaming
            streamed, finish = True, event.get("done_reason") or finish
            _add(message, {"content": event["response"]})
        elif event.get("b64_json") or event.get("url"):
            if not kind.endswith("partial_image"):
                images.append(event)
        elif isinstance(event.get("data"), list) or isinstance(event.get("segments"), list):
            whole |= event
            done = event
        elif isinstance(event.get("text"), str):
            segments.append(event)
    if images:
        return whole | {"data": images}
    if streamed:
        if "error" in whole and not message.get("content"):
            return whole
        choice = {
            "index": 0,
            "message": {"role": "assistant", **message},
            "finish_reason": finish or ("stop" if ended else "length"),
        }
        return whole | {"choices": [choice]}
    if done is not None:
        timed = [piece for piece in segments if "start" in piece]
        return whole | ({"segments": timed} if timed else {}) | done
    if segments and all("start" in piece for piece in segments):
        return whole | {"segments": segments, "text": " ".join(piece["text"].strip() for piece in segments)}
    if segments:
        return whole | segments[-1] | {"text": "".join(piece["text"] for piece in segments)}
    if text and ended:
        return whole | {"text": text}
    if text:
        raise BadAnswer("The provider's stream broke off before its end.")
    return whole | events[-1]


def _add(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name, value in delta.items():
        if name == "role" or value is None:
            continue
        if isinstance(value, list) and value and isinstance(value[0], dict) and name == "content":
            value = "".join(str(part.get("text") or "") for part in value if isinstance(part, dict))
        if isinstance(value, str):
            message[name] = str(message.get(name) or "") + value
        else:
            message[name] = value
