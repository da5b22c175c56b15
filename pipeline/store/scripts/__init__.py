"""The scripts: each is one atomic transition, and begins with the prelude."""

import json
from importlib.resources import files

from pipeline.domain.kinds import BACKGROUND, URGENT_BELOW

NAMES = (
    "accept", "claim", "renew", "finish", "defer", "release", "tick", "limits", "rebuild", "back",
    "reserve_paid", "unreserve_paid", "keep_paid", "first", "breaker", "throttle", "erase",
    "waiting", "nearest", "beat",
)  # fmt: skip


MOST_WAIT_SECONDS = 10  # for word; whoever is listed longer has died

# What is under way goes on while the server's memory is full; only new work is refused (Redis 7, Valkey).
GOES_ON = "#!lua flags=allow-oom\n"


def sources() -> dict[str, str]:
    """Script name -> Lua text."""
    folder = files(__package__)
    known = {"URGENT_BELOW": URGENT_BELOW, "MOST_WAIT_SECONDS": MOST_WAIT_SECONDS, "BACKGROUND": BACKGROUND}
    constants = "".join(f"local {name} = {json.dumps(value)}\n" for name, value in known.items())
    prelude = constants + (folder / "prelude.lua").read_text(encoding="utf-8")
    return {
        name: ("" if name == "accept" else GOES_ON)
        + prelude
        + (folder / f"{name}.lua").read_text(encoding="utf-8")
        for name in NAMES
    }
