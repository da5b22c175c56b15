"""The time that a page of figures is about: `?days=30`, or days of the reader's own `from`, `to`."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.domain.errors import BadRequest
from pipeline.web.console.calls import moment_of
from pipeline.web.console.view import View

DAY_SECONDS = 86_400
DAYS = (7, 30, 90, 365)
USUAL_DAYS = 30
MOST_DAYS = 3_660


@dataclass(frozen=True, kw_only=True)
class Period:
    """Unix seconds; until is not included. days: as it was asked for, None where `from` or `to` stands."""

    since: float
    until: float
    days: int | None


def period_of(view: View) -> Period:
    """What the URL asks for, else the last thirty days. Raises BadRequest naming the field."""
    since, until = moment_of(view, "from"), moment_of(view, "to")
    if since is not None or until is not None:
        end = until if until is not None else view.now + DAY_SECONDS
        return Period(since=since if since is not None else 0.0, until=end, days=None)
    text = view.query.get("days", str(USUAL_DAYS))
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 0 < int(text) <= MOST_DAYS):
        raise BadRequest(f"days: expected a number from 1 to {MOST_DAYS}", field="days")
    return Period(since=view.now - int(text) * DAY_SECONDS, until=view.now + DAY_SECONDS, days=int(text))
