"""The store as the api process uses it to accept: async, bounded in time, nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Literal, cast

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from pipeline.errors import StoreUnavailable
from pipeline.model import Due, Event, Job, Step
from pipeline.store.records import dues_of, dumps, fields_of
from pipeline.store.scripts import sources

Verdict = Literal["new", "known", "full"]


class Intake:
    """Accepts jobs; each acceptance is one durable write.

    bound_seconds: what an acceptance may take in all, since portals wait 5 s for an answer.
    """

    def __init__(self, url: str, *, bound_seconds: float = 3.0) -> None:
        self._redis = redis.asyncio.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=bound_seconds,
            socket_connect_timeout=bound_seconds,
            retry=Retry(NoBackoff(), 1),
        )
        self._accept = self._redis.register_script(sources()["accept"])
        self._bound_seconds = bound_seconds

    async def accept(self, job: Job, dues: Iterable[Due], *, queue_limit: int) -> tuple[Verdict, str]:
        """Whether the job is new, and the digest of the body that made the one that stands.

        Raises StoreUnavailable when the store refuses, or does not answer within the bound.
        """
        event = dumps(Event(at=job.accepted_at, step=Step("accept"), what="accepted"))
        args = [job.id, dumps(fields_of(job)), dumps(dues_of(dues)), event, str(queue_limit)]
        try:
            async with asyncio.timeout(self._bound_seconds):
                verdict, digest = cast(tuple[Verdict, str], await self._accept(args=args))
        except (RedisError, TimeoutError) as error:
            raise StoreUnavailable(f"the job store does not serve: {type(error).__name__}") from error
        return verdict, digest

    async def ping(self) -> None:
        """Proves that the store takes writes; raises StoreUnavailable."""
        try:
            async with asyncio.timeout(self._bound_seconds):
                await self._redis.set("cs:ping", "1", ex=60)
        except (RedisError, TimeoutError) as error:
            raise StoreUnavailable(f"the job store does not serve: {type(error).__name__}") from error

    async def fullness(self) -> float:
        """The used share of the memory that the server may take; 0 where it has no limit, or does not say.

        With nothing left it refuses every write, those that would finish jobs included. Raises
        StoreUnavailable.
        """
        try:
            async with asyncio.timeout(self._bound_seconds):
                memory = cast(dict[str, int], await self._redis.info("memory"))
        except (RedisError, TimeoutError) as error:
            raise StoreUnavailable(f"the job store does not serve: {type(error).__name__}") from error
        return memory.get("used_memory", 0) / (memory.get("maxmemory") or float("inf"))

    async def close(self) -> None:
        await self._redis.aclose()
