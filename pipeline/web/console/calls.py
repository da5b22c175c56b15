"""/calls: the calls that the archive holds, found by what a supervisor knows of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, cast, get_args

from starlette.responses import Response

from pipeline.archive.calls import Call, Filters, Lack, Page, State
from pipeline.domain.errors import BadRequest
from pipeline.domain.job import Category
from pipeline.domain.lead import Quality
from pipeline.run.call_views import call_row
from pipeline.web.console.states import phone_for, sees_phones, state_words, talkers
from pipeline.web.console.twins import Rows
from pipeline.web.console.under_way import calls_under_way
from pipeline.web.console.view import View

WAITING = "waiting"  # no state of the archive's: of calls under way
BANDS = (*get_args(Quality), "none")
STATES = tuple(dict.fromkeys((*get_args(State), *get_args(Lack), WAITING)))
PER_PAGE = 50
MOST = 500


async def listed(view: View) -> Response:
    """GET /calls."""
    page = await _page(view, view.query.get("cursor"))
    under_way = await calls_under_way(view)
    managers = await view.archived(lambda archive: archive.managers())
    return view.page(
        "calls.html",
        live=10,
        calls=page.calls,
        under_way=under_way,
        older=view.link(cursor=page.next) if page.next else None,
        managers=managers,
        bands=BANDS,
        states=STATES,
        categories=(Category.AUDIO, Category.CALL),
        portals=sorted(view.service.portals),
        days=_days(view),
        state_words=lambda call: state_words(call, view.words),
        phone_for=lambda call: phone_for(view, call),
    )


async def rows(view: View, cursor: str | None) -> Rows:
    """The same as rows, for machines."""
    page = await _page(view, cursor)
    made = await view.blocking(lambda: [row(view, call) for call in page.calls])
    return Rows(name="calls", rows=made, next=page.next)


def row(view: View, call: Call) -> dict[str, Any]:
    """A call as a line of JSON or CSV, as this reader may see it."""
    names = talkers(call, view.words) if call.talk else ()
    return call_row(call, phone=phone_for(view, call), talkers=names)


def filters_of(view: View) -> Filters:
    """The filters in the URL; days are the reader's own. Raises BadRequest naming the field."""
    query = view.query
    state = _one_of(query, "state", STATES)
    return Filters(
        q=query.get("q"),
        phones=sees_phones(view),
        since=moment_of(view, "from"),
        until=moment_of(view, "to"),
        manager=query.get("manager"),
        band=cast(Any, _one_of(query, "band", BANDS)),
        state=None if state == WAITING else cast(Any, state),
        why=query.get("why"),
        portal=query.get("portal"),
        category=_one_of(query, "category", tuple(Category)),
    )


async def _page(view: View, cursor: str | None) -> Page:
    filters = filters_of(view)
    if filters.state is None and view.query.get("state"):
        return Page(calls=())
    limit = _limit(view, cursor)
    try:
        return await view.archived(lambda archive: archive.calls(filters, cursor=cursor, limit=limit))
    except ValueError as error:
        raise BadRequest(str(error), field="cursor") from None


def _limit(view: View, cursor: str | None) -> int:
    """How many at a time; of a CSV the first ones come soon, and the rest in fewer parts."""
    many = MOST if cursor and view.request.url.path.endswith(".csv") else PER_PAGE
    text = view.query.get("limit", str(many))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text)):
        raise BadRequest(f"limit: expected a number from 1 to {MOST}", field="limit")
    return min(int(text), MOST)


def moment_of(view: View, name: str) -> float | None:
    """`from`: the beginning of a day, YYYY-MM-DD, where the reader is; `to`: its end. Or RFC 3339 moments."""
    text = view.query.get(name)
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text[:40])
        if name == "to" and len(text) <= len("2026-01-31") and found.date() < date.max:
            found += timedelta(days=1)
        return (found if found.tzinfo else found.replace(tzinfo=view.zone)).timestamp()
    except (ValueError, OverflowError):
        raise BadRequest(f"{name}: expected a day as 2026-01-31", field=name) from None


def _days(view: View) -> list[tuple[str, str | None, str | None]]:
    """The stretches of time that one click names: title, from, to."""
    today: date = datetime.fromtimestamp(view.now, view.zone or UTC).date()

    def back(days: int) -> str:
        return (today - timedelta(days=days)).isoformat()

    return [
        ("All time", None, None),
        ("Today", back(0), back(0)),
        ("Yesterday", back(1), back(1)),
        ("7 days", back(6), back(0)),
        ("30 days", back(29), back(0)),
    ]


def _one_of(query: dict[str, str], name: str, values: tuple[str, ...]) -> str | None:
    found = query.get(name)
    if found and found not in values:
        raise BadRequest(f"{name}: expected one of {', '.join(values)}", field=name)
    return found
