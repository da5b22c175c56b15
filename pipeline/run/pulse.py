"""A process says that it lives, and hands on what it has counted."""

from __future__ import annotations

import os
import resource
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from pipeline.domain.errors import StoreUnavailable
from pipeline.store import Store
from pipeline.telemetry.metrics import TALLY

log = structlog.get_logger()

BEAT_SECONDS = 5.0
LEAVE_SECONDS = 2.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Pulse(threading.Thread):
    """Every BEAT_SECONDS, from `start` to `stop`; while the store is away what was counted waits.

    role: api, upstream, or media for each child of its pool. busy: how many steps run at this moment, of
    `places`; None where it runs none.
    """

    def __init__(
        self, store: Store, role: str, *, places: int = 0, busy: Callable[[], int] | None = None
    ) -> None:
        super().__init__(name="pulse", daemon=True)
        self.process = f"{role}-{socket.gethostname()}-{os.getpid()}"
        self._store, self._role, self._places, self._busy = store, role, places, busy
        self._leaving = threading.Event()

    def run(self) -> None:
        leaving = False
        while not leaving:
            with suppress(StoreUnavailable):  # the lines of those who have work for it tell
                self.beat()
            leaving = self._leaving.wait(BEAT_SECONDS)
        with suppress(StoreUnavailable):
            hand_on(self._store)
            self._store.processes.leave(self.process)

    def beat(self) -> None:
        """Once. Raises StoreUnavailable."""
        hand_on(self._store)
        self._store.processes.beat(self.process, self._told())

    def stop(self) -> None:
        """Hands on the rest, and takes leave; a store that hangs is not waited for."""
        self._leaving.set()
        self.join(LEAVE_SECONDS)

    def _told(self) -> Mapping[str, Any]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        told: dict[str, Any] = {"role": self._role, "cpu": round(used.ru_utime + used.ru_stime, 3)}
        if self._busy is not None:
            told |= {"busy": self._busy(), "places": self._places}
        with suppress(OSError):  # Linux
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
            told |= {"resident": pages * PAGE_BYTES, "files": len(os.listdir("/proc/self/fd"))}  # noqa: PTH208
        return told


def hand_on(store: Store) -> None:
    """Adds what this process has counted to what all have; raises StoreUnavailable, and keeps it then."""
    if not (amounts := TALLY.take()):
        return
    try:
        store.counters.add(amounts)
    except StoreUnavailable:
        TALLY.give_back(amounts)
        raise
