"""What makes calls wait, counted over all workers: circuit breakers, turns at a rate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

from pipeline.store.connect import Server, guarded
from pipeline.store.known import LATELY_SECONDS, MOST_LATELY


def gate_of(name: str) -> str:
    """Where a circuit breaker stands."""
    return f"cs:gate:{name}"


class Breakers:
    """Circuit breakers, one per name: of a provider's account, a server, a portal's host."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._closed: dict[str, float] = {}  # when each was last found without a failure, monotonic

    def wait(self, name: str) -> float:
        """Seconds to wait before the next call; 0: go. An open one lets one probe per period through.

        One without any failure is taken to be so for a second, unless this process sees one.
        """
        now = time.monotonic()
        if now - self._closed.get(name, -LATELY_SECONDS) < LATELY_SECONDS:
            return 0.0
        self._closed.pop(name, None)
        failed, seconds = self._server.run("breaker", name, "ask", 0, 0, 0)
        if not failed:
            if len(self._closed) >= MOST_LATELY:
                self._closed.clear()
            self._closed[name] = now
        return float(seconds)

    @guarded
    def open(self, names: Sequence[str]) -> frozenset[str]:
        """Those of them that let nothing through but probes."""
        pipe = self._server.redis.pipeline(transaction=False)
        for name in names:
            pipe.hexists(gate_of(name), "open_until")
        return frozenset(name for name, held in zip(names, pipe.execute(), strict=True) if held)

    @guarded
    def passed(self, name: str) -> None:
        """The probe, or any call, went well: the breaker closes."""
        self._server.redis.delete(gate_of(name))

    def failed(self, name: str, *, after: int = 5, period: float = 5.0, longest: float = 60.0) -> None:
        """One more failure; from the `after`th on the breaker opens, for `period` seconds and ever longer."""
        self._closed.pop(name, None)
        self._server.run("breaker", name, "fail", after, period, longest)


class Limits:
    """Rates of calls that all workers keep together."""

    def __init__(self, server: Server) -> None:
        self._server = server

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
        to others. take: counted, never refused. fill: the server says that it is full.
        """
        return float(self._server.run("throttle", name, rate, burst, verb, who))
