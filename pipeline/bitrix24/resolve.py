"""resolve: from an event's ids to the call, its deal and its recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.bitrix24 import crm
from pipeline.bitrix24.rest import Bitrix24
from pipeline.domain.job import Entity

# Recordings are often attached later: when to look, seconds after the event, and then how often, how long.
LOOKS_AT = (0.0, 5.0, 15.0, 30.0, 60.0)
LOOK_EVERY_SECONDS = 120.0
LOOK_FOR_SECONDS = 86400.0


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A call as the CRM knows it.

    state: "ready" with a file_url; "waiting" while there is no recording; "ignored" when it is no call, or
    is gone. entity: the deal or lead, or None and `why`. ended_at: unix seconds. file_url carries access.
    """

    state: Literal["ready", "waiting", "ignored"]
    activity_id: int | None = None
    call_id: str | None = None
    entity: Entity | None = None
    file_url: str | None = None
    ended_at: float | None = None
    why: str | None = None


def resolve(*, rest: Bitrix24, activity_id: int | None = None, call_id: str | None = None) -> Resolved:
    """Looks the call up by its activity, or else by its telephony id.

    Raises PortalUnavailable (try again) and PortalRefused.
    """
    call = crm.activity(rest, activity_id) if activity_id else None
    if call is None and call_id:
        call = crm.activity_of_call(rest, call_id)
        if call is None:
            return Resolved(state="waiting", call_id=call_id, why="the CRM has no activity of this call yet")
    if call is None:
        return Resolved(state="ignored", activity_id=activity_id, why="the activity was deleted")
    if not call.is_call:
        return Resolved(state="ignored", activity_id=call.id, why="the activity is no call")
    call_id = call.call_id or call_id
    url = crm.recording_url(rest, call)
    if url is None and call_id and (known := crm.statistic(rest, call_id)):
        if known.record_file_id:
            url = crm.disk_url(rest, known.record_file_id)
        url = url or known.record_url
        if url is None and not known.answered:
            return Resolved(
                state="ignored", activity_id=call.id, call_id=call_id, why="nobody answered the call"
            )
    if url is None:
        return Resolved(
            state="waiting",
            activity_id=call.id,
            call_id=call_id,
            ended_at=call.ended_at,
            why="the recording is not attached yet",
        )
    entity, why = crm.home(call, crm.bindings(rest, call.id))
    return Resolved(
        state="ready",
        activity_id=call.id,
        call_id=call_id,
        entity=entity,
        file_url=url,
        ended_at=call.ended_at,
        why=why,
    )


def next_look(waited: float) -> float | None:
    """Seconds until the next look for a recording, `waited` seconds after the event; None: no more."""
    for at in LOOKS_AT:
        if waited < at:
            return at - waited
    return LOOK_EVERY_SECONDS if waited < LOOK_FOR_SECONDS else None
