"""The calls of days, weeks and four weeks, counted once: figures over months add up those instead of calls.

A stretch of days stands in `tallied` as long as its sums are those of its calls: whatever changes one of them
takes it out, in the same transaction. What does not stand there is counted from the calls. Days are UTC's,
weeks begin on Monday.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Row,
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
LENGTHS = (
    1,
    WEEK_DAYS,
    4 * WEEK_DAYS,
)  # of stretches, each made of those before; the last: of criteria alone
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
    for length in LENGTHS if days else ():
        of_them = tallied.c.day.in_(sorted({_first(day, length) for day in days}))
        connection.execute(delete(tallied).where(tallied.c.days == length, of_them))


def tally(connection: Connection, *, before: float, most: int = 31) -> int:
    """Counts days that have ended before then and are not counted yet, the newest first, and the longer
    stretches that they make whole; how many of all.
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
    known |= {(day, 1) for day in wanted}
    count = len(wanted)
    for part, length in itertools.pairwise(LENGTHS):
        parts = {day for day, days in known if days == part}
        for begin in {_first(day, length) for day in parts}:
            if (begin, length) in known or not parts.issuperset(range(begin, begin + length, part)):
                continue
            of_parts = (tallies.c.days == part, tallies.c.day >= begin, tallies.c.day < begin + length)
            kinds = () if length == WEEK_DAYS else (tallies.c.name != "",)
            _write(connection, begin, length, _of_tallies().where(*of_parts, *kinds))
            known.add((begin, length))
            count += 1
    return count


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
    found: dict[Key, Sums] = defaultdict(Sums)
    number = (tallies.c.day - MONDAY) // WEEK_DAYS
    weekly = _of_tallies().add_columns(number.label("week")).where(tallies.c.name == "").group_by(number)
    whole = _of_tallies().add_columns(literal_column("0").label("week")).where(tallies.c.name != "")
    for asked, lengths in ((weekly, LENGTHS[:-1]), (whole, LENGTHS)):
        for length, days in _longest(known, lengths):
            _add(found, connection, asked.where(tallies.c.days == length, tallies.c.day.in_(days)))
    within = or_(
        *(
            and_(calls.c.started_at >= begin, calls.c.started_at < end)
            for begin, end in _between(since, until, sorted(row.day for row in known if row.days == 1))
        )
    )
    week = cast(func.floor((calls.c.started_at / DAY_SECONDS - MONDAY) / WEEK_DAYS), Integer)
    for counting in (_of_calls, _of_criteria):
        _add(found, connection, counting(within).add_columns(week.label("week")).group_by(week))
    return found


def _day(at: float) -> int:
    return math.floor(at / DAY_SECONDS)


def _first(day: int, length: int) -> int:
    """The first day of the stretch of that length which the day is in."""
    return (day - MONDAY) // length * length + MONDAY


def _longest(known: Sequence[Row[Any, Any]], lengths: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """The fewest stretches that are all that is counted: a length and the first days of its stretches."""
    covered: set[int] = set()
    for length in reversed(lengths):
        days = [row.day for row in known if row.days == length and row.day not in covered]
        covered.update(day for first in days for day in range(first, first + length))
        if days:
            yield length, sorted(days)


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
