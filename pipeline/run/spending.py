"""What portals have used over some days, by model and by day, and what it cost."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from pipeline.settings.portals import Portal
from pipeline.settings.prices import Price
from pipeline.store import Store

AMOUNTS = ("paid_seconds", "prompt_tokens", "completion_tokens", "images")

Used = Mapping[str, Mapping[str, float]]  # model -> what -> amount; "" for what has no model


def used_on(store: Store, portal: Portal, days: int) -> dict[str, Used]:
    """What the portal has used on each of the last days, today first."""
    named = last_days(days)
    return dict(zip(named, store.usage.over(portal.id, named), strict=True))


def added(by_day: Mapping[str, Used]) -> Used:
    """What was used on all these days together."""
    used: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for taken in by_day.values():
        for model, amounts in taken.items():
            for what, amount in amounts.items():
                used[model][what] += amount
    return used


def rows_of(portal: Portal, used: Used, prices: Mapping[str, Price]) -> list[dict[str, Any]]:
    """A row for each model, the last one for the portal as a whole, with its jobs."""
    whole: dict[str, float] = defaultdict(float)
    rows = list[dict[str, Any]]()
    for model, taken in sorted(used.items()):
        for what, amount in taken.items():
            whole[what] += amount
        if taken.get("paid_calls"):
            rows.append(_row(portal, model or "(unnamed)", taken, _cost(model, taken, prices)))
    jobs = whole.get("jobs_done", 0) + whole.get("jobs_failed", 0)
    return [*rows, _row(portal, "all", whole, cost_of(used, prices), jobs=jobs)]


def cost_of(used: Used, prices: Mapping[str, Price]) -> float | None:
    """What all of it cost; None where no prices are set."""
    return sum(_cost(model, taken, prices) or 0.0 for model, taken in used.items()) if prices else None


def last_days(days: int) -> list[str]:
    """The last `days` days of UTC, today first, as YYYY-MM-DD."""
    today = dt.datetime.now(dt.UTC).date()
    return [str(today - dt.timedelta(days=back)) for back in range(days)]


def _cost(model: str, taken: Mapping[str, float], prices: Mapping[str, Price]) -> float | None:
    return (prices.get(model) or prices.get("default", Price())).of(taken) if prices else None


def _row(
    portal: Portal, model: str, used: Mapping[str, float], cost: float | None, *, jobs: float | None = None
) -> dict[str, Any]:
    amounts = {name: round(used.get(name, 0), 3) for name in AMOUNTS}
    return {"portal": portal.id, "model": model, "jobs": jobs, **amounts, "cost": cost}
