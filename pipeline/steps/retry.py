"""Retry as a decision: from an error and what was tried before, when to try again, or that it is over.

The one retry owner is the due time in the record; nothing else retries.
"""

from __future__ import annotations

import errno
import random
from dataclasses import dataclass

from pipeline.domain.errors import (
    BadAnswer,
    CallscribeError,
    Expired,
    ForbiddenURL,
    ProviderAccount,
    Refused,
    SpendCapReached,
    Upstream,
)
from pipeline.domain.job import Claim, Failure, Job
from pipeline.steps import flow

GAPS = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0)
AMBIGUOUS_GAPS = (5.0, 30.0, 300.0, 1800.0)  # it may have been paid: ask seldom, and outlast an outage
MOST_AMBIGUOUS = 4
MOST_UNREADABLE = 1  # an answer that came, and could not be read
MOST_UNREADABLE_RECORD = 6  # a worker of the version that can read it may come by
MOST_UNEXPECTED = 3  # an error that nobody foresaw
# Workers that died over a step. What ends the process of its own step alone counts ALONE times as much, so
# two such crashes are enough, and a step that goes down with others has five lives.
MOST_LOST = 5
MOST_LOST_OUTCOME = 50  # an outcome that is not sent is a lost call
AFTER_SECONDS = 86_400.0
PROBE_SECONDS = 60.0  # one probe a minute of a refused account
CALLBACK_GAPS = (0.0, 2.0, 5.0, 15.0, 30.0, 60.0)
LAST_TRY_SECONDS = 3.0
# a machine short of room: passing, and not the recording's fault
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)


@dataclass(frozen=True, kw_only=True)
class Again:
    """Try at `at`. doubtful: the last call may have been paid. held: it waits for the account."""

    at: float
    ambiguous: bool = False
    held: bool = False


def decide(
    error: CallscribeError,
    *,
    job: Job,
    claim: Claim,
    now: float,
    hold_seconds: float,
    unexpected: bool = False,
) -> Again | Failure:
    """When the step is tried again, or how the job fails.

    The schedule is squeezed inside the ttl: whatever does not fit before the reserve fails now, with the
    error's own words, so that the portal hears the reason rather than that the time ran out.
    """
    last = job.deadline - job.reserve
    if "callback" in job.facts:
        last = job.deadline + AFTER_SECONDS  # nobody waits: score, link and timeline entry may follow late
    if unexpected:
        again = Again(at=now + _gap(GAPS, claim.attempt)) if claim.attempt < MOST_UNEXPECTED else None
    elif isinstance(error, ProviderAccount):
        again = _held(job, now, hold_seconds)
    elif not error.transient:
        again = None
    elif isinstance(error, Upstream) and error.ambiguous:
        ambiguous = job.attempts_at(claim.step).ambiguous + claim.lost
        gap = max(_gap(AMBIGUOUS_GAPS, ambiguous + 1), error.retry_after_seconds or 0.0)
        most = MOST_UNREADABLE if isinstance(error, BadAnswer) else MOST_AMBIGUOUS
        again = Again(at=now + gap, ambiguous=True) if ambiguous < most else None
    else:
        asked = error.retry_after_seconds if isinstance(error, Upstream) else None
        gap = asked + random.uniform(0, 1) if asked else _gap(GAPS, claim.attempt)  # noqa: S311
        again = Again(at=now + gap)
    if again is None:
        return failure_of(error, claim)
    if again.at >= last:
        if again.held or now >= last - 1.0:
            return failure_of(error, claim)
        again = Again(at=last - 1.0, ambiguous=again.ambiguous)
    return again


def replayable(job: Job) -> bool:
    """Whether the job failed in a way that running it again may mend: what that takes is kept meanwhile."""
    failure = flow.failure(job)
    sent = job.facts.get("callback") or {}
    if failure is None:
        return not sent.get("accepted", True)
    cls = _class_of(failure.slug)
    return cls in (Expired, ForbiddenURL, SpendCapReached) or not issubclass(cls, Refused)


def _class_of(slug: str) -> type[CallscribeError]:
    todo: list[type[CallscribeError]] = [CallscribeError]
    for cls in todo:
        if cls.slug == slug:
            return cls
        todo.extend(cls.__subclasses__())
    return CallscribeError


def link_pause(job: Job, claim: Claim, *, now: float, patience_seconds: float) -> float | None:
    """Seconds until a link that may not be ready yet is asked again; None: what it gives now is believed.

    By the tries alone, so that it survives any worker: after 1, 2, 5 ... s, half a minute in all, and never
    into the reserve before the deadline.
    """
    asked = sum(GAPS[: claim.attempt - 1])
    left = min(patience_seconds - asked, job.deadline - job.reserve - 1.0 - now)
    if claim.attempt > len(GAPS) or left <= 0:
        return None
    return min(GAPS[claim.attempt - 1], left)


def unreadable_in(claim: Claim, now: float) -> float | None:
    """After how many seconds a step whose record cannot be read is tried again; None when it is given up."""
    gap = _gap(GAPS, claim.attempt)
    reserve = 5.0  # its portal is to hear of it in time
    return gap if claim.attempt < MOST_UNREADABLE_RECORD and now + gap < claim.deadline - reserve else None


def _held(job: Job, now: float, hold_seconds: float) -> Again | None:
    if not job.category.spoken:
        return None
    since = job.held_since if job.held_since is not None else now
    left = since + hold_seconds - now
    if left <= 0:
        return None
    return Again(at=now + min(PROBE_SECONDS, left), held=True)


def callback_at(attempt: int, *, begun: float, now: float, deadline: float) -> float | None:
    """When an undelivered outcome is sent again: 0, 2, 5, 15, 30, 60 s, then 60-120 s, and always once
    more 3 s before the deadline; None when that was the last time.

    attempt: how often it was sent by now. begun: when it was sent last; it may have taken until now.
    """
    last = deadline - LAST_TRY_SECONDS
    if not is_before(begun, last):
        return None
    gap = CALLBACK_GAPS[attempt] if attempt < len(CALLBACK_GAPS) else random.uniform(60, 120)  # noqa: S311
    return min(now + gap, max(now, last))


def is_before(now: float, last: float) -> bool:
    """Whether `last` is still to come; half a second before it, it is now."""
    return now < last - 0.5


def failure_of(error: CallscribeError, claim: Claim) -> Failure:
    """The error as a fact of the record."""
    return Failure(slug=error.slug, code=error.code, message=error.message, step=claim.step, hint=error.hint)


def _gap(gaps: tuple[float, ...], attempt: int) -> float:
    gap = gaps[min(max(attempt, 1), len(gaps)) - 1]
    return gap * random.uniform(0.75, 1.25)  # noqa: S311
