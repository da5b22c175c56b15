"""Paid answers: each is reserved before the call, kept before it is read, and paid for once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from pipeline.domain.job import Claim
from pipeline.store.connect import Server, guarded
from pipeline.store.records import dumps, place_of
from pipeline.store.usage import KEPT_SECONDS, day, fields_of, key_of, series_of


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """What stands before a paid call: an answer that is here, another who asks, a breaker (which, and for how
    many seconds), no free place, the cap, no job; or go."""

    verdict: Literal["answer", "wait", "closed", "full", "capped", "gone", "go"]
    answer: str = ""
    breaker: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Callee:
    """Whom a paid call is made to: its name, how many calls it takes at a time, and its breakers."""

    name: str = ""
    places: int = 1_000_000
    breakers: tuple[str, ...] = ()


ANYBODY = Callee()


class Ledger:
    """The paid calls of all workers, by the keys of their answers."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def reserve(
        self, key: str, claim: Claim, *, seconds: float, cap: float, callee: Callee = ANYBODY
    ) -> Reservation:
        """Before a paid call of `seconds` (0 for calls that are not counted in seconds).

        With it the claim has a place at the callee until an answer is kept, it leaves, or its lease is over.
        """
        asked = {
            "key": key,
            "id": claim.job,
            "step": claim.step,
            "fence": claim.fence,
            "portal": claim.portal,
            "day": day(),
            "seconds": seconds,
            "cap": cap,
            "gates": callee.breakers,
            "provider": callee.name,
            "places": callee.places,
        }
        verdict, *more = self._server.run("reserve_paid", dumps(asked))
        if verdict == "closed":
            return Reservation(verdict=verdict, breaker=more[0], seconds=float(more[1]))
        return Reservation(verdict=verdict, answer=more[0] if more else "")

    @guarded
    def leave(self, callee: Callee, claim: Claim) -> None:
        """Gives the place at the callee back."""
        self._server.redis.srem(f"cs:slots:{callee.name}", place_of(claim))

    @guarded
    def peek(self, *keys: str) -> list[str | None]:
        """The kept answer under each key, if there is one."""
        rows = cast("list[str | None]", self._server.redis.mget(keys)) if keys else []
        return [None if held is None or held.startswith("@") else held for held in rows]

    def unreserve(self, key: str, claim: Claim, *, seconds: float) -> None:
        """The reserved call was certainly not served: it is no repetition to ask again."""
        self._server.run("unreserve_paid", key, place_of(claim), claim.portal, day(), seconds)

    def keep(
        self,
        key: str,
        claim: Claim,
        answer: str,
        *,
        seconds: float,
        took: Mapping[str, float] | None = None,
        model: str | None = None,
        callee: Callee = ANYBODY,
    ) -> None:
        """The raw answer of a paid call, durable before anything reads it; kept for `seconds`.

        In the same step what it took is added to the portal's usage, its place is given back and the callee's
        breakers close.
        """
        kept = {
            "key": key,
            "id": claim.job,
            "seconds": max(1, int(seconds)),
            "usage": key_of(claim.portal),
            "amounts": fields_of(took or {}, model),
            "usage_seconds": KEPT_SECONDS,
            "counted": series_of(claim.portal, took or {}, model),
            "gates": callee.breakers,
            "provider": callee.name,
            "place": place_of(claim),
        }
        self._server.run("keep_paid", dumps(kept), answer)

    @guarded
    def drop(self, key: str) -> None:
        """Forgets a kept answer that cannot be used."""
        self._server.redis.delete(key)
