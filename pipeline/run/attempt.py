"""One attempt at a step: what of it is under way, what has ended, and how that is told."""

from __future__ import annotations

import time
from typing import Any

import structlog

from pipeline.domain.job import Claim, Event, Job, Step
from pipeline.domain.kinds import KINDS, kind_of
from pipeline.telemetry.metrics import STEP_SECONDS, STEPS
from pipeline.telemetry.traces import TRACES

log = structlog.get_logger()


class Attempt:
    """A claim while it is run.

    step: what is under way: the claim's own, or first one that is done within it. held: facts that are
    written down with what comes next.
    """

    def __init__(self, claim: Claim) -> None:
        self.claim, self.step = claim, claim.step
        self.held: dict[str, Any] = {}
        self._ended: list[tuple[Event, str]] = []  # with the slug of the error that it failed with
        self._since = time.monotonic()

    def begin(self, job: Job) -> None:
        """What is done within it comes first, where that was not done before."""
        within = (Step(name) for name, kind in KINDS.items() if kind.within == kind_of(self.claim.step))
        self.step = next((step for step in within if step not in job.facts), self.claim.step)

    def end(self, at: float, what: str = "done", slug: str = "", why: str | None = None) -> None:
        """What was under way has come to its end; at: by the store's clock."""
        took = time.monotonic() - self._since
        event = Event(at=at, step=self.step, what=what, took=took, attempt=self.claim.attempt, why=why)
        self._ended.append((event, slug))
        self.step, self._since = self.claim.step, self._since + took

    @property
    def events(self) -> tuple[Event, ...]:
        """What has ended and is not told yet."""
        return tuple(event for event, _ in self._ended)

    def tell(self) -> None:
        """Tells metrics, traces and log what has ended: it is written down, and so are the facts held."""
        claim = self.claim
        for event, slug in self._ended:
            kind, took = kind_of(event.step), event.took or 0.0
            STEPS.inc(kind, event.what, slug)
            STEP_SECONDS.observe(took, kind)
            if event.step != claim.step:  # that has a span of its own since it began
                TRACES.ended(
                    claim.job, kind, seconds=took, failed=slug, step=event.step, portal=claim.portal,
                    attempt=event.attempt, queue=claim.queue, outcome=event.what,
                )  # fmt: skip
            log.info(f"step_{event.what}", step=event.step, took=round(took, 3), why=event.why)
        self._ended, self.held = [], {}
