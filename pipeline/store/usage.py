"""What portals use up, counted per day."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

from pipeline.domain.job import PortalId
from pipeline.store.connect import Server, guarded
from pipeline.store.counters import COUNTED
from pipeline.store.throttles import gate_of
from pipeline.telemetry.metrics import USED, field_of

KEPT_SECONDS = 400 * 86_400


class Usage:
    """Amounts per portal, day, name and model."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @guarded
    def add(
        self,
        portal: PortalId,
        amounts: Mapping[str, float],
        *,
        model: str | None = None,
        passed: str | None = None,
    ) -> None:
        """Adds to the portal's usage of today, and to what is counted for good.

        amounts: by their names in `metrics.USAGE`. model: the one that did it, where one has to be paid.
        passed: a circuit breaker that closes with it.
        """
        pipe = self._server.redis.pipeline()
        for name, amount in fields_of(amounts, model).items():
            pipe.hincrbyfloat(key_of(portal), name, amount)
        for series, amount in series_of(portal, amounts, model).items():
            pipe.hincrbyfloat(COUNTED, series, amount)
        pipe.expire(key_of(portal), KEPT_SECONDS)
        if passed:
            pipe.delete(gate_of(passed))
        pipe.execute()

    def of(self, portal: PortalId, on: str | None = None) -> dict[str, float]:
        """The portal's usage of a day (default today): name -> amount, all models together."""
        used: dict[str, float] = defaultdict(float)
        for taken in self.by_model(portal, on).values():
            for name, amount in taken.items():
                used[name] += amount
        return dict(used)

    def by_model(self, portal: PortalId, on: str | None = None) -> dict[str, dict[str, float]]:
        """The portal's usage of a day (default today): model -> name -> amount; "" for what has no model."""
        return self.over(portal, [on or day()])[0]

    @guarded
    def over(self, portal: PortalId, days: Sequence[str]) -> list[dict[str, dict[str, float]]]:
        """The same of several days, in their order, in one request."""
        pipe = self._server.redis.pipeline(transaction=False)
        for on in days:
            pipe.hgetall(f"cs:usage:{portal}:{on}")
        return [_by_model(row) for row in cast(list[dict[str, str]], pipe.execute())]


def _by_model(row: Mapping[str, str]) -> dict[str, dict[str, float]]:
    used: dict[str, dict[str, float]] = {}
    for field, amount in row.items():
        name, _, model = field.partition(":")
        used.setdefault(model, {})[name] = float(amount)
    return used


def key_of(portal: PortalId) -> str:
    """Where the portal's usage of today is counted."""
    return f"cs:usage:{portal}:{day()}"


def fields_of(amounts: Mapping[str, float], model: str | None) -> dict[str, float]:
    """The amounts by the names under which they are counted there."""
    return {f"{name}:{model}" if model else name: amount for name, amount in amounts.items() if amount}


def series_of(portal: PortalId, amounts: Mapping[str, float], model: str | None) -> dict[str, float]:
    """The amounts by the series in which they are counted for good."""
    return {
        field_of(USED[name].name, portal, model or ""): amount for name, amount in amounts.items() if amount
    }


def day() -> str:
    """Today, UTC, as usage is counted."""
    return time.strftime("%Y-%m-%d", time.gmtime())
