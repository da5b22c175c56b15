"""What the server's settings mean for a job that was accepted: all that its durability rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
