"""Figures over many calls: managers and their weeks, and how far people and the machine agree."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import select

from pipeline.archive.calls import WEEK_SECONDS, Agreement, Member, Week
from pipeline.archive.database import Database
from pipeline.archive.schema import calls, criteria, verdicts
from pipeline.archive.tallies import Sums, added_up

MONDAY = 4 * 86_400  # the first one after the epoch began, UTC
FEWEST_PAIRS = 20  # below it an agreement says nothing
PAIRS = 50_000
MOST_MEMBERS = 500


def team(
    database: Database, *, since: float, until: float, told: Collection[str] | None = None
) -> list[Member]:
    """Managers by their calls in that time, the most first; criteria as the machine judged them.

    told: the portals of which it is known who is on which channel, None: all; how much managers talk is told
    of their calls alone.
    """
    with database.reading() as connection:
        found = added_up(connection, since=since, until=until, week=WEEK_SECONDS, offset=MONDAY)
    whole: dict[str, Sums] = defaultdict(Sums)
    weeks: dict[str, dict[int, Sums]] = defaultdict(lambda: defaultdict(Sums))
    judged: dict[str, dict[str, Sums]] = defaultdict(lambda: defaultdict(Sums))
    for (portal, manager, name, week), some in found.items():
        if name:
            judged[manager][name].add(some)
            continue
        if told is not None and portal not in told:
            some = replace(some, own=0.0, talked=0.0)
        whole[manager].add(some)
        weeks[manager][week].add(some)
    members = [
        Member(
            manager_id=manager or None,
            manager=some.manager,
            calls=some.calls,
            score=some.mean,
            talk_share=round(some.own / some.talked, 3) if some.talked else None,
            met={name: round(each.met / each.calls, 3) for name, each in sorted(judged[manager].items())},
            weeks=tuple(
                Week(begins_at=float(week * WEEK_SECONDS + MONDAY), calls=each.calls, score=each.mean)
                for week, each in sorted(weeks[manager].items())
            ),
        )
        for manager, some in whole.items()
    ]
    return sorted(members, key=lambda member: (-member.calls, member.manager_id or ""))[:MOST_MEMBERS]


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
