"""Paid answers: each is reserved before the call, kept before it is read, and paid for once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from pipeline.domain.job import Claim, JobId
from pipeline.store.connect import Server, guarded
from pipeline.store.records import place_of
from pipeline.store.usage import day


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """What stands before a paid call: an answer that is here, another who asks, the cap, no job, or go."""

    verdict: Literal["answer", "wait", "capped", "gone", "go"]
    answer: str = ""


class Ledger:
    """The paid calls of all workers, by the keys of their answers."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def reserve(self, key: str, claim: Claim, *, seconds: float, cap: float) -> Reservation:
        """Before a paid call of `seconds` (0 for calls that are not counted in seconds)."""
        row = self._server.run(
            "reserve_paid", key, claim.job, claim.step, claim.fence, claim.portal, day(), seconds, cap
        )
        return Reservation(verdict=row[0], answer=row[1] if len(row) > 1 else "")

    @guarded
    def peek(self, key: str) -> str | None:
        """The kept answer, if there is one."""
        held = cast("str | None", self._server.redis.get(key))
        return None if held is None or held.startswith("@") else held

    def unreserve(self, key: str, claim: Claim, *, seconds: float) -> None:
        """The reserved call was certainly not served: it is no repetition to ask again."""
        self._server.run("unreserve_paid", key, place_of(claim), claim.portal, day(), seconds)

    def keep(self, key: str, job: JobId, answer: str, *, seconds: float) -> None:
        """The raw answer of a paid call, durable before anything reads it; kept for `seconds`."""
        self._server.run("keep_paid", key, job, answer, max(1, int(seconds)))

    @guarded
    def drop(self, key: str) -> None:
        """Forgets a kept answer that cannot be used."""
        self._server.redis.delete(key)
