"""A day's calls, counted once: figures over months add up days instead of calls.

A day stands in `tallied` as long as its sums are those of its calls: whatever changes one of them takes it
out, in the same transaction. Days that do not stand there are counted from the calls. Days are UTC's.
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

from pipeline.archive.schema import calls, criteria, tallied, tallies

DAY_SECONDS = 86_400.0
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
        self.manager = max(filter(None, (self.manager, other.manager)), default=None)
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


Key = tuple[str, str, str, int]  # portal, manager's id, criterion ("": the calls themselves), week


def forget(connection: Connection, moments: Iterable[float]) -> None:
    """Something of the calls of these days has changed, or is about to."""
    days = sorted({_day(at) for at in moments})
    if days:
        connection.execute(delete(tallied).where(tallied.c.day.in_(days)))


def tally(connection: Connection, *, before: float, most: int = 31) -> int:
    """Counts days that have ended before then and are not counted yet, the newest first; how many."""
    if (
        connection.dialect.name == "postgresql"
    ):  # whoever changes a call of these days waits, or is waited for
        connection.execute(text("LOCK TABLE tallied IN SHARE ROW EXCLUSIVE MODE"))
    oldest = connection.scalar(select(func.min(calls.c.started_at)))
    if oldest is None:
        return 0
    known = set(connection.scalars(select(tallied.c.day)))
    first = max(_day(oldest), _day(before) - MOST_DAYS)
    wanted = [day for day in range(_day(before) - 1, first - 1, -1) if day not in known][:most]
    for day in wanted:
        connection.execute(delete(tallies).where(tallies.c.day == day))
        within = and_(calls.c.started_at >= day * DAY_SECONDS, calls.c.started_at < (day + 1) * DAY_SECONDS)
        for counted in (_of_calls, _of_criteria):
            found = counted(within).add_columns(cast(literal(day), Integer).label("day"))
            names = ["portal", "manager_id", "name", "manager", *_SUMS, "day"]
            connection.execute(insert(tallies).from_select(names, found))
        connection.execute(insert(tallied).values(day=day))
    return len(wanted)


def added_up(
    connection: Connection, *, since: float, until: float, week: int, offset: int
) -> dict[Key, Sums]:
    """What was done from `since` on and before `until`, by manager, criterion and week.

    Criteria that were counted by days are all of week 0. A week: that many seconds, from `offset` seconds
    after the epoch on; both are whole days.
    """
    first, last = math.ceil(since / DAY_SECONDS), math.floor(until / DAY_SECONDS)
    counted = connection.scalars(
        select(tallied.c.day).where(tallied.c.day >= first, tallied.c.day < last).order_by(tallied.c.day)
    ).all()
    found: dict[Key, Sums] = defaultdict(Sums)
    days, start = int(week / DAY_SECONDS), int(offset / DAY_SECONDS)
    if counted:
        number = cast(func.floor((tallies.c.day - start) * 1.0 / days), Integer)
        within_days = (tallies.c.day >= first, tallies.c.day < last)
        for name, at in ((tallies.c.name == "", number), (tallies.c.name != "", literal_column("0"))):
            grouped: list[ColumnElement[Any]] = [tallies.c.portal, tallies.c.manager_id, tallies.c.name]
            grouped += [number] if at is number else []  # criteria have no weeks: that is twenty times less
            asked = (
                select(
                    tallies.c.portal,
                    tallies.c.manager_id,
                    tallies.c.name,
                    func.max(tallies.c.manager).label("manager"),
                    *(func.sum(tallies.c[each]).label(each) for each in _SUMS),
                    at.label("week"),
                )
                .join(tallied, tallied.c.day == tallies.c.day)
                .where(name, *within_days)
                .group_by(*grouped)
            )
            _add(found, connection, asked)
    within = or_(
        *(
            and_(calls.c.started_at >= begin, calls.c.started_at < end)
            for begin, end in _between(since, until, counted)
        )
    )
    number = cast(func.floor((calls.c.started_at - offset) / week), Integer)
    for counting in (_of_calls, _of_criteria):
        _add(found, connection, counting(within).add_columns(number.label("week")).group_by(number))
    return found


def _day(at: float) -> int:
    return math.floor(at / DAY_SECONDS)


def _between(since: float, until: float, counted: Iterable[int]) -> Iterator[tuple[float, float]]:
    """The stretches that are not counted; one without length where all of it is."""
    at = since
    for day in counted:
        if day * DAY_SECONDS > at:
            yield at, day * DAY_SECONDS
        at = (day + 1) * DAY_SECONDS
    yield at, max(at, until)


def _add(found: dict[Key, Sums], connection: Connection, asked: Select[Any]) -> None:
    for row in connection.execute(asked):
        plain = row._mapping
        found[row.portal, row.manager_id, row.name, row.week].add(
            Sums(manager=row.manager, **{name: plain[name] for name in _SUMS})
        )


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
    """Sums of their criteria, by portal, manager and criterion."""
    owner = func.coalesce(calls.c.manager_id, "")
    return (
        select(
            calls.c.portal,
            owner.label("manager_id"),
            criteria.c.name,
            func.max(calls.c.manager).label("manager"),
            func.count().label("calls"),
            *(literal_column("0").label(name) for name in _SUMS[1:-1]),
            func.sum(cast(criteria.c.met, Integer)).label("met"),
        )
        .join(calls, calls.c.number == criteria.c.call)
        .where(within)
        .group_by(calls.c.portal, owner, criteria.c.name)
    )
