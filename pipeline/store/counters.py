"""What all processes have counted, and that they live."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from pipeline.store.connect import Server, guarded

COUNTED = "cs:counted"
PROCESSES = "cs:processes"
ALIVE_SECONDS = 20.0  # a process says every few seconds that it lives
FORGOTTEN_SECONDS = 3600.0
PAGE = 1000


class Counters:
    """Amounts that only grow, by series; they are as old as the store."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @guarded
    def add(self, amounts: Mapping[str, float]) -> None:
        """Adds to series, named by `metrics.field_of`."""
        pipe = self._server.redis.pipeline(transaction=False)
        for field, amount in amounts.items():
            pipe.hincrbyfloat(COUNTED, field, amount)
        pipe.execute()

    @guarded
    def all(self) -> dict[tuple[str, ...], float]:
        """(metric, label, ...) -> amount; read page by page, so that nobody waits for it."""
        rows = self._server.redis.hscan_iter(COUNTED, count=PAGE)
        return {tuple(json.loads(field)): float(amount) for field, amount in rows}


class Processes:
    """The processes of the service, on all machines, by a name of their own."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def beat(self, name: str, told: Mapping[str, Any]) -> None:
        """It lives, and says so much of itself."""
        self._server.run("beat", name, json.dumps(told))

    @guarded
    def leave(self, name: str) -> None:
        """It has left by its own will."""
        self._server.redis.hdel(PROCESSES, name)

    @guarded
    def alive(self) -> dict[str, dict[str, Any]]:
        """Name -> what it said of itself, of those that spoke within ALIVE_SECONDS; the long dead go."""
        now, rows = self._server.now(), cast(dict[str, str], self._server.redis.hgetall(PROCESSES))
        ages = {name: now - float(row.partition(" ")[0]) for name, row in rows.items()}
        if gone := [name for name, age in ages.items() if age > FORGOTTEN_SECONDS]:
            self._server.redis.hdel(PROCESSES, *gone)
        return {
            name: json.loads(row.partition(" ")[2])
            for name, row in rows.items()
            if ages[name] <= ALIVE_SECONDS
        }


def paged(items: list[Any], size: int) -> Iterator[list[Any]]:
    """The items in stretches of so many."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
