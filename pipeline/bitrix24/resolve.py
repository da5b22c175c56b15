"""resolve: from an event's ids to the call, its deal and its recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.bitrix24 import crm
from pipeline.bitrix24.rest import Bitrix24
from pipeline.domain.job import About, Entity

# Recordings are often attached later: when to look, seconds after the event, and then how often, how long.
LOOKS_AT = (0.0, 10.0, 30.0, 60.0, 120.0)
LOOK_EVERY_SECONDS = 120.0
LOOK_FOR_SECONDS = 86400.0
YOUNG_SECONDS = 20.0  # since a call's end
FILES = 3  # recordings that a call may have without a request more


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A call as the CRM knows it.

    state: "ready" with its file_urls, in order; "waiting" while there is no recording; "ignored" when it is
    no call, or is gone. entity: the deal or lead, or None and `why`. ended_at: unix seconds. file_urls carry
    access.
    """

    state: Literal["ready", "waiting", "ignored"]
    activity_id: int | None = None
    call_id: str | None = None
    entity: Entity | None = None
    file_urls: tuple[str, ...] = ()
    ended_at: float | None = None
    why: str | None = None
    about: About | None = None


def resolve(
    *, rest: Bitrix24, activity_id: int | None = None, call_id: str | None = None, now: float | None = None
) -> Resolved:
    """Looks the call up by its activity, or else by its telephony id: one request where all is there.

    now: unix seconds; a call that has only just ended may have its recording in a moment, and costs no
    request to the telephony yet. Raises PortalUnavailable (try again) and PortalRefused.
    """
    found = None
    if activity_id:
        (found,) = crm.find(rest, [activity_id], call_id=call_id, statistic=True, files=FILES)
    if found is None and call_id:
        (found,) = crm.find(rest, call_id=call_id, files=FILES)
        if found is None:
            known = crm.statistic(rest, call_id)
            if known and known.activity_id:
                (found,) = crm.find(rest, [known.activity_id], files=FILES)
        if found is None:
            return Resolved(state="waiting", call_id=call_id, why="the CRM has no activity of this call yet")
    if found is None:
        return Resolved(state="ignored", activity_id=activity_id, why="the activity was deleted")
    call = found.call
    if not call.is_call:
        return Resolved(state="ignored", activity_id=call.id, why="the activity is no call")
    call_id = call.call_id or call_id
    urls = crm.recording_urls(found)
    known = found.statistic
    if not urls and call_id and known is None and not _young(call, now):
        known = crm.statistic(rest, call_id)
    if not urls and known is not None:
        url = crm.disk_url(rest, known.record_file_id) if known.record_file_id else None
        urls = tuple(filter(None, [url or known.record_url]))
        if not urls and not known.answered:
            return Resolved(
                state="ignored", activity_id=call.id, call_id=call_id, why="nobody answered the call"
            )
    if not urls:
        return Resolved(
            state="waiting",
            activity_id=call.id,
            call_id=call_id,
            ended_at=call.ended_at,
            why="the recording is not attached yet",
        )
    entity, why = crm.home(call, found.bound)
    return Resolved(
        state="ready",
        activity_id=call.id,
        call_id=call_id,
        entity=entity,
        file_urls=urls,
        ended_at=call.ended_at,
        why=why,
        about=found.about,
    )


def _young(call: crm.Activity, now: float | None) -> bool:
    return now is not None and call.ended_at is not None and now - call.ended_at < YOUNG_SECONDS


def next_look(waited: float) -> float | None:
    """Seconds until the next look for a recording, `waited` seconds after the event; None: no more."""
    for at in LOOKS_AT:
        if waited < at:
            return at - waited
    return LOOK_EVERY_SECONDS if waited < LOOK_FOR_SECONDS else None
