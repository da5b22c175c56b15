"""Paid calls: asked once, kept raw before anything reads them, shared between a portal's jobs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog

from pipeline.clients.providers import amounts
from pipeline.domain.errors import (
    BadAnswer,
    CallscribeError,
    ProviderAccount,
    ProviderRefused,
    ProviderUnavailable,
    SpendCapReached,
    StoreUnavailable,
    UnknownJob,
    UnusableAnswer,
    Upstream,
)
from pipeline.domain.job import Claim, Job, JobId, PortalId, Reply, Step
from pipeline.domain.kinds import BACKGROUND, kind_of
from pipeline.domain.plain import loads, to_plain
from pipeline.settings.portals import Provider
from pipeline.steps.tools import Snooze, Tools
from pipeline.store import Callee, persist
from pipeline.telemetry import failpoints

T = TypeVar("T")
C = TypeVar("C", bound="PaidCall")

log = structlog.get_logger()

FALLBACK_FROM_ATTEMPT = 3  # a busy model is asked twice before the next one is,
FALLBACK_FROM_PAUSE_SECONDS = 60.0  # unless it asks for so much patience itself
MOST_BAD_ANSWERS = 2  # paid for one thing in one go
KEEP_BEYOND_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class PaidCall:
    """A call that costs money: all that makes it the same call, and with which it is made.

    Its digest is the name of its answer in the store. What a provider is asked beside is a field of such a
    value, so that it is in the call and in its name, or in neither.
    """

    portal: PortalId
    url: str  # of the provider
    model: str | None

    def same(self) -> PaidCall:
        """Without what may differ in calls that are the same."""
        return self

    @property
    def key(self) -> str:
        """The name of its answer in the store."""
        text = json.dumps([type(self).__name__, to_plain(self.same())], ensure_ascii=False, sort_keys=True)
        return f"cs:paid:{self.portal}:{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()}"


@dataclass(frozen=True, kw_only=True)
class OfJob(PaidCall):
    """A call that is paid for in each job: the request is the job's."""

    job: JobId
    step: Step


def tokens(answer: Reply) -> dict[str, int]:
    """What a chat model's answer took."""
    return {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.completion_tokens}


def breakers(provider: Provider, kind: str) -> tuple[str, str]:
    """The names of two circuit breakers: of the account, and of the server.

    The account's is per kind of work: a key may lack the scope of one and have that of another.
    """
    account = hashlib.sha256(f"{provider.url} {provider.key} {kind}".encode()).hexdigest()[:16]
    return f"account:{account}", f"provider:{urlsplit(provider.url).netloc}"


