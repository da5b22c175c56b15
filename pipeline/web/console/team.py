"""/team: how each manager's calls went, by their calls, score, criteria, share of talk and weeks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.responses import Response

from pipeline.archive.calls import Member
from pipeline.domain.errors import BadRequest
from pipeline.run.views import moment
from pipeline.web.console.drawing import trend
from pipeline.web.console.periods import DAYS, period_of
from pipeline.web.console.twins import Rows
from pipeline.web.console.view import View

ORDERS = ("calls", "score", "talk")


async def listed(view: View) -> Response:
    """GET /team."""
    members = await _members(view)
    period = period_of(view)
    return view.page(
        "team.html",
        members=members,
        trends=[trend([(w.begins_at, w.score, w.calls) for w in member.weeks]) for member in members],
        days=DAYS,
        chosen=period.days,
        orders=ORDERS,
        order=_order(view),
        since=moment(period.since)[:10],
        until=moment(min(period.until, view.now))[:10],
    )


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
