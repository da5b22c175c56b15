"""Events of the portal: form-encoded with PHP brackets, sent once, never repeated.

https://apidocs.bitrix24.com/api-reference/events/index.html
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Any

from pipeline.contract import php
from pipeline.domain.errors import BadRequest

ACTIVITY_EVENTS = ("ONCRMACTIVITYADD", "ONCRMACTIVITYUPDATE")
CALL_END = "ONVOXIMPLANTCALLEND"


@dataclass(frozen=True, kw_only=True)
class PortalEvent:
    """What an event says about a call.

    name: upper case. at: unix seconds, when the portal sent it. activity_id, call_id: which call, where
    the event knows. duration_seconds: of the call; 0 where nobody answered. failed_code: "200" is a call
    that took place, "304" a missed one, ...
    """

    name: str
    application_token: str | None = field(default=None, repr=False)
    domain: str | None = None
    at: int | None = None
    activity_id: int | None = None
    call_id: str | None = None
    duration_seconds: int | None = None
    failed_code: str | None = None

    @property
    def of_a_call(self) -> bool:
        """Whether it may be about a call: the ones we act upon."""
        return self.name in (*ACTIVITY_EVENTS, CALL_END) and bool(self.activity_id or self.call_id)

    def authentic(self, expected: str | None) -> bool:
        """Whether it carries the application token that was agreed upon; compared in constant time."""
        if not expected or not self.application_token:
            return False
        return hmac.compare_digest(self.application_token.encode(), expected.encode())


def read_event(body: bytes | dict[str, Any]) -> PortalEvent:
    """Reads an event from its form (or from the same as JSON). BadRequest when `event` is missing."""
    if isinstance(body, bytes):
        sent = php.read_json(body) if body.lstrip()[:1] == b"{" else php.read_form(body)
    else:
        sent = body
    name = php.filled(sent.get("event"))
    if name is None:
        raise BadRequest("event: expected the event's name", field="event")
    name = name.strip().upper()
    data = php.mapping(sent.get("data"))
    auth = php.mapping(sent.get("auth"))
    activity = php.mapping(data.get("FIELDS")).get("ID") if name in ACTIVITY_EVENTS else None
    if name == CALL_END:
        activity = data.get("CRM_ACTIVITY_ID")
    return PortalEvent(
        name=name,
        application_token=php.filled(auth.get("application_token")),
        domain=php.filled(auth.get("domain")),
        at=_whole(sent.get("ts")),
        activity_id=_whole(activity) or None,
        call_id=php.filled(data.get("CALL_ID")) if name == CALL_END else None,
        duration_seconds=_whole(data.get("CALL_DURATION")),
        failed_code=php.filled(data.get("CALL_FAILED_CODE")),
    )


def _whole(value: Any) -> int | None:
    try:
        return php.whole(value, field="data")
    except BadRequest:
        return None  # a detail that we can do without: the event is not repeated
