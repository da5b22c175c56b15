"""The reconciler: a thread that now and then compares what is with what should be.

It looks for calls whose events never came, for audio that no record needs any more, and for calls and copies
whose days are over.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

import structlog

from pipeline.domain.errors import CallscribeError
from pipeline.run.leftovers import expire, leftovers
from pipeline.run.reconcile import reconcile
from pipeline.run.runner import Runner
from pipeline.steps import keeping

log = structlog.get_logger()

LEFTOVERS_SECONDS = 600.0
PAUSE_SECONDS = 20.0  # between two asks for a turn; the store grants one far less often


class _Flag(Protocol):
    def wait(self, timeout: float) -> bool: ...


class Reconciler(threading.Thread):
    """Beside the sweeper, since it waits for portals to answer; any number of them may run."""

    def __init__(self, runner: Runner, leaving: _Flag) -> None:
        super().__init__(name="reconciler", daemon=True)
        self._runner = runner
        self._leaving = leaving

    def run(self) -> None:
        left: frozenset[str] = frozenset()
        look_at = 0.0
        while True:
            try:
                reconcile(self._runner.tools)
                keeping.make_room(self._runner.tools)
                if time.monotonic() >= look_at:
                    look_at = time.monotonic() + LEFTOVERS_SECONDS
                    left = leftovers(self._runner.tools, left)
                    expire(self._runner.tools)
            except CallscribeError as error:
                log.warning("reconcile_failed", error=error.slug)
            except Exception:
                log.exception("reconcile_broke")
            if self._leaving.wait(PAUSE_SECONDS):
                return
