"""How the store lies on the server's disk, and what the server's settings mean for accepted jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import redis

from pipeline.store.connect import Server, guarded

FILE_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Durability:
    """A sentence, whether nothing accepted can be lost, and what to do where it can."""

    is_safe: bool
    says: str
    hint: str = ""


def judge(config: Mapping[str, str]) -> Durability:
    """By the answers to CONFIG GET append* and maxmemory-policy; empty: the server does not tell."""
    faults: list[tuple[str, str]] = []
    append, sync = config.get("appendonly"), config.get("appendfsync")
    policy = config.get("maxmemory-policy")
    if append is None or policy is None or sync is None:
        untold = "the server does not tell its settings: nobody knows whether accepted jobs are safe"
        faults.append((untold, "Ask its operator for appendonly, appendfsync and maxmemory-policy."))
    if append not in (None, "yes"):
        lost = "appendonly is off: accepted jobs are lost when the server stops"
        faults.append((lost, "Set `appendonly yes` on the server."))
    elif sync not in (None, "always"):
        lost = f"appendfsync {sync}: accepted jobs of the last second or more are lost on power failure"
        faults.append((lost, "Set `appendfsync always` on the server."))
    if policy not in (None, "noeviction"):
        lost = f"maxmemory-policy {policy}: accepted jobs are thrown away when the memory is full"
        faults.append((lost, "Set `maxmemory-policy noeviction` on the server."))
    if not faults:
        return Durability(is_safe=True, says="appendfsync always: accepted jobs survive a power failure")
    return Durability(
        is_safe=False,
        says="; ".join(what for what, _ in faults),
        hint=" ".join(hint for _, hint in faults),
    )


class Disk:
    """The server's append-only file."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @guarded
    def rewrite(self) -> None:
        """Asks the server to write its append-only file anew, so that what was erased leaves the disk."""
        try:
            self._server.redis.bgrewriteaof()
        except redis.ResponseError as error:
            if "in progress" not in str(error) and "scheduled" not in str(error):
                raise

    @guarded
    def rewriting(self) -> bool:
        """Whether that is still under way."""
        info = cast(dict[str, int], self._server.redis.info("persistence"))
        return bool(info.get("aof_rewrite_in_progress") or info.get("aof_rewrite_scheduled"))

    @guarded
    def renew(self) -> float:
        """Has the append-only file written anew if it grew: until then it holds what records have lost.

        Returns the seconds until that is worth a look again; more where a rewrite takes long.
        """
        info = cast(dict[str, int], self._server.redis.info("persistence"))
        if info.get("aof_current_size", 0) > info.get("aof_base_size", 0):
            self.rewrite()
        return max(FILE_SECONDS, 50.0 * info.get("aof_last_rewrite_time_sec", 0))

    @guarded
    def durability(self) -> Durability:
        """What the server's settings mean for an accepted job."""
        try:
            config = cast(dict[str, str], self._server.redis.config_get("append*", "maxmemory-policy"))
        except redis.ResponseError:
            config = {}
        return judge(config)
