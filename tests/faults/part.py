"""A process of the service, and settings by which it is quick about everything."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

QUICK = {
    "LEASE_SECONDS": "2",
    "SWEEP_SECONDS": "0.2",
    "DRAIN_SECONDS": "6",
    "UPSTREAM_THREADS": "8",
    "MEDIA_PROCESSES": "2",
    "TIMELINE": "vibecode",
    "BITRIX24_WEBHOOK": "",  # a call of an engine request is linked to no deal, one of /v1 names its own
    "SPEECH_LANGUAGE": "en",
}


@dataclass
class Part:
    """One process of the service."""

    name: str
    command: tuple[str, ...]
    env: dict[str, str]
    pass_fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    kept: bool = True  # started again when it dies
    deaths: int = 0
