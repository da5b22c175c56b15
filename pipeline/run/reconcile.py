"""Events are sent once and never again: calls whose event never came are looked up in the CRM."""

from __future__ import annotations

import secrets

import structlog

from pipeline.bitrix24 import crm
from pipeline.bitrix24.rest import NoTurn
from pipeline.domain.errors import CallscribeError
from pipeline.run.new_jobs import accept, call_job
from pipeline.settings.portals import Portal
from pipeline.steps.tools import Tools
from pipeline.steps.turns import rest_of

log = structlog.get_logger()

EVERY_SECONDS = 600
GRACE_SECONDS = 120.0  # a call is polled for once its event must have come
LOOK_BACK_SECONDS = 86_400.0  # after a longer absence; more is asked for with BACKFILL_SECONDS
MOST_CALLS = 500  # a time; the next poll goes on from there


def reconcile(tools: Tools) -> int:
    """Accepts the calls that the portals' events missed; how many there were.

    Each portal is polled once in EVERY_SECONDS, by whichever worker comes first; only portals that send
    events. A call is one job whether its event comes or the poll finds it, since both make the same id.
    """
    found = 0
    for portal in tools.portals.values():
        tools.store.known.connected_at(
            portal.id
        )  # keeps the moment of connecting: calls that ended before are not looked for
        if not (portal.webhook and portal.application_token):
            continue
        turn = secrets.token_hex(8)
        if tools.store.known.first(f"reconcile:{portal.id}", turn, seconds=EVERY_SECONDS) != turn:
            continue
        try:
            found += _poll(portal, tools)
        except NoTurn:  # entries and events come first
            tools.store.known.forget_first(f"reconcile:{portal.id}")
        except CallscribeError as error:
            log.warning("reconcile_failed", portal=portal.id, error=error.slug, why=error.message)
    return found


def _poll(portal: Portal, tools: Tools) -> int:
    rest = rest_of(portal, tools, who="reconcile")
    assert rest is not None
    store, backfill = tools.store, tools.settings.backfill_seconds
    mark = f"reconciled:{portal.id}"
    until = store.now() - GRACE_SECONDS
    first = store.known.connected_at(portal.id) - backfill
    seen = store.known.recall(mark)
    since = max(float(seen), until - max(LOOK_BACK_SECONDS, backfill)) if seen else first
    if since >= until:
        return 0
    found, last = 0, until
    calls = list(crm.recent_calls(rest, since=since, until=until, limit=MOST_CALLS, oldest_first=True))
    if len(calls) >= MOST_CALLS:
        last = calls[-1].created_at or until
    for call in calls:
        if call.ended_at is not None and call.ended_at < first:
            continue
        verdict = accept(store, portal, call_job(portal, now=store.now(), activity_id=call.id))
        if verdict == "full":
            return found  # without a new mark: the next poll looks at the same calls again
        found += verdict == "new"
    store.known.remember(mark, f"{last:.3f}", seconds=None)
    if found:
        log.info("reconciled", portal=portal.id, calls=found)
    return found
