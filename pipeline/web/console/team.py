"""/team: how each manager's calls went, by their calls, score, criteria, share of talk and weeks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.responses import Response

from pipeline.archive.calls import Member
from pipeline.domain.errors import BadRequest
from pipeline.run.views import moment
from pipeline.web.console.drawing import Trend, trend
from pipeline.web.console.periods import DAYS, period_of
from pipeline.web.console.twins import Rows
from pipeline.web.console.view import View

SHOWN = 100  # managers on the page
ORDERS = ("calls", "score", "talk")


async def listed(view: View) -> Response:
    """GET /team."""
    found = await _members(view)
    members, period = found[:SHOWN], period_of(view)
    return view.page(
        "team.html",
        members=members,
        most=SHOWN if len(found) > SHOWN else None,
        trends=await view.blocking(_trends, view, members),
        days=DAYS,
        chosen=period.days,
        orders=ORDERS,
        order=_order(view),
        since=moment(period.since)[:10],
        until=moment(min(period.until, view.now))[:10],
    )


def _trends(view: View, members: list[Member]) -> list[tuple[Trend, list[tuple[float, float, str]]]]:
    """Each member's line, and its dots with what they tell: thousands, whose words are put together here."""
    days = {week.begins_at: _day(view, week.begins_at) for member in members for week in member.weeks}
    told = view.words("week of {day}: {score} over {n} calls")
    found = []
    for member in members:
        drawn = trend([(week.begins_at, week.score, week.calls) for week in member.weeks])
        dots = [
            (x, y, told.format(day=days[at], score=view.words.number(value, 1), n=calls))
            for x, y, at, value, calls in drawn.dots
        ]
        found.append((drawn, dots))
    return found


def _day(view: View, at: float) -> str:
    return view.moment(at).split(",")[0]


async def rows(view: View, cursor: str | None) -> Rows:
    """The same as rows; moments are RFC 3339, shares 0 to 1."""
    return Rows(name="team", rows=[row(member) for member in await _members(view)])


def row(member: Member) -> dict[str, Any]:
    """A manager as a line of JSON or CSV."""
    plain = asdict(member)
    return plain | {
        "weeks": [{**week, "begins_at": moment(week["begins_at"])} for week in plain["weeks"]],
    }


async def _members(view: View) -> list[Member]:
    period, order = period_of(view), _order(view)
    told = [portal.id for portal in view.service.portals.values() if portal.channels]
    found = await view.archived(
        lambda archive: archive.team(since=period.since, until=period.until, told=told)
    )
    if order == "calls":
        return found
    keys = {"score": lambda m: m.score, "talk": lambda m: m.talk_share}
    return sorted(found, key=lambda member: (keys[order](member) is None, -(keys[order](member) or 0.0)))


def _order(view: View) -> str:
    order = view.query.get("order", "calls")
    if order not in ORDERS:
        raise BadRequest(f"order: expected one of {', '.join(ORDERS)}", field="order")
    return order
