"""Turns at a portal's REST, within its limit, for all workers together."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable

from pipeline.bitrix24.rest import Bitrix24, NoTurn
from pipeline.domain.job import Claim, Job, PortalId
from pipeline.settings.portals import Portal
from pipeline.steps.tools import Result, Snooze, Tools
from pipeline.store import Store

# Bitrix24's own leaky bucket, per portal and address, holds 50. Looks for deals leave half of it to
# entries and events; what a step asks beyond its first request is its own, and counted.
RATE, BURST, LOOKS_BURST = 2.0, 45, 25


class StepTurns:
    """The turns of one step: it waits for the first, with a turn kept meanwhile; what follows is counted."""

    def __init__(self, store: Store, portal: PortalId, who: str) -> None:
        self._store, self._name, self._who, self._begun = store, f"rest:{portal}", who, False

    def take(self) -> float:
        wait = self._store.limits.turn(
            self._name, rate=RATE, burst=BURST, verb="take" if self._begun else "ask", who=self._who
        )
        self._begun = wait == 0
        return wait

    def spent(self) -> None:
        self._store.limits.turn(self._name, rate=RATE, burst=BURST, verb="fill")


class LookTurns:
    """The turns of looks: only where half of the bucket is left, and none is kept."""

    def __init__(self, store: Store, portal: PortalId) -> None:
        self._store, self._name = store, f"rest:{portal}"

    def take(self) -> float:
        return self._store.limits.turn(self._name, rate=RATE, burst=LOOKS_BURST)

    def spent(self) -> None:
        self._store.limits.turn(self._name, rate=RATE, burst=BURST, verb="fill")


def rest_of(portal: Portal, tools: Tools, *, who: str = "", looks: bool = False) -> Bitrix24 | None:
    """The portal's REST, throttled with all other workers; None without a webhook.

    who: whose turn is kept while it waits. looks: what gives way to entries and events.
    """
    if not portal.webhook:
        return None
    store = tools.store
    turns = LookTurns(store, portal.id) if looks else StepTurns(store, portal.id, who)
    return Bitrix24(portal.webhook, transport=tools.transport, turns=turns)


Executor = Callable[[Job, Claim, Tools], Result]


def in_turn(step: Executor) -> Executor:
    """A step that waits for its turn at the portal holds no place meanwhile, and has not been tried."""

    @functools.wraps(step)
    def run(job: Job, claim: Claim, tools: Tools) -> Result:
        try:
            return step(job, claim, tools)
        except NoTurn as error:
            wait = (error.retry_after_seconds or 1.0) * random.uniform(1.0, 1.25)  # noqa: S311
            raise Snooze(wait, error.message) from None

    return run


def who(claim: Claim) -> str:
    """Whose turn is kept."""
    return f"{claim.job}|{claim.step}"
