"""Facts in, facts out, for the outcome: delivery, and what stands in for a result."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import structlog

from pipeline import contract
from pipeline.clients.deliver import deliver
from pipeline.contract.sinks import to_callback
from pipeline.domain.errors import Expired
from pipeline.domain.job import Category, Claim, Delivery, Failure, Job, Source
from pipeline.domain.kinds import KINDS, kind_of
from pipeline.steps import flow, scores
from pipeline.steps.retry import LAST_TRY_SECONDS, callback_at, failure_of, is_before
from pipeline.steps.tools import Result, Snooze, Tools
from pipeline.store import persist
from pipeline.telemetry import failpoints
from pipeline.telemetry.captures import capture_callback
from pipeline.telemetry.metrics import DELIVERIES, OUTCOME_SECONDS
from pipeline.telemetry.traces import TRACES

log = structlog.get_logger()

CALLBACK_SECONDS = 15.0
CERTAIN_SECONDS = 5.0  # so close to the deadline the outcome is sent even to a host that seems dead
STANDS_SECONDS = 30.0  # a portal's restart is over by then


def callback(job: Job, claim: Claim, tools: Tools) -> Result:
    """The outcome to the portal, again and again until the deadline."""
    failure = flow.failure(job)
    request = job.request
    url = request.callback_url
    if failure and (request.error_callback_url or job.source is not Source.API):
        url = request.error_callback_url  # a portal takes whatever comes to its callbackUrl for a result
    if not url:
        return Result(facts={claim.step: {"accepted": True, "asked": False}})
    now, host = tools.store.now(), f"callback:{urlsplit(url).netloc}"
    near = now >= job.deadline - CERTAIN_SECONDS
    last = job.deadline - LAST_TRY_SECONDS
    ends_at = (
        last if is_before(now, last) else job.deadline
    )  # a portal that hangs must not delay the last try
    if not near and (wait := tools.store.breakers.wait(host)) > 0:
        raise Snooze(min(wait, max(job.deadline - CERTAIN_SECONDS - now, 0.0)), "the portal does not answer")
    portal = tools.portal(job)
    secret = tools.settings.webhook_secret if job.source is Source.API else None
    failpoints.hit("callback.before")
    body = body_of(job, failure)
    sent = deliver(
        url,
        body,
        transport=tools.transport,
        at=now,
        kind="error" if failure else "success",
        same_host=portal.url,
        secret=secret.get_secret_value() if secret else None,
        message_id=job.id,
        timeout_seconds=min(CALLBACK_SECONDS, max(ends_at - now, 2.0)),
    )
    failpoints.hit("callback.after")
    DELIVERIES.inc(job.portal, str(sent.status or "none"), "yes" if sent.accepted else "no")
    ended = persist(tools.store.now)
    at = callback_at(claim.attempt, begun=now, now=ended, deadline=job.deadline)
    if sent.accepted or (_was_read(sent) and _may_stand(claim, tools, sent, is_last=at is None)):
        done = {"jobs_failed" if failure else "jobs_done": 1}
        OUTCOME_SECONDS.observe(ended - job.accepted_at, job.category.value)
        TRACES.job(
            job.id, accepted_at=job.accepted_at, ended_at=ended, portal=job.portal,
            category=job.category.value, outcome=failure.slug if failure else "result",
        )  # fmt: skip
        if folder := tools.settings.capture_dir:
            capture_callback(folder, job, body, sent)
        taken: dict[str, Any] = {claim.step: {"accepted": True, "asked": True}}
        return Result(facts=taken, deliveries=(sent,), used=done, passed=(host,))
    if sent.status is None or sent.status >= 500:
        persist(tools.store.breakers.failed, host)
    if at is None:
        log.error(
            "outcome_not_delivered",
            http_status=sent.status,
            why=sent.answer,
            hint="callscribe jobs show tells of each attempt; callscribe jobs retry sends it again.",
        )
        why = sent.answer or f"its server answered {sent.status}"
        fact = {"accepted": False, "asked": True, "why": why}
        return Result(facts={claim.step: fact}, deliveries=(sent,), used={"jobs_undelivered": 1})
    raise Snooze(at - ended, "the outcome was not taken", uncounted=False, deliveries=(sent,))


def _was_read(sent: Delivery) -> bool:
    """Whether the portal itself answered (2xx); what it did not accept then, it has refused."""
    return sent.status is not None and 200 <= sent.status < 300


def _may_stand(claim: Claim, tools: Tools, last: Delivery, *, is_last: bool) -> bool:
    """Whether an earlier attempt at this outcome was taken unseen: its answer, or its worker, was lost.

    The first outcome consumes the portal's job, so the same one again finds none and is refused. One such
    refusal may have another reason; the second one after that loss is taken as proof that it stands. Where
    the portal itself left an answer out it may not be well: then it has to refuse for STANDS_SECONDS, or to
    the last.
    """
    events = persist(tools.store.events, claim.job)
    since = max((event.at for event in events if event.what == "retried"), default=0.0)
    deliveries = [
        sent
        for sent in persist(tools.store.deliveries, claim.job)
        if sent.kind == last.kind and sent.at >= since
    ]
    unanswered = [delivery.at for delivery in deliveries if delivery.unknown]
    lost = unanswered + [
        event.at
        for event in events
        if event.step == claim.step and event.what in ("lost", "released") and event.at >= since
    ]
    refused = [sent.at for sent in deliveries if lost and _was_read(sent) and sent.at > max(lost)]
    patience = STANDS_SECONDS if unanswered and not is_last else 0.0
    return bool(refused) and last.at - min(refused) >= patience


def body_of(job: Job, failure: Failure | None) -> dict[str, Any]:
    """The callback's body, by what is known now: a score that comes later goes to the timeline alone."""
    return dict(to_callback(_body(job, failure), spoken=failure is not None or job.category.spoken))


def _body(job: Job, failure: Failure | None) -> dict[str, Any]:
    if failure:
        return contract.error_body(failure)
    if job.category is Category.TEXT:
        return contract.text_body(job.facts["reply"]["text"])
    if job.category is Category.IMAGE:
        return contract.image_body(job.facts["draw"]["urls"])
    transcript = flow.transcript(job)
    assert transcript is not None
    build = contract.call_body if job.category is Category.CALL else contract.audio_body
    return build(transcript, scores.lead(job), job.id)


def expire(job: Job, claim: Claim, tools: Tools) -> Result:
    """The reserve begins and nothing came of the job: nothing is paid any more, the portal is told."""
    begun = [step for step in job.attempts if step not in job.facts and step != claim.step]
    doing = next((KINDS[kind_of(step)].doing for step in begun), None)
    events = persist(tools.store.events, job.id)
    why = next((event.why for event in reversed(events) if event.step in begun and event.why), None)
    where = f" while {doing}" if doing else ""
    error = Expired(f"The portal's {job.ttl:.0f} s ran out{where}. {why or ''}".strip())
    return Result(facts={claim.step: {}, "failure": failure_of(error, claim)})


def given_up(claim: Claim, failure: Failure) -> dict[str, Any]:
    """The fact of a step whose failure ends nothing."""
    if kind_of(claim.step) == "classify":
        return {"lead": None, "why": failure.message}
    if claim.step == "callback":
        return {"accepted": False, "asked": True, "why": failure.message}
    return {"state": "failed", "why": failure.message}
