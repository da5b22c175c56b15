"""Figures over many calls: managers and their weeks, and how far people and the machine agree."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select

from pipeline.archive.calls import Agreement, Member, Week
from pipeline.archive.database import Database
from pipeline.archive.schema import calls, criteria, verdicts
from pipeline.archive.tallies import DAY_SECONDS, MONDAY, WEEK_DAYS, Sums, added_up

FEWEST_PAIRS = 20  # below it an agreement says nothing


def team(
    database: Database, *, since: float, until: float, told: Collection[str] | None = None
) -> list[Member]:
    """Managers by their calls in that time, the most first; criteria as people corrected them.

    told: the portals of which it is known who is on which channel, None: all; how much managers talk is told
    of their calls alone.
    """
    with database.reading() as connection:
        found = added_up(connection, since=since, until=until)
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
                Week(begins_at=(week * WEEK_DAYS + MONDAY) * DAY_SECONDS, calls=each.calls, score=each.mean)
                for week, each in sorted(weeks[manager].items())
            ),
        )
        for manager, some in whole.items()
    ]
    return sorted(members, key=lambda member: (-member.calls, member.manager_id or ""))


def quality(database: Database, *, since: float, until: float) -> list[Agreement]:
    """People against the machine: the score's band first, then each criterion; last verdicts count."""
    within = (calls.c.started_at >= since, calls.c.started_at < until)
    lasts = select(func.max(verdicts.c.number)).join(calls, calls.c.number == verdicts.c.call).where(*within)
    scores = lasts.where(verdicts.c.criterion.is_(None), verdicts.c.band.is_not(None))
    met = lasts.where(verdicts.c.met.is_not(None)).group_by(verdicts.c.criterion)
    with database.reading() as connection:
        bands = connection.execute(
            select(calls.c.machine_band, verdicts.c.band, func.count())
            .join(verdicts, verdicts.c.call == calls.c.number)
            .where(verdicts.c.number.in_(scores.group_by(verdicts.c.call)), calls.c.machine_band.is_not(None))
            .group_by(calls.c.machine_band, verdicts.c.band)
        )
        by_band = {(machine, person): many for machine, person, many in bands}
        said = connection.execute(
            select(criteria.c.name, criteria.c.met, verdicts.c.met, func.count())
            .join(verdicts, (criteria.c.call == verdicts.c.call) & (criteria.c.name == verdicts.c.criterion))
            .where(verdicts.c.number.in_(met.group_by(verdicts.c.call)))
            .group_by(criteria.c.name, criteria.c.met, verdicts.c.met)
        )
        pairs: dict[str, dict[tuple[Any, Any], int]] = defaultdict(dict)
        for name, machine, person, many in said:
            pairs[name][machine, person] = many
    found = [agreement(None, by_band)] if by_band else []
    return found + [agreement(name, pairs[name]) for name in sorted(pairs)]


def agreement(name: str | None, counted: Mapping[tuple[Any, Any], int]) -> Agreement:
    """Cohen's kappa of (machine, person) pairs by how often each is, with the interval of its large-sample
    standard error.
    """
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
