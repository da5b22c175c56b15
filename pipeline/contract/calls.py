"""POST /v1/calls: a call from elsewhere than a portal."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.contract import php
from pipeline.contract.entities import read_entity
from pipeline.domain.errors import BadRequest
from pipeline.domain.job import Request
from pipeline.domain.languages import iso639

SHARED = ("language", "prompt", "callback_url", "activity_id", "call_id")


def known_only(sent: Iterable[str], known: Sequence[str], *, where: str = "") -> None:
    """Raises BadRequest for a key that is not read: what it was meant for would not happen.

    where: stands before the key in the message.
    """
    for name in sent:
        if name not in known:
            given = name[:64].encode("utf-8", "replace").decode()  # a lone surrogate can be in no answer
            near = difflib.get_close_matches(given, known, 1)
            hint = f"did you mean {where}{near[0]}?" if near else f"expected one of {', '.join(known)}"
            raise BadRequest(f"{where}{given}: not known here, {hint}", field=f"{where}{given}")


def read_call(body: bytes | dict[str, Any]) -> Request:
    """JSON {"url", "entity": {"type", "id"}?, "language"?, "prompt"?, "callback_url"?}.

    Also takes `activity_id` and `call_id`, where the sender knows the CRM's call. BadRequest naming the
    field, one that is not known as well.
    """
    sent = php.read_json(body) if isinstance(body, bytes) else body
    known_only(sent, ("url", "entity", *SHARED))
    entity = sent.get("entity")
    if entity in (None, []):
        kind = identifier = None
    elif isinstance(entity, dict):
        known_only(entity, ("type", "id"), where="entity.")
        kind, identifier = entity.get("type", ""), entity.get("id", "")
    else:
        raise BadRequest("entity: expected an object with `type` and `id`", field="entity")
    return _request(
        sent, kind, identifier, where="entity.", file_url=php.http_url(sent.get("url"), field="url")
    )


def read_upload(fields: Mapping[str, Any]) -> Request:
    """The multipart form's fields beside `file`: entity_type, entity_id, language, prompt, callback_url."""
    known_only(fields, ("entity_type", "entity_id", *SHARED))
    kind, identifier = fields.get("entity_type") or None, fields.get("entity_id") or None
    return _request(fields, kind, identifier, where="entity_", file_url=None)


def _request(
    sent: Mapping[str, Any], kind: Any, identifier: Any, *, where: str, file_url: str | None
) -> Request:
    named = _text(sent, "language")
    language = iso639(named) if named else None
    if named and language is None:
        raise BadRequest("language: expected an ISO 639-1 code, or a language's name", field="language")
    callback = sent.get("callback_url")
    activity = php.whole(sent.get("activity_id"), field="activity_id")
    return Request(
        file_url=file_url,
        prompt=_text(sent, "prompt"),
        language=language,
        callback_url=php.http_url(callback, field="callback_url") if callback else None,
        entity=None if kind is None and identifier is None else read_entity(kind, identifier, where=where),
        activity_id=activity if activity and activity > 0 else None,
        call_id=_text(sent, "call_id"),
    )


def _text(sent: Mapping[str, Any], field: str) -> str | None:
    value = sent.get(field)
    if value is not None and php.text(value) is None:
        raise BadRequest(f"{field}: expected a text", field=field)
    return php.filled(value)
