"""Figures over many calls: managers and their weeks, and how far people and the machine agree."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Integer, case, cast, exists, func, select

from pipeline.archive.archive import call_of
from pipeline.archive.calls import Call, Member, Week
from pipeline.archive.database import Database
from pipeline.archive.schema import calls, criteria, verdicts

WEEK_SECONDS = 7 * 86_400
MONDAY = 4 * 86_400  # the first one after the epoch began, UTC
FEWEST_PAIRS = 20  # below it an agreement says nothing
PAIRS = 50_000


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far people and the machine agree on one criterion, or on the score's band.

    kappa: Cohen's; 1 = always, 0 = as by chance; None where it cannot be told (all are of one kind).
    low, high: its 95 % interval. few: too few verdicts to rely on.
    """

    name: str | None  # None: the band of the score
    pairs: int
    agreed: float  # share
    kappa: float | None
    low: float | None
    high: float | None
    few: bool


def team(
    database: Database,
    *,
    since: float,
    until: float,
    manager_first: Collection[str] = (),
    manager_second: Collection[str] = (),
) -> list[Member]:
    """Managers by their calls in that time, the most first; criteria as people corrected them.

    manager_first, manager_second: the portals whose manager is on that channel of their recordings; how much
    of a call managers talk is told of these alone.
    """
    within = (calls.c.started_at >= since, calls.c.started_at < until)
    week = cast(func.floor((calls.c.started_at - MONDAY) / WEEK_SECONDS), Integer)
    by_managers = case(
        (calls.c.portal.in_(manager_first), calls.c.talk_first),
        (calls.c.portal.in_(manager_second), calls.c.talk_second),
    )
    both = case((by_managers.is_not(None), calls.c.talk_first + calls.c.talk_second))
    talked = func.sum(case((both.is_not(None), by_managers))), func.sum(both)
    with database.reading() as connection:
        rows = connection.execute(
            select(
                calls.c.manager_id,
                func.max(calls.c.manager).label("manager"),
                func.count().label("calls"),
                func.avg(calls.c.score).label("score"),
                talked[0].label("own"),
                talked[1].label("all"),
            )
            .where(*within)
            .group_by(calls.c.manager_id)
            .order_by(func.count().desc())
            .limit(500)
        ).all()
        weeks: dict[str | None, list[Week]] = defaultdict(list)
        for row in connection.execute(
            select(
                calls.c.manager_id,
                week.label("week"),
                func.count().label("calls"),
                func.avg(calls.c.score).label("score"),
            )
            .where(*within)
            .group_by(calls.c.manager_id, week)
            .order_by(week)
        ):
            weeks[row.manager_id].append(
                Week(
                    begins_at=float(row.week * WEEK_SECONDS + MONDAY),
                    calls=row.calls,
                    score=_rounded(row.score),
                )
            )
        judged: dict[str | None, dict[str, float]] = defaultdict(dict)
        met = func.sum(cast(criteria.c.met, Integer)) * 1.0 / func.count()
        for row in connection.execute(
            select(calls.c.manager_id, criteria.c.name, met.label("met"))
            .join(calls, calls.c.number == criteria.c.call)
            .where(*within)
            .group_by(calls.c.manager_id, criteria.c.name)
        ):
            judged[row.manager_id][row.name] = round(float(row.met), 3)
    return [
        Member(
            manager_id=row.manager_id,
            manager=row.manager,
            calls=row.calls,
            score=_rounded(row.score),
            talk_share=round(row.own / row.all, 3) if row.all else None,
            met=judged[row.manager_id],
            weeks=tuple(weeks[row.manager_id]),
        )
        for row in rows
    ]


def quality(database: Database, *, since: float, until: float) -> list[Agreement]:
    """People against the machine: the score's band first, then each criterion; last verdicts count."""
    within = (calls.c.started_at >= since, calls.c.started_at < until)
    with database.reading() as connection:
        bands = connection.execute(
            select(calls.c.id, calls.c.machine_band, verdicts.c.band)
            .join(verdicts, verdicts.c.call == calls.c.number)
            .where(*within, verdicts.c.criterion.is_(None), calls.c.machine_band.is_not(None))
            .where(verdicts.c.band.is_not(None))
            .order_by(verdicts.c.number)
            .limit(PAIRS)
        )
        last = {row.id: (row.machine_band, row.band) for row in bands}
        found = [agreement(None, last.values())] if last else []
        said = connection.execute(
            select(calls.c.id, criteria.c.name, criteria.c.met, verdicts.c.met.label("really"))
            .join(verdicts, verdicts.c.call == calls.c.number)
            .join(criteria, (criteria.c.call == calls.c.number) & (criteria.c.name == verdicts.c.criterion))
            .where(*within, verdicts.c.met.is_not(None))
            .order_by(verdicts.c.number)
            .limit(PAIRS)
        )
        pairs: dict[str, dict[str, tuple[Any, Any]]] = defaultdict(dict)
        for row in said:
            pairs[row.name][row.id] = (bool(row.met), bool(row.really))
    return found + [agreement(name, pairs[name].values()) for name in sorted(pairs)]


def judged(database: Database, *, since: float, until: float, limit: int = 200) -> list[Call]:
    """The calls of that time whose score people have judged, newest first, without their segments."""
    said = exists().where(
        verdicts.c.call == calls.c.number, verdicts.c.criterion.is_(None), verdicts.c.band.is_not(None)
    )
    wanted = select(calls).where(calls.c.started_at >= since, calls.c.started_at < until, said)
    with database.reading() as connection:
        found = connection.execute(
            wanted.order_by(calls.c.started_at.desc(), calls.c.number.desc()).limit(limit)
        )
        return [call_of(row) for row in found]


def agreement(name: str | None, pairs: Iterable[tuple[Any, Any]]) -> Agreement:
    """Cohen's kappa of (machine, person) pairs, with the interval of its large-sample standard error."""
    counted = Counter(pairs)
    n = sum(counted.values())
    agreed = sum(many for (one, other), many in counted.items() if one == other) / n
    kinds = {kind for pair in counted for kind in pair}
    ours, theirs = Counter[Any](), Counter[Any]()
    for (one, other), many in counted.items():
        ours[one] += many
        theirs[other] += many
    chance = sum(ours[kind] * theirs[kind] for kind in kinds) / n**2
    if chance == 1:
        return Agreement(
            name=name, pairs=n, agreed=agreed, kappa=None, low=None, high=None, few=n < FEWEST_PAIRS
        )
    kappa = (agreed - chance) / (1 - chance)
    error = math.sqrt(agreed * (1 - agreed) / n) / (1 - chance)
    return Agreement(
        name=name,
        pairs=n,
        agreed=round(agreed, 3),
        kappa=round(kappa, 3),
        low=round(max(-1.0, kappa - 1.96 * error), 3),
        high=round(min(1.0, kappa + 1.96 * error), 3),
        few=n < FEWEST_PAIRS,
    )


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), 1)
