"""/usage: what each portal has used, by model and by day, what it cost, and how near the cap it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from pipeline.domain.errors import BadRequest
from pipeline.run.spending import added, cost_of, last_days, rows_of, used_on
from pipeline.settings.portals import Portal
from pipeline.settings.prices import Price, read_prices
from pipeline.web.console.drawing import Column, columns
from pipeline.web.console.periods import DAYS, period_of
from pipeline.web.console.twins import Rows
from pipeline.web.console.view import View

MOST_PORTALS = 20  # at once; one of them can be asked for by name


@dataclass(frozen=True, kw_only=True)
class Spent:
    """One portal: its rows by model, its days as columns, and the share of today's cap that is used."""

    portal: str
    rows: list[dict[str, Any]]
    days: tuple[Column, ...]
    today: float
    cap: float


async def listed(view: View) -> Response:
    """GET /usage."""
    days = _days(view)
    found = await view.blocking(_spent, view, days)
    return view.page(
        "usage.html",
        live=30,
        spent=found,
        first=last_days(days)[-1],
        last=last_days(days)[0],
        portals=sorted(view.service.portals),
        most=MOST_PORTALS,
        priced=view.service.settings.prices_file is not None,
        days=DAYS,
        chosen=days,
    )


async def rows(view: View, cursor: str | None) -> Rows:
    """The same as rows: one for each portal and model, and "all" for the portal; cursor: the last portal."""
    some = _portals(view, after=cursor or "")
    following = some[-1].id if len(some) == MOST_PORTALS and not view.query.get("portal") else None
    return Rows(name="usage", rows=await view.blocking(_rows, view, some, _days(view)), next=following)


def _rows(view: View, portals: list[Portal], days: int) -> list[dict[str, Any]]:
    store, prices = view.service.tools.store, _prices(view)
    used = ((portal, added(used_on(store, portal, days))) for portal in portals)
    return [row for portal, amounts in used for row in rows_of(portal, amounts, prices)]


def _spent(view: View, days: int) -> list[Spent]:
    store, prices = view.service.tools.store, _prices(view)
    found = []
    for portal in _portals(view):
        by_day = used_on(store, portal, days)
        seconds = {
            day: sum(t.get("paid_seconds", 0.0) for t in used.values()) for day, used in by_day.items()
        }
        told = [(day, amount, cost_of(by_day[day], prices)) for day, amount in reversed(seconds.items())]
        found.append(
            Spent(
                portal=portal.id,
                rows=rows_of(portal, added(by_day), prices),
                days=columns(told),
                today=seconds[last_days(1)[0]],
                cap=portal.daily_paid_seconds,
            )
        )
    return found


def _portals(view: View, *, after: str = "") -> list[Portal]:
    named, all_ = view.query.get("portal"), view.service.portals
    if named and named not in all_:
        raise BadRequest("portal: there is none of that name", field="portal")
    return [all_[key] for key in sorted(all_) if (key == named if named else key > after)][:MOST_PORTALS]


def _prices(view: View) -> dict[str, Price]:
    path = view.service.settings.prices_file
    return read_prices(path) if path else {}


def _days(view: View) -> int:
    days = period_of(view).days
    if days is None:
        raise BadRequest("from, to: usage is counted by days=N", field="days")
    return min(days, 400)
