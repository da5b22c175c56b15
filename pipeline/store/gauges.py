"""How work stands, read at a cost that follows the number of portals, never that of jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pipeline.domain.job import Category, JobId, PortalId
from pipeline.domain.kinds import QUEUES
from pipeline.store.connect import Server, guarded
from pipeline.store.counters import paged

PAGE = 250  # portals that are asked about in one go, so that nobody waits for long


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """The unfinished job whose deadline comes first; unix seconds."""

    deadline: float
    portal: PortalId
    job: JobId


@dataclass(frozen=True, kw_only=True)
class Held:
    """Jobs that wait for a refused account: how many, and since when the first of them has."""

    jobs: int
    since: float


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The whole of it at the moment `now`; all moments are unix seconds by the store's clock.

    looked: when somebody last looked for what is due. due: of the first step that is not ready yet.
    ready: queue -> steps. waits: (portal, queue) -> since when its longest waiting step has been ready.
    """

    now: float
    looked: float | None
    due: float | None
    ready: Mapping[str, int]
    waits: Mapping[tuple[PortalId, str], float]
    unfinished: Mapping[PortalId, int]
    held: Mapping[PortalId, Held]
    nearest: Mapping[Category, Nearest]
    memory_bytes: int
    memory_limit_bytes: int


class Gauges:
    """Reads; changes nothing but what other versions of us have left behind."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def overview(self, portals: Sequence[PortalId]) -> Overview:
        """How the work of these portals stands. Raises StoreUnavailable."""
        waits: dict[tuple[PortalId, str], float] = {}
        unfinished: dict[PortalId, int] = {}
        held: dict[PortalId, Held] = {}
        for some in paged(list(portals), PAGE):
            for queue in QUEUES:
                since = self._server.run("waiting", queue, *some)
                waits |= {(portal, queue): float(at) for portal, at in zip(some, since, strict=True) if at}
            self._of_portals(some, unfinished, held)
        return Overview(
            now=self._server.now(), waits=waits, unfinished=unfinished, held=held, nearest=self.nearest(),
            **self._whole(),
        )  # fmt: skip

    def nearest(self) -> dict[Category, Nearest]:
        """The nearest deadline of each category that has unfinished jobs."""
        rows = self._server.run("nearest", *Category)
        return {
            category: Nearest(deadline=float(row[0]), portal=PortalId(row[1]), job=JobId(row[2]))
            for category, row in zip(Category, rows, strict=True)
            if row
        }

    @guarded
    def held(self, portal: PortalId) -> Held | None:
        """The portal's jobs that wait for a refused account."""
        held: dict[PortalId, Held] = {}
        self._of_portals([portal], {}, held)
        return held.get(portal)

    @guarded
    def _of_portals(
        self, portals: Sequence[PortalId], unfinished: dict[PortalId, int], held: dict[PortalId, Held]
    ) -> None:
        pipe = self._server.redis.pipeline(transaction=False)
        for portal in portals:
            pipe.scard(f"cs:open:{portal}")
            pipe.zcard(f"cs:held:{portal}")
            pipe.zrange(f"cs:held:{portal}", 0, 0, withscores=True)
        answers = pipe.execute()
        for portal, jobs, waiting, first in zip(portals, *(answers[n::3] for n in range(3)), strict=True):
            unfinished[portal] = jobs
            if first:
                held[portal] = Held(jobs=waiting, since=first[0][1])

    @guarded
    def _whole(self) -> dict[str, Any]:
        pipe = self._server.redis.pipeline(transaction=False)
        pipe.get("cs:looked")
        pipe.zrange("cs:later", 0, 0, withscores=True)
        pipe.hgetall("cs:depth")
        pipe.info("memory")
        looked, later, depth, memory = pipe.execute()
        known = cast(dict[str, str], depth)
        return {
            "looked": float(looked) if looked else None,
            "due": later[0][1] if later else None,
            "ready": {queue: max(0, int(known.get(queue, 0))) for queue in QUEUES},
            "memory_bytes": memory.get("used_memory", 0),
            "memory_limit_bytes": memory.get("maxmemory", 0),
        }
