"""/health-board: how work stands at this moment, and what `callscribe doctor` finds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from pipeline.bitrix24.checks import Check
from pipeline.domain.job import JobId, PortalId
from pipeline.health.stands import LONG_SECONDS, alive, missing, process_check
from pipeline.store.gauges import Overview
from pipeline.web.console.twins import Rows
from pipeline.web.console.view import View

NEAR_SECONDS = 600.0  # of a deadline


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A portal whose work waits: unfinished jobs, how long the longest step has been ready, held jobs."""

    portal: PortalId
    unfinished: int
    seconds: float
    held: int
    held_since: float | None


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """The unfinished job of its category that has the least time left."""

    category: str
    job: JobId
    portal: PortalId
    at: float
    seconds: float


async def board(view: View) -> Response:
    """GET /health-board."""
    stands, living = await view.blocking(_now, view)
    found = view.service.checkup.latest()
    return view.page(
        "health.html",
        live=5,
        ready=stands.ready,
        memory=(stands.memory_bytes, stands.memory_limit_bytes),
        waiting=_waiting(stands),
        deadlines=_deadlines(stands),
        alive=living,
        missing=missing(living),
        found=found,
        bad=[check for check in found.checks if check.state == "failed"] if found else [],
        fine=[check for check in found.checks if check.state != "failed"] if found else [],
        long=LONG_SECONDS,
        near=NEAR_SECONDS,
    )


async def rows(view: View, cursor: str | None) -> Rows:
    """What was found, as lines: each has `name`, `state` (ok, failed, unknown), `says` and `hint`."""
    stands, living = await view.blocking(_now, view)
    found = view.service.checkup.latest()
    checks = [*_live(stands, living), *(found.checks if found else ())]
    return Rows(name="checks", rows=[*map(_row, checks)])


def _now(view: View) -> tuple[Overview, Counter[str]]:
    store = view.service.tools.store
    return store.gauges.overview(list(view.service.portals)), alive(store)


def _live(stands: Overview, living: Counter[str]) -> list[Check]:
    """What no round of checks is waited for."""
    return [process_check(living)] + [
        Check(
            name=f"nearest deadline of {each.category}",
            state="failed" if each.seconds < NEAR_SECONDS else "ok",
            says=f"{each.job} of {each.portal}, {each.seconds:.0f} s",
        )
        for each in _deadlines(stands)
    ]


def _waiting(stands: Overview) -> list[Waiting]:
    since: dict[PortalId, float] = {}
    for (portal, _), at in stands.waits.items():
        since[portal] = min(at, since.get(portal, at))
    found = [
        Waiting(
            portal=portal,
            unfinished=count,
            seconds=max(0.0, stands.now - since.get(portal, stands.now)),
            held=stands.held[portal].jobs if portal in stands.held else 0,
            held_since=stands.held[portal].since if portal in stands.held else None,
        )
        for portal, count in stands.unfinished.items()
        if count or portal in stands.held
    ]
    return sorted(found, key=lambda each: (-each.held, -each.seconds, each.portal))[:100]


def _deadlines(stands: Overview) -> list[Deadline]:
    return [
        Deadline(
            category=category.value,
            job=nearest.job,
            portal=nearest.portal,
            at=nearest.deadline,
            seconds=nearest.deadline - stands.now,
        )
        for category, nearest in stands.nearest.items()
    ]


def _row(check: Check) -> dict[str, Any]:
    return {"name": check.name, "state": check.state, "says": check.says, "hint": check.hint}
