"""Calls whose outcome is not known yet: the store's, above the archive's list, and what they wait for."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.domain.job import Category, Event, JobId
from pipeline.domain.kinds import KINDS, kind_of
from pipeline.web.console.view import View
from pipeline.web.console.words import Words

ENDED = ("done", "failed")
MOST, OF_EACH = 100, 20  # in all, and of a portal's
FITTING = {"portal", "category", "limit"}  # filters that can be told of a call under way


@dataclass(frozen=True, kw_only=True)
class UnderWay:
    """A call under way; says: what it does, or waits for and why."""

    id: JobId
    accepted_at: float
    portal: str
    says: str
    waits: bool


async def calls_under_way(view: View) -> list[UnderWay]:
    """Some of them, the oldest first; none where other filters are asked for."""
    if view.query.get("state") == "waiting":
        if view.query.keys() - FITTING - {"state"}:
            return []
    elif view.query.keys() - FITTING:
        return []
    asked = view.query.get("portal")
    portals = [name for name in sorted(view.service.portals) if asked in (None, name)]
    store = view.service.tools.store
    found = []
    for key, at, fields, last in await view.blocking(store.under_way, portals, most=MOST, of_each=OF_EACH):
        category = fields.get("category", "")
        if category not in (Category.AUDIO, Category.CALL) or fields.get("status") in ENDED:
            continue  # of one that has ended and is opened again something is done over, below it is
        if view.query.get("category", category) != category:
            continue
        says, waits = state(last, view.words)
        portal = fields.get("portal", "")
        found.append(UnderWay(id=key, accepted_at=at, portal=portal, says=says, waits=waits))
    return sorted(found, key=lambda call: call.accepted_at)


def state(last: Event | None, words: Words) -> tuple[str, bool]:
    """How a job stands by what happened to it last, in words; and whether it waits for something."""
    kind = KINDS.get(kind_of(last.step)) if last else None
    if last and last.what == "deferred":
        return words("waiting: {why}", why=words.why(last.why or (kind.doing if kind else ""))), True
    return words("status: running"), False
