"""Small facts that all workers share: what servers can, who was first, what is known of a portal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import cast

from pipeline.domain.job import PortalId
from pipeline.store.connect import Server, guarded

LATELY_SECONDS, MOST_LATELY = 1.0, 1000


def known_key(name: str) -> str:
    """Where a small fact stands."""
    return f"cs:known:{name}"


class Known:
    """What was found out once and need not be found out again by each."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @guarded
    def recall(self, key: str) -> str | None:
        """A small fact about a server that was learned before: what it can, which form it takes."""
        return cast("str | None", self._server.redis.get(known_key(key)))

    @guarded
    def remember(self, key: str, value: str, *, seconds: int | None = 86_400) -> None:
        """Keeps such a fact, for a day unless told otherwise: servers change."""
        self._server.redis.set(known_key(key), value, ex=seconds)

    def first(self, name: str, value: str, *, seconds: int, instead_of: str = "") -> str:
        """What was said first under `name`, for `seconds`: `value`, if nothing was, or just `instead_of`."""
        return str(self._server.run("first", name, value, seconds, instead_of))

    @guarded
    def forget_first(self, name: str) -> None:
        """Whoever comes next is the first again."""
        self._server.redis.delete(f"cs:once:{name}")

    @guarded
    def read_shelf(self, name: str, *fields: str) -> dict[str, str]:
        """What many calls share of a portal: all of it, or these fields of it."""
        if not fields:
            return cast(dict[str, str], self._server.redis.hgetall(f"cs:shelf:{name}"))
        values = cast("list[str | None]", self._server.redis.hmget(f"cs:shelf:{name}", list(fields)))
        return {field: value for field, value in zip(fields, values, strict=True) if value is not None}

    @guarded
    def write_shelf(
        self, name: str, kept: Mapping[str, str], gone: Iterable[str] = (), *, seconds: int
    ) -> None:
        """Changes fields of it; all of it goes when nothing was changed for `seconds`."""
        pipe = self._server.redis.pipeline()
        if kept:
            pipe.hset(f"cs:shelf:{name}", mapping=dict(kept))  # type: ignore[arg-type]
        if dropped := list(gone):
            pipe.hdel(f"cs:shelf:{name}", *dropped)
        pipe.expire(f"cs:shelf:{name}", seconds)
        pipe.execute()

    @guarded
    def connected_at(self, portal: PortalId) -> float:
        """When this portal was first seen here: calls before that are its history."""
        self._server.redis.set(f"cs:connected:{portal}", f"{self._server.now():.3f}", nx=True)
        return float(cast(str, self._server.redis.get(f"cs:connected:{portal}")))


class Lately:
    """The same facts as this process has read them within the last second: for what every call asks anew.

    What another process learns meanwhile is asked for once more; what this one learns counts at once.
    """

    def __init__(self, known: Known) -> None:
        self._known = known
        self._read: dict[str, tuple[float, str | None]] = {}

    def recall(self, key: str) -> str | None:
        """As `Known.recall`."""
        at, value = self._read.get(key, (0.0, None))
        if (now := time.monotonic()) - at >= LATELY_SECONDS:
            if len(self._read) >= MOST_LATELY:
                self._read.clear()
            value = self._known.recall(key)
            self._read[key] = now, value
        return value

    def remember(self, key: str, value: str, *, seconds: int | None = 86_400) -> None:
        """As `Known.remember`."""
        self._read.pop(key, None)
        self._known.remember(key, value, seconds=seconds)
