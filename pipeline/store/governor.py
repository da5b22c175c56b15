"""What all workers share besides records: paid answers, breakers, throttles, slots, usage, capabilities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from pipeline.domain.job import Claim, JobId, PortalId
from pipeline.store.store import Store, day, guarded


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """What stands before a paid call: an answer that is here, another who asks, the cap, no job, or go."""

    verdict: Literal["answer", "wait", "capped", "gone", "go"]
    answer: str = ""


class Governor(Store):
    """The store with the shared governors of paid and limited calls."""

    def reserve_paid(self, key: str, claim: Claim, *, seconds: float, cap: float) -> Reservation:
        """Before a paid call of `seconds` (0 for calls that are not counted in seconds)."""
        row = self._run(
            "reserve_paid", key, claim.job, claim.step, claim.fence, claim.portal, day(), seconds, cap
        )
        return Reservation(verdict=row[0], answer=row[1] if len(row) > 1 else "")

    @guarded
    def peek_paid(self, key: str) -> str | None:
        """The kept answer, if there is one."""
        held = cast("str | None", self._redis.get(key))
        return None if held is None or held.startswith("@") else held

    def unreserve_paid(self, key: str, claim: Claim, *, seconds: float) -> None:
        """The reserved call was certainly not served: it is no repetition to ask again."""
        self._run("unreserve_paid", key, _place(claim), claim.portal, day(), seconds)

    def keep_paid(self, key: str, job: JobId, answer: str, *, seconds: float) -> None:
        """The raw answer of a paid call, durable before anything reads it; kept for `seconds`."""
        self._run("keep_paid", key, job, answer, max(1, int(seconds)))

    @guarded
    def drop_paid(self, key: str) -> None:
        """Forgets a kept answer that cannot be used."""
        self._redis.delete(key)

    def wait_at(self, gate: str) -> float:
        """Seconds to wait before this gate; 0: go. While it is open one probe per period is let through."""
        return float(self._run("gate", gate, "ask", 0, 0, 0))

    def passed(self, gate: str) -> None:
        """The probe, or any call, went well: the gate closes."""
        self._run("gate", gate, "pass", 0, 0, 0)

    def tripped(self, gate: str, *, after: int = 5, period: float = 5.0, longest: float = 60.0) -> None:
        """One more failure; from the `after`th on the gate opens, for `period` seconds and ever longer."""
        self._run("gate", gate, "fail", after, period, longest)

    def turn(
        self,
        name: str,
        *,
        rate: float,
        burst: int,
        verb: Literal["ask", "take", "fill"] = "ask",
        who: str = "",
    ) -> float:
        """Seconds to wait for a request's turn in a leaky bucket that all workers share; 0: go.

        `who` waits has a turn kept, and need not ask earlier. A lower `burst` leaves the rest of the bucket
        to others. take: counted, never refused. fill: the other side says that it is full.
        """
        return float(self._run("throttle", name, rate, burst, verb, who))

    def enter(self, name: str, claim: Claim, *, limit: int) -> bool:
        """Takes one of `limit` places; it is free again when it is left, or the claim's lease is over."""
        return bool(self._run("enter", name, claim.job, claim.step, claim.fence, limit))

    @guarded
    def leave(self, name: str, claim: Claim) -> None:
        """Gives the place back."""
        self._redis.srem(f"cs:slots:{name}", _place(claim))

    @guarded
    def recall(self, key: str) -> str | None:
        """A small fact about a server that was learned before: what it can, which form it takes."""
        return cast("str | None", self._redis.get(f"cs:known:{key}"))

    @guarded
    def remember(self, key: str, value: str, *, seconds: int | None = 86_400) -> None:
        """Keeps such a fact, for a day unless told otherwise: servers change."""
        self._redis.set(f"cs:known:{key}", value, ex=seconds)

    def first(self, name: str, value: str, *, seconds: int, instead_of: str = "") -> str:
        """What was said first under `name`, for `seconds`: `value`, if nothing was, or just `instead_of`."""
        return str(self._run("first", name, value, seconds, instead_of))

    @guarded
    def forget_first(self, name: str) -> None:
        """Whoever comes next is the first again."""
        self._redis.delete(f"cs:once:{name}")

    @guarded
    def read_shelf(self, name: str, *fields: str) -> dict[str, str]:
        """What many calls share of a portal: all of it, or these fields of it."""
        if not fields:
            return cast(dict[str, str], self._redis.hgetall(f"cs:shelf:{name}"))
        values = cast("list[str | None]", self._redis.hmget(f"cs:shelf:{name}", list(fields)))
        return {field: value for field, value in zip(fields, values, strict=True) if value is not None}

    @guarded
    def write_shelf(
        self, name: str, kept: Mapping[str, str], gone: Iterable[str] = (), *, seconds: int
    ) -> None:
        """Changes fields of it; all of it goes when nothing was changed for `seconds`."""
        pipe = self._redis.pipeline()
        if kept:
            pipe.hset(f"cs:shelf:{name}", mapping=dict(kept))  # type: ignore[arg-type]
        if dropped := list(gone):
            pipe.hdel(f"cs:shelf:{name}", *dropped)
        pipe.expire(f"cs:shelf:{name}", seconds)
        pipe.execute()

    @guarded
    def connected_at(self, portal: PortalId) -> float:
        """When this portal was first seen here: calls before that are its history."""
        self._redis.set(f"cs:connected:{portal}", f"{self.now():.3f}", nx=True)
        return float(cast(str, self._redis.get(f"cs:connected:{portal}")))

    @guarded
    def count(self, portal: PortalId, amounts: Mapping[str, float], *, model: str | None = None) -> None:
        """Adds to the portal's usage of today; `model`: the one that did it, where one has to be paid."""
        pipe = self._redis.pipeline()
        for name, amount in amounts.items():
            if amount:
                pipe.hincrbyfloat(f"cs:usage:{portal}:{day()}", f"{name}:{model}" if model else name, amount)
        pipe.expire(f"cs:usage:{portal}:{day()}", 400 * 86_400)
        pipe.execute()

    @guarded
    def usage(self, portal: PortalId, on: str | None = None) -> dict[str, float]:
        """The portal's usage of a day (default today): name -> amount, all models together."""
        used: dict[str, float] = defaultdict(float)
        for taken in self.usage_by_model(portal, on).values():
            for name, amount in taken.items():
                used[name] += amount
        return dict(used)

    @guarded
    def usage_by_model(self, portal: PortalId, on: str | None = None) -> dict[str, dict[str, float]]:
        """The portal's usage of a day (default today): model -> name -> amount; "" for what has no model."""
        row = cast(dict[str, str], self._redis.hgetall(f"cs:usage:{portal}:{on or day()}"))
        used: dict[str, dict[str, float]] = {}
        for field, amount in row.items():
            name, _, model = field.partition(":")
            used.setdefault(model, {})[name] = float(amount)
        return used


def _place(claim: Claim) -> str:
    return f"{claim.job}|{claim.step}|{claim.fence}"