def buy(
    tools: Tools,
    job: Job,
    claim: Claim,
    provider: Provider,
    *,
    call: Callable[[str | None], C],
    ask: Callable[[C, float], dict[str, Any]],
    read: Callable[[dict[str, Any]], T],
    until: float | None = None,
    seconds: float = 0.0,
) -> T:
    """What the first model that serves answers, from the store when it was paid for before.

    call: the call for a model. ask: makes it, within so many seconds, and gives the raw answer.
    read: makes sense of it, after it was kept; what cannot be read is forgotten. until: when the answer must
    be there; unset: when the reserve begins. seconds: of audio, counted against the portal's daily cap.
    Raises Snooze when another job's call for the same answer is under way or the provider is known to be
    down; SpendCapReached; else the error of the provider that gives most hope.
    """
    portal, now = tools.portal(job), tools.store.now()
    ends_at = job.deadline - job.reserve if until is None else until
    calls = [(one := call(model), one.key) for model in provider.models]
    # of one model alone the reservation tells
    peeked = calls if len(calls) > 1 or ends_at <= now else []
    for (_, key), held in zip(peeked, tools.store.ledger.peek(*(key for _, key in peeked)), strict=True):
        if held is not None:
            with suppress(UnusableAnswer):  # it stays so: the next model's may be there as well
                return _read(tools, key, read, loads(held))
    if ends_at <= now:
        raise Snooze(1.0, "nothing is paid any more in the reserve before the deadline")
    host = urlsplit(provider.url).netloc
    account, answering = breakers(provider, kind_of(claim.step))
    callee = Callee(
        name=host,
        # a late score: half of the places stay with what portals wait for
        places=max(1, tools.settings.provider_concurrency // (2 if claim.queue == BACKGROUND else 1)),
        breakers=(account, answering),
    )
    asks = [account, answering] if _can_wait(job, tools, now) else [answering]
    errors: list[CallscribeError] = []
    inside = False
    try:
        for one, key in calls:
            # at the breakers once: what this step itself has seen fail is no reason not to ask the next model
            reservation = tools.store.ledger.reserve(
                key,
                claim,
                seconds=seconds,
                cap=portal.daily_paid_seconds,
                callee=replace(callee, breakers=() if errors else tuple(asks)),
            )
            if reservation.verdict == "answer":
                return _read(tools, key, read, loads(reservation.answer))
            if reservation.verdict == "closed" and reservation.breaker == account:
                raise ProviderAccount("The provider refuses the account.")
            if reservation.verdict == "closed":
                raise Snooze(reservation.seconds, "the provider does not answer")
            if reservation.verdict == "full":
                raise Snooze(0.5, "all places of the provider are taken")
            if reservation.verdict == "gone":
                raise UnknownJob(f"job {job.id} was erased")
            if reservation.verdict == "wait":
                raise Snooze(1.0, "another job asks for the same answer")
            if reservation.verdict == "capped":
                raise SpendCapReached(
                    f"The portal's {portal.daily_paid_seconds:.0f} paid seconds of today are used up."
                )
            inside = True
            try:
                failpoints.hit("paid.before")
                raw = ask(one, max(1.0, ends_at - tools.store.now()))
                failpoints.hit("paid.answered")
                kept_seconds = job.deadline - now + KEEP_BEYOND_SECONDS
                persist(
                    tools.store.ledger.keep,
                    key,
                    claim,
                    json.dumps(raw),
                    seconds=kept_seconds,
                    took={"paid_calls": 1, "paid_seconds": seconds, **amounts(raw)},
                    model=one.model,
                    callee=callee,
                )
                inside = False
                failpoints.hit("paid.kept")
                return _read(tools, key, read, raw)
            except Upstream as error:
                if not error.ambiguous:
                    persist(tools.store.ledger.unreserve, key, claim, seconds=seconds)
                _note(tools, error, account=account, host=host)
                errors.append(error)
                if not _try_next(error, claim):
                    break
            if sum(isinstance(error, BadAnswer) for error in errors) >= MOST_BAD_ANSWERS:
                raise UnusableAnswer(errors[-1].message)
    finally:
        if inside:
            with suppress(StoreUnavailable):  # the place ends with the lease; what happened here counts more
                tools.store.ledger.leave(callee, claim)
    bad = (error for error in errors if isinstance(error, BadAnswer) and error.transient)
    raise next(bad, next((error for error in errors if error.transient), errors[-1]))


def _read(tools: Tools, key: str, read: Callable[[dict[str, Any]], T], raw: dict[str, Any]) -> T:
    try:
        return read(raw)
    except UnusableAnswer:
        raise  # kept: asking again would bring the same
    except BadAnswer as error:
        tools.store.ledger.drop(key)
        error.ambiguous = True  # it was served, and paid: asking again is capped
        raise


def _can_wait(job: Job, tools: Tools, now: float) -> bool:
    """Whether the job would be held for a refused account; any other asks, since the key may be mended."""
    since = now if job.held_since is None else job.held_since
    return job.category.spoken and since + tools.settings.account_hold_seconds > now


def _try_next(error: Upstream, claim: Claim) -> bool:
    if error.ambiguous and not isinstance(error, BadAnswer):
        return False
    if isinstance(error, ProviderUnavailable):
        pause = error.retry_after_seconds or 0.0
        return claim.attempt >= FALLBACK_FROM_ATTEMPT or pause > FALLBACK_FROM_PAUSE_SECONDS
    return isinstance(error, ProviderAccount | ProviderRefused | BadAnswer)


def _note(tools: Tools, error: Upstream, *, account: str, host: str) -> None:
    if isinstance(error, ProviderAccount):
        persist(tools.store.breakers.failed, account, after=1, period=60.0, longest=60.0)
        log.error("provider_account_refused", provider=host, http_status=error.http_status, hint=error.hint)
    elif isinstance(error, ProviderUnavailable) and error.http_status != 429:
        persist(tools.store.breakers.failed, f"provider:{host}", after=5)
    log.warning(
        "provider_failed",
        provider=host,
        error=error.slug,
        http_status=error.http_status,
        provider_code=error.provider_code,
        ambiguous=error.ambiguous,
    )
