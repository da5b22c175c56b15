"""The leases of the steps that run here are kept alive as long as this process lives."""

from __future__ import annotations

import os
import threading
import time

import structlog

from pipeline.domain.errors import CallscribeError
from pipeline.domain.job import Claim
from pipeline.steps.tools import Tools

log = structlog.get_logger()


class Leases:
    """Renews what it keeps, four times in a lease, from a thread that starts with the first claim."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._held: dict[str, Claim] = {}
        self._heart: threading.Thread | None = None

    def __len__(self) -> int:
        """How many steps are under way here."""
        return len(self._held)

    def keep(self, claim: Claim) -> None:
        """Keeps the claim's lease alive until it is dropped."""
        self._held[claim.fence] = claim
        if self._heart is None or not self._heart.is_alive():
            self._heart = threading.Thread(target=self._beats, name="leases", daemon=True)
            self._heart.start()

    def drop(self, claim: Claim) -> None:
        """Its step is over."""
        self._held.pop(claim.fence, None)

    def _beats(self) -> None:
        lease, pid = self._tools.settings.lease_seconds, os.getpid()
        while pid == os.getpid():
            time.sleep(lease / 4)
            for claim in list(self._held.values()):
                try:
                    self._tools.store.renew(claim, lease)
                except CallscribeError as error:
                    log.warning("lease_not_renewed", job=claim.job, step=claim.step, error=error.slug)
