"""What one portal may take of this process: whoever sends more waits for itself, and nobody else does.

The bounds lie far above what portals send, since a request that is refused is a call that is lost: small
bodies in any number wait for their turn, and only bytes by the ten millions are refused, with 429.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request

from pipeline.domain.errors import StoreUnavailable
from pipeline.web.bodies import whole
from pipeline.web.rate_limits import RateLimit

TURNS = 64  # requests of one portal that are worked on at a time
TURN_SECONDS = (
    20.0  # longer than a portal listens: a call that is accepted late is not lost, a refused one is
)
HELD_BYTES = 64 << 20  # of one portal's bodies in memory at a time
BYTES_PER_SECOND, BURST_BYTES = 8 << 20, 64 << 20
FREE_BYTES = 16_384  # of each body: a recording's request has 2,000 and is bounded by its turn alone
FEW_MEMBERS = 500
READERS = 2  # threads that read large bodies, one at a time for each portal

T = TypeVar("T")


class _Share:
    """One portal's."""

    def __init__(self) -> None:
        self.turns, self.large = asyncio.Semaphore(TURNS), asyncio.Semaphore(1)
        self.held_bytes = 0


class Shares:
    """The portals' shares; there are as many as portals in the settings."""

    def __init__(self) -> None:
        self._shares: dict[str, _Share] = {}
        self.sent = RateLimit(rate=BYTES_PER_SECOND, burst=BURST_BYTES)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._waits: set[asyncio.Timeout] = set()

    def body(self, request: Request, portal: str, *, max_bytes: int) -> AbstractAsyncContextManager[bytes]:
        """The request's body and the portal's turn to have it worked on.

        Raises HTTPException 429 where the portal sends too much, StoreUnavailable where what came before it
        takes too long; else as `whole`.
        """
        share = self._shares.get(portal) or self._shares.setdefault(portal, _Share())
        return _Turn(self, share, request, portal, max_bytes)

    async def read(self, portal: str, body: bytes, read: Callable[[], T]) -> T:
        """What `read` makes of the body: at once where that is a matter of microseconds, else in a thread."""
        if len(body) <= FREE_BYTES and body.count(b",") + body.count(b"[") <= FEW_MEMBERS:
            return read()
        large = self._shares[portal].large
        await self.acquire(large)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, read)
        finally:
            large.release()

    def close(self) -> None:
        self._readers.shutdown()

    def refuse_waiting(self) -> None:
        """The store does not serve: who waits for a turn has nothing to wait for."""
        for wait in self._waits:
            wait.reschedule(0.0)

    async def acquire(self, turns: asyncio.Semaphore) -> None:
        """One of these turns; raises StoreUnavailable where it takes too long, or the store is away."""
        if not turns.locked():
            await turns.acquire()
            return
        try:
            async with asyncio.timeout(TURN_SECONDS) as wait:
                self._waits.add(wait)
                try:
                    await turns.acquire()
                finally:
                    self._waits.discard(wait)
        except TimeoutError:
            raise StoreUnavailable("This portal's requests before this one are not through yet.") from None


class _Turn:
    """A context manager, by hand: one of contextlib's costs as much as all that is done here."""

    def __init__(self, shares: Shares, share: _Share, request: Request, portal: str, max_bytes: int) -> None:
        self._shares, self._share, self._request, self._portal = shares, share, request, portal
        self._max_bytes, self._held = max_bytes, 0

    async def __aenter__(self) -> bytes:
        try:
            body = await whole(self._request, max_bytes=self._max_bytes, hold=self._hold)
            await self._shares.acquire(self._share.turns)
        except BaseException:
            self._share.held_bytes -= self._held
            raise
        return body

    async def __aexit__(self, *_: object) -> None:
        self._share.turns.release()
        self._share.held_bytes -= self._held

    def _hold(self, size: int) -> None:
        held = self._held
        charged = max(held + size - FREE_BYTES, 0) - max(held - FREE_BYTES, 0)
        share, sent = self._share, self._shares.sent
        if share.held_bytes + size > HELD_BYTES or (charged and sent.wait(self._portal, charged)):
            raise HTTPException(429, "This portal sends more bytes than it may.", {"Retry-After": "5"})
        self._held += size
        share.held_bytes += size
