"""A day's and a week's calls, counted once: figures over months add up weeks instead of calls.

A stretch of days stands in `tallied` as long as its sums are those of its calls: whatever changes one of them
takes it out, in the same transaction. What does not stand there is counted from the calls. Days are UTC's,
weeks begin on Monday.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    text,
)

from pipeline.archive.schema import calls, criteria, tallied, tallies, verdicts

DAY_SECONDS = 86_400.0
WEEK_DAYS = 7
MONDAY = 4  # the first one, in days after the epoch began
MOST_DAYS = 3_700  # back: a call that is said to be older is counted each time
_SUMS = ("calls", "scored", "score", "own", "talked", "met")


@dataclass
class Sums:
    """Of some calls. own: seconds that managers talk, of `talked` in all. met: how often a criterion is."""

    manager: str | None = None
    calls: int = 0
    scored: int = 0
    score: float = 0.0
    own: float = 0.0
    talked: float = 0.0
    met: int = 0

    @property
    def mean(self) -> float | None:
        """The mean score of those that were scored."""
        return round(self.score / self.scored, 1) if self.scored else None

    def add(self, other: Sums) -> None:
        """Those of some more calls."""
        self.manager = max(self.manager or "", other.manager or "") or None
        self.calls += other.calls
        self.scored += other.scored
        self.score += other.score
        self.own += other.own
        self.talked += other.talked
        self.met += other.met


Key = tuple[str, str, str, int]  # portal, manager's id, criterion ("": the calls themselves), week


def forget(connection: Connection, moments: Iterable[float]) -> None:
    """Something of the calls of these days has changed, or is about to."""
    days = {_day(at) for at in moments}
    for length, first in ((1, days), (WEEK_DAYS, {_week(day) * WEEK_DAYS + MONDAY for day in days})):
        if first:
            of_them = (tallied.c.days == length, tallied.c.day.in_(sorted(first)))
            connection.execute(delete(tallied).where(*of_them))


def tally(connection: Connection, *, before: float, most: int = 31) -> int:
    """Counts days that have ended before then and are not counted yet, the newest first, and the weeks that
    they make whole; how many of both.
    """
    if connection.dialect.name == "postgresql":
        # whoever changes a call of these days waits, or is waited for
        connection.execute(text("LOCK TABLE tallied IN SHARE ROW EXCLUSIVE MODE"))
    oldest = connection.scalar(select(func.min(calls.c.started_at)))
    if oldest is None:
        return 0
    known = {(row.day, row.days) for row in connection.execute(select(tallied))}
    first, end = max(_day(oldest), _day(before) - MOST_DAYS), _day(before)
    wanted = [day for day in range(end - 1, first - 1, -1) if (day, 1) not in known][:most]
    for day in wanted:
        within = and_(calls.c.started_at >= day * DAY_SECONDS, calls.c.started_at < (day + 1) * DAY_SECONDS)
        _write(connection, day, 1, _of_calls(within), _of_criteria(within))
    whole = {day for day, days in known if days == 1} | set(wanted)
    weeks = [
        monday
        for week in {_week(day) for day in whole}
        if (monday := week * WEEK_DAYS + MONDAY, WEEK_DAYS) not in known
        and whole.issuperset(range(monday, monday + WEEK_DAYS))
    ]
    for monday in weeks:
        within = and_(tallies.c.days == 1, tallies.c.day >= monday, tallies.c.day < monday + WEEK_DAYS)
        _write(connection, monday, WEEK_DAYS, _of_tallies().where(within))
    return len(wanted) + len(weeks)


def _write(connection: Connection, day: int, days: int, *counted: Select[Any]) -> None:
    connection.execute(delete(tallies).where(tallies.c.days == days, tallies.c.day == day))
    for found in counted:
        of_it = (cast(literal(value), Integer).label(name) for name, value in (("day", day), ("days", days)))
        names = ["portal", "manager_id", "name", "manager", *_SUMS, "day", "days"]
        connection.execute(insert(tallies).from_select(names, found.add_columns(*of_it)))
    connection.execute(insert(tallied).values(day=day, days=days))


def added_up(connection: Connection, *, since: float, until: float) -> dict[Key, Sums]:
    """What was done from `since` on and before `until`, by manager, criterion and week.

    Weeks are counted from the first Monday of the epoch; criteria that were counted before are all of week 0.
    """
    first, last = math.ceil(since / DAY_SECONDS), math.floor(until / DAY_SECONDS)
    known = connection.execute(
        select(tallied.c.day, tallied.c.days).where(
            tallied.c.day >= first, tallied.c.day + tallied.c.days <= last
        )
    ).all()
    weeks = {row.day for row in known if row.days == WEEK_DAYS}
    in_weeks = {day for monday in weeks for day in range(monday, monday + WEEK_DAYS)}
    days = {row.day for row in known if row.days == 1} - in_weeks
    found: dict[Key, Sums] = defaultdict(Sums)
    # criteria have no weeks: that is twenty times less
    number = case((tallies.c.name == "", (tallies.c.day - MONDAY) // WEEK_DAYS), else_=0)
    for length, which in ((WEEK_DAYS, weeks), (1, days)):
        if which:
            of_them = (tallies.c.days == length, tallies.c.day.in_(sorted(which)))
            _add(
                found,
                connection,
                _of_tallies().add_columns(number.label("week")).where(*of_them).group_by(number),
            )
    within = or_(
        *(
            and_(calls.c.started_at >= begin, calls.c.started_at < end)
            for begin, end in _between(since, until, sorted(in_weeks | days))
        )
    )
    week = cast(func.floor((calls.c.started_at / DAY_SECONDS - MONDAY) / WEEK_DAYS), Integer)
    for counting in (_of_calls, _of_criteria):
        _add(found, connection, counting(within).add_columns(week.label("week")).group_by(week))
    return found


def _day(at: float) -> int:
    return math.floor(at / DAY_SECONDS)


def _week(day: int) -> int:
    return (day - MONDAY) // WEEK_DAYS


def _between(since: float, until: float, counted: Iterable[int]) -> Iterator[tuple[float, float]]:
    """The stretches that are not counted; one without length where all of it is."""
    at = since
    for day in counted:
        if day * DAY_SECONDS > at:
            yield at, day * DAY_SECONDS
        at = (day + 1) * DAY_SECONDS
    yield at, max(at, until)


def _add(found: dict[Key, Sums], connection: Connection, asked: Select[Any]) -> None:
    for portal, owner, name, manager, *sums, week in connection.execute(asked):
        found[portal, owner, name, week].add(Sums(manager, *sums))


def _of_tallies() -> Select[Any]:
    """Sums of what was counted, by portal, manager and criterion."""
    return select(
        tallies.c.portal,
        tallies.c.manager_id,
        tallies.c.name,
        func.max(tallies.c.manager).label("manager"),
        *(func.sum(tallies.c[each]).label(each) for each in _SUMS),
    ).group_by(tallies.c.portal, tallies.c.manager_id, tallies.c.name)


def _of_calls(within: ColumnElement[bool]) -> Select[Any]:
    """Sums of calls, by portal and manager."""
    owner, both = func.coalesce(calls.c.manager_id, ""), calls.c.talk_first + calls.c.talk_second
    return (
        select(
            calls.c.portal,
            owner.label("manager_id"),
            literal_column("''").label("name"),
            func.max(calls.c.manager).label("manager"),
            func.count().label("calls"),
            func.count(calls.c.score).label("scored"),
            func.coalesce(func.sum(calls.c.score), 0).label("score"),
            func.coalesce(func.sum(case((both.is_not(None), calls.c.talk_first))), 0.0).label("own"),
            func.coalesce(func.sum(both), 0.0).label("talked"),
            literal_column("0").label("met"),
        )
        .where(within)
        .group_by(calls.c.portal, owner)
    )


def _of_criteria(within: ColumnElement[bool]) -> Select[Any]:
    """Sums of their criteria, by portal, manager and criterion; as people corrected them."""
    owner = func.coalesce(calls.c.manager_id, "")
    said = (
        select(verdicts.c.met)
        .where(verdicts.c.call == criteria.c.call, verdicts.c.criterion == criteria.c.name)
        .where(verdicts.c.met.is_not(None))
        .order_by(verdicts.c.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    # asked for apart, so that criteria are looked up by their calls and not the other way round
    some = select(calls.c.number).where(within).correlate(None)
    return (
        select(
            calls.c.portal,
            owner.label("manager_id"),
            criteria.c.name,
            func.max(calls.c.manager).label("manager"),
            func.count().label("calls"),
            *(literal_column("0").label(name) for name in _SUMS[1:-1]),
            func.sum(cast(func.coalesce(said, criteria.c.met), Integer)).label("met"),
        )
        .join(calls, calls.c.number == criteria.c.call)
        .where(criteria.c.call.in_(some))
        .group_by(calls.c.portal, owner, criteria.c.name)
    )
