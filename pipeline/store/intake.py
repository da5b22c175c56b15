"""The store as the api process uses it to accept: async, bounded in time, nothing else."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

from redis.exceptions import RedisError

from pipeline.domain.errors import StoreUnavailable
from pipeline.domain.job import Due, Job
from pipeline.store.connect import close_async, connect_async
from pipeline.store.records import Arguments, Quota, accept_arguments, fields_of
from pipeline.store.scripts import sources


class Verdict(NamedTuple):
    """What became of a job that was to be written.

    digest: of the body that made the one that stands. news: the queues that workers are to be told of by
    message.
    """

    what: Literal["new", "known", "full"]
    digest: str
    news: tuple[str, ...] = ()


LATE_SECONDS = 0.02
GROUP = 128  # acceptances that one run of the script writes
GROUP_CHARACTERS = 1 << 20  # of their requests; the store does nothing else meanwhile


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A job that only needs to be written."""

    job: Job
    quota: Quota
    arguments: Arguments


def prepare(job: Job, dues: tuple[Due, ...], *, quota: Quota) -> Prepared:
    """All the work of an acceptance that needs no store."""
    arguments = accept_arguments(job.id, fields_of(job), dues, quota)
    return Prepared(job=job, quota=quota, arguments=arguments)


def _give_up(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


class Intake:
    """Accepts jobs in groups: while the store puts one on its disk, the next one gathers.

    bound_seconds: what an acceptance may take in all, since portals wait 5 s for an answer.
    """

    def __init__(self, url: str, *, bound_seconds: float = 3.0) -> None:
        self._redis = connect_async(url, timeout_seconds=bound_seconds)
        self._script = self._redis.register_script(sources()["accept"])
        self._bound_seconds = bound_seconds
        self._waiting: deque[tuple[Arguments, asyncio.Future[Any]]] = deque()
        self._writer: asyncio.Task[None] | None = None

    async def accept(self, prepared: Prepared) -> Verdict:
        """Whether the job is new.

        Raises StoreUnavailable when the store refuses, or does not answer within the bound.
        """
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        self._waiting.append((prepared.arguments, answer))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="accept")
        # a busy loop fires its timers before it reads what came in time, so that it looks once more
        bound = loop.call_later(self._bound_seconds, loop.call_later, LATE_SECONDS, _give_up, answer)
        try:
            what, digest, *news = await answer
        except (RedisError, OSError) as error:  # TimeoutError is one
            raise StoreUnavailable(f"the job store does not serve: {type(error).__name__}") from error
        finally:
            bound.cancel()
        return Verdict(what, digest, tuple(news))

    async def _write(self) -> None:
        """Writes group by group until nobody waits; who has given up meanwhile is left out."""
        try:
            while group := self._group():
                try:
                    answers = await self._script(args=[part for arguments, _ in group for part in arguments])
                except (RedisError, OSError) as error:
                    answers = [error] * len(group)
                for (_, future), answer in zip(group, answers, strict=True):
                    if future.done():
                        continue
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            self._writer = None

    def _group(self) -> list[tuple[Arguments, asyncio.Future[Any]]]:
        group: list[tuple[Arguments, asyncio.Future[Any]]] = []
        size = 0
        while self._waiting and len(group) < GROUP and size < GROUP_CHARACTERS:
            pair = self._waiting.popleft()
            if not pair[1].done():
                group.append(pair)
                size += len(pair[0][2])
        return group

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
        await close_async(self._redis)
