"""Whose deal a call is that came by an engine request, which names none."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.bitrix24 import link as linking
from pipeline.bitrix24.callbook import digest_of
from pipeline.contract.sinks import to_callback
from pipeline.domain.job import About, Claim, Entity, Job, Source, Timeline
from pipeline.domain.plain import from_plain
from pipeline.domain.recording import Fetched
from pipeline.settings.portals import Portal
from pipeline.steps import books, flow
from pipeline.steps.tools import Snooze, Tools
from pipeline.steps.turns import rest_of, who
from pipeline.store.records import dumps

LOOK_SECONDS = 60  # the longest that a look may take: then another worker begins one
CALL_SECONDS = 86_400  # that it is known where a recording's call belongs
EVENT_SECONDS = 30.0  # a call's event, whose recording may be late, has the first chance to tell its deal


def told_call(job: Job, recordings: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Where the call of these recordings (sha256) belongs, once an event has told it: to be kept with the
    step's end, for its engine request's job.
    """
    if (resolved := job.facts.get("resolve")) is None:
        return {}
    where = {key: resolved.get(key) for key in ("activity_id", "entity", "why", "about")}
    return {_call_of(job, sha256): (dumps(where), CALL_SECONDS) for sha256 in recordings}


def _call_of(job: Job, sha256: str) -> str:
    return f"call:{job.portal}:{sha256}"


def _by_its_event(job: Job, claim: Claim, portal: Portal, tools: Tools) -> Timeline | None:
    """By the event of the same call, whose recording is the same to the byte."""
    known = tools.store.known.recall(_call_of(job, from_plain(Fetched, job.facts["fetch"]).sha256))
    return told(json.loads(known), claim, portal, tools) if known else None


def told(resolved: Mapping[str, Any], claim: Claim, portal: Portal, tools: Tools) -> Timeline:
    """What an event's call was found to be bound to; one that had no deal then may have got one."""
    activity = resolved["activity_id"]
    if resolved.get("entity"):
        entity = from_plain(Entity, resolved["entity"])
        about = from_plain(About, resolved["about"]) if resolved.get("about") else None
        return Timeline(state="waiting", entity=entity, activity_id=activity, about=about)
    if activity and (rest := rest_of(portal, tools, who=who(claim))):
        return linking.link_to(activity, rest=rest)
    return Timeline(state="unlinked", activity_id=activity, why=resolved.get("why"))


def search(job: Job, claim: Claim, portal: Portal, tools: Tools) -> Timeline:
    """By its event, else by the portal's calls, which all that search them look up together.

    Raises Snooze while it is not found and may be, and what the portal's errors are.
    """
    if where := _by_its_event(job, claim, portal, tools):
        return where
    transcript, store, now = flow.transcript(job), tools.store, tools.store.now()
    fetched = from_plain(Fetched, job.facts["fetch"])
    assert transcript is not None
    sent = [delivery.at for delivery in store.deliveries(job.id) if delivery.accepted]
    delivered_at = sent[-1] if sent else job.facts["merge"]["at"]
    waited = max(now - delivered_at, 0.0)
    if portal.application_token and waited < EVENT_SECONDS:
        raise Snooze(min(3.0, EVENT_SECONDS - waited), "its event may tell its deal")
    if job.source is Source.API:  # the portal was not sent this transcript
        return Timeline(state="unlinked", why="the request names no deal, and no event of its call does")
    sent_text = to_callback(transcript.text, spoken=True)
    digest = digest_of(sent_text)
    said = store.known.first(f"said:{portal.id}:{digest}", fetched.sha256, seconds=books.SECONDS)
    if said != fetched.sha256:
        store.known.remember(f"repeated:{portal.id}:{digest}", "yes", seconds=books.SECONDS)
    if not books.is_worthwhile(portal.id, digest, store, now=now, waited=waited):
        raise Snooze(_pause(waited), "not linked yet")
    turn = f"look:{portal.id}"
    mine = store.known.first(turn, claim.fence, seconds=LOOK_SECONDS) == claim.fence
    book = books.load(portal.id, store)
    rest = rest_of(portal, tools, who=who(claim))
    assert rest
    try:
        where = linking.link(
            sent_text,
            size_bytes=fetched.size_bytes,
            book=book,
            rest=rest,
            looks=rest_of(portal, tools, looks=True) if mine else None,
            accepted_at=job.accepted_at,
            delivered_at=delivered_at,
            now=now,
            repeated=store.known.recall(f"repeated:{portal.id}:{digest}") is not None,
        )
    finally:
        books.save(portal.id, book, store, looked=mine)
        if mine:
            store.known.forget_first(turn)
    if where.state == "waiting" and where.entity is None:
        raise Snooze(_pause(waited), where.why or "not linked yet")
    return where


def _pause(waited: float) -> float:
    """A little apart, so that calls of one burst do not all come back at once."""
    return linking.pause_seconds(waited) * random.uniform(1.0, 1.25)  # noqa: S311
