"""The sweeper: a thread that moves what is due and notifies of what is ready. Any number of them may run."""

from __future__ import annotations

import math
import threading
import time
from typing import Protocol

import structlog

from pipeline.confinement.scratch import tidy
from pipeline.domain.errors import CallscribeError
from pipeline.run.notifier import Notifier
from pipeline.run.runner import Runner
from pipeline.settings.installation import Settings
from pipeline.store.durability import FILE_SECONDS
from pipeline.store.watermark import keep_mark

log = structlog.get_logger()


MARK_SECONDS = 5.0


class _Flag(Protocol):
    def wait(self, timeout: float) -> bool: ...


class Sweeper(threading.Thread):
    """Every SWEEP_SECONDS: due retries, expired leases, lost notifications, files of the dead."""

    def __init__(self, runner: Runner, settings: Settings, leaving: _Flag) -> None:
        super().__init__(name="sweeper", daemon=True)
        self._runner, self._store = runner, runner.tools.store
        self._notifier = Notifier(settings.store_url)
        self._data_dir, self._keep_at = settings.data_dir, 0.0
        self._pause = settings.sweep_seconds
        self._leaving = leaving
        # the file of an external store is for its operator to rewrite
        self._renew_at = time.monotonic() if settings.redis_url is None else math.inf

    def run(self) -> None:
        while not self._leaving.wait(self._pause):
            try:
                tidy()
                for queue, ready in self._store.tick().items():
                    if room := min(
                        ready, self._runner.places.free(queue)
                    ):  # who has a place goes on by itself
                        self._notifier.notify(queue, room)
                if time.monotonic() >= self._keep_at:
                    self._keep_at = time.monotonic() + MARK_SECONDS
                    keep_mark(self._data_dir, self._store.watermark.mark)
                if time.monotonic() >= self._renew_at:
                    self._renew_at += FILE_SECONDS
                    self._renew_at = time.monotonic() + self._store.disk.renew()
            except CallscribeError as error:
                log.warning("sweep_failed", error=error.slug)
            except Exception:
                log.exception("sweep_broke")
