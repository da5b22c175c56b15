"""What is lost for good: a record that cannot be read, audio that vanished from the storage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import structlog

from pipeline.domain.errors import UnreadableRecord
from pipeline.domain.job import Claim, Event, Failure, Job
from pipeline.domain.kinds import KINDS, kind_of
from pipeline.domain.plain import to_plain
from pipeline.steps import flow, outcome_steps
from pipeline.steps.retry import failure_of
from pipeline.steps.tools import Result, Tools
from pipeline.store import Stale, Transition, fields_of, persist, salvaged
from pipeline.telemetry.logs import REDACTOR
from pipeline.telemetry.metrics import FAILURES

log = structlog.get_logger()

STAY = ("rev", "status", "due:", "lease:", "place:", "aside:")
MOST_ANEW = 2  # times that a recording is fetched once more
ASIDE = (
    "aside:"  # before the name of a field that was replaced: for people, and for a version that can read it
)


def give_up(claim: Claim, error: UnreadableRecord, tools: Tools) -> None:
    """Ends the job of a claim whose record cannot be read.

    Its portal hears of it at the address that can still be read; where it has had its outcome, only this
    step has failed. What was stored is kept aside until the record's time is over. Raises LeaseLost.
    """
    store, failure = tools.store, failure_of(error, claim)
    while True:
        raw = persist(store.raw, claim.job)
        sent = "fact:callback" in raw
        job = salvaged(claim.job, raw, portal=claim.portal, deadline=claim.deadline)
        facts = _instead(claim, failure) if sent else {"failure": failure}
        fields = {name: value for name, value in fields_of(job).items() if name != "status"}
        # an outcome that was sent stands, and so do the facts beneath it
        stay = (*STAY, "fact:") if sent else STAY
        replaced = [name for name in raw if not name.startswith(stay)]
        now = persist(store.now)
        after = replace(job, facts={} if sent else {"failure": to_plain(failure)})
        try:
            persist(
                store.finish,
                job,
                Transition(
                    facts=to_plain(facts),
                    dues=() if sent else flow.advance(after, now).dues,
                    status=raw.get("status", "failed") if sent else "running",
                    forget=replaced,
                    fields=fields | {ASIDE + name: REDACTOR.text(raw[name]) for name in replaced},
                    events=(Event(at=now, step=claim.step, what="failed", why=error.message),),
                    closed=sent,
                ),
                claim=claim,
                retention_seconds=tools.settings.retention_seconds,
            )
            persist(store.usage.add, claim.portal, {"records_unreadable": 1})
            if not sent:
                FAILURES.inc(claim.portal, error.slug)
            log.error("record_given_up", why=error.message, hint=error.hint)
            return
        except Stale:
            continue


def _instead(claim: Claim, failure: Failure) -> dict[str, Any]:
    if KINDS[kind_of(claim.step)].starred:
        return {claim.step: outcome_steps.given_up(claim, failure)}
    return {}


def audio_anew(job: Job) -> Result | None:
    """What to forget so that a recording that vanished is fetched and cut again; None where it cannot be.

    Answers that were paid for are in the ledger, under the same keys.
    """
    times = job.facts.get("anew", 0)
    link = job.request.file_url or (job.facts.get("resolve") or {}).get("file_url")
    if not link or times >= MOST_ANEW:
        return None
    rests = {"fetch", "media", *flow.CUTTING, *(name for name, kind in KINDS.items() if kind.hears)}
    return Result(
        facts={"anew": times + 1}, forget=tuple(step for step in job.facts if kind_of(step) in rests)
    )
