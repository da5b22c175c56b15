"""What `callscribe doctor` finds, for whoever looks at the console: looked for anew when somebody does."""

from __future__ import annotations

import threading
import time
from contextlib import closing, nullcontext
from dataclasses import dataclass

import structlog

from pipeline.bitrix24.checks import Check
from pipeline.clients.transport import Transport
from pipeline.domain.errors import StoreUnavailable
from pipeline.health.stands import durability, work
from pipeline.steps.tools import Tools

log = structlog.get_logger()

AGAIN_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the checks found, and when they were done, unix seconds."""

    at: float
    checks: tuple[Check, ...]


class Checkup:
    """One round of checks at a time, in a thread of its own; it waits for nobody and nobody waits for it."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._found: Found | None = None
        self._lock = threading.Lock()

    def latest(self) -> Found | None:
        """What was found last, None before the first round is over; begins a new one when that is old."""
        found = self._found
        if (found is None or time.time() - found.at > AGAIN_SECONDS) and self._lock.acquire(blocking=False):
            threading.Thread(target=self._round, name="checkup", daemon=True).start()
        return found

    def _round(self) -> None:
        try:
            self._found = Found(at=time.time(), checks=tuple(self._checks()))
        except Exception:  # the next look tries again; a page must not end for it
            log.exception("checkup_failed")
        finally:
            self._lock.release()

    def _checks(self) -> list[Check]:
        from pipeline.health.checks import other_checks  # half a second, which intake does without

        settings, store = self._tools.settings, self._tools.store
        portals = list(self._tools.portals.values())
        try:
            found = [durability("store", store), *work(store, portals)]
        except StoreUnavailable as error:
            found = [Check(name="store", state="failed", says=error.message, hint=error.hint)]
        with closing(Transport.of(settings)) as inside:
            return [*found, *other_checks(settings, portals, inside, lambda: nullcontext(store))]
