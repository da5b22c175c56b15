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

    name: upper case. activity_id, call_id: which call, where the event knows. duration_seconds: of the call;
    0 where nobody answered.
    """

    name: str
    application_token: str | None = field(default=None, repr=False)
    activity_id: int | None = None
    call_id: str | None = None
    duration_seconds: int | None = None

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
        activity_id=_whole(activity) or None,
        call_id=php.filled(data.get("CALL_ID")) if name == CALL_END else None,
        duration_seconds=_whole(data.get("CALL_DURATION")),
    )


def _whole(value: Any) -> int | None:
    try:
        return php.whole(value, field="data")
    except BadRequest:
        return None  # a detail that we can do without: the event is not repeated
