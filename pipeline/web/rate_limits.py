"""How much one sender may send: in the memory of this process, for wrong tokens, `/v1`, and bytes of bodies.

The number of valid engine requests is never limited: refusing one loses a call.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address, ip_network

from starlette.exceptions import HTTPException
from starlette.requests import Request

MOST_ADDRESSES = 10_000


class RateLimit:
    """A token bucket per client address, or per portal: `burst` at once, then `rate` per second."""

    def __init__(self, *, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> (tokens, at)

    def wait(self, address: str, amount: float = 1.0) -> float:
        """Takes so many tokens; 0, or the seconds until there are as many."""
        now = self._clock()
        tokens, at = self._buckets.pop(address, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - at) * self._rate)
        short = max(0.0, amount - tokens)
        self._buckets[address] = (tokens if short else tokens - amount, now)
        if len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        return short / self._rate

    def spend(self, request: Request) -> None:
        """Takes one token of the request's sender; raises HTTPException 429 with Retry-After."""
        if seconds := self.wait(sender(request)):
            after = str(max(1, round(seconds + 0.5)))
            raise HTTPException(429, "Too many requests from your address.", {"Retry-After": after})


def sender(request: Request) -> str:
    """The client's address; of IPv6 its /64, since one client owns them all."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else host
