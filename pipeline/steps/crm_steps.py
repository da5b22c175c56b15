"""Facts in, facts out, for the CRM: finding an event's recording, the deal, the timeline entry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

import structlog

from pipeline.bitrix24 import about as telling
from pipeline.bitrix24 import crm
from pipeline.bitrix24 import link as linking
from pipeline.bitrix24 import resolve as resolving
from pipeline.bitrix24.attach import attach
from pipeline.bitrix24.journals import Comments, LogMessages
from pipeline.bitrix24.rest import Bitrix24, NoTurn
from pipeline.bitrix24.timeline import Correction, Entry, Journal, correction, find_entry
from pipeline.bitrix24.timeline import timeline as timeline_stage
from pipeline.bitrix24.vibecode import VibeCode
from pipeline.domain.errors import (
    CallscribeError,
    LeaseLost,
    PortalRefused,
    PortalUnavailable,
    RecordingGone,
    UnknownJob,
    UnreadableRecord,
    Upstream,
)
from pipeline.domain.job import About, Claim, Job, JobId, Timeline
from pipeline.domain.plain import from_plain
from pipeline.domain.recording import Fetched, Plan
from pipeline.settings.portals import Portal
from pipeline.steps import flow, scores
from pipeline.steps import search as searching
from pipeline.steps.tools import Result, Snooze, Tools
from pipeline.steps.turns import in_turn, rest_of, who
from pipeline.telemetry import failpoints

log = structlog.get_logger()

MOST_ATTACHES = 8
ENTRY_SECONDS = 30 * 86_400  # how long it is known that a call has its entry; calls are linked for two weeks
SETTLE_SECONDS = 30.0  # before an entry whose write was left unanswered can be read back for certain


@in_turn
def resolve(job: Job, claim: Claim, tools: Tools) -> Result:
    """An event's ids to the call, its deal and its recording, which may be attached later."""
    portal = tools.portal(job)
    if tools.store.known.recall(f"erased:{job.id}"):
        tools.store.erase(job.id)
        raise UnknownJob(f"job {job.id} was erased, and stays so")
    rest = rest_of(portal, tools, who=who(claim))
    if rest is None:
        raise PortalRefused("An event names a call, and there is no webhook to look it up by.")
    known = f"call-of:{job.id}"
    call_id = job.request.call_id or tools.store.known.recall(known)
    found = resolving.resolve(
        rest=rest,
        activity_id=job.request.activity_id,
        call_id=call_id,
        now=tools.store.now(),
    )
    since = tools.store.known.connected_at(job.portal) - tools.settings.backfill_seconds
    since = max(since, tools.store.now() - tools.memory_seconds)
    if any(event.what == "retried" for event in tools.store.events(job.id)):
        if found.state == "ignored":
            raise RecordingGone(f"There is no such call any more: {found.why}.")
    elif found.state == "ignored" or (found.ended_at is not None and found.ended_at < since):
        log.info("event_ignored", why=found.why or "the call ended too long ago, or before we were connected")
        tools.store.erase(job.id)
        raise UnknownJob(f"job {job.id} was no call of ours")
    if found.state == "waiting":
        pause = resolving.next_look(tools.store.now() - job.accepted_at)
        if pause is None:
            raise RecordingGone(f"No recording came: {found.why}.")
        if found.call_id and found.call_id != call_id:
            tools.store.known.remember(known, found.call_id)
        raise Snooze(pause, found.why or "the recording is not there yet")
    fact = {
        "file_urls": list(found.file_urls),
        "entity": found.entity,
        "activity_id": found.activity_id,
        "call_id": found.call_id,
        "why": found.why,
        "about": found.about,
    }
    return Result(facts={claim.step: fact})


@in_turn
def link(job: Job, claim: Claim, tools: Tools) -> Result:
    """Where the score belongs, for certain or not at all."""
    portal = tools.portal(job)
    resolved = job.facts.get("resolve") or {}
    if portal.timeline == "off":
        where = Timeline(state="off")
    elif scores.corrected(job) is None:
        where = Timeline(state="failed", why=job.facts["classify"].get("why") or "there is no score")
    elif job.request.entity:
        where = Timeline(state="waiting", entity=job.request.entity, activity_id=job.request.activity_id)
    elif resolved:
        where = searching.told(resolved, claim, portal, tools)
    elif job.request.activity_id and (rest := rest_of(portal, tools, who=who(claim))):
        where = linking.link_to(job.request.activity_id, rest=rest)
    elif not job.facts["callback"]["accepted"]:
        where = Timeline(state="unlinked", why="the portal did not take the transcript")
    elif not portal.webhook:
        where = Timeline(state="unlinked", why="finding the deal takes CALLSCRIBE_BITRIX24_WEBHOOK")
    else:
        where = searching.search(job, claim, portal, tools)
    return Result(facts={claim.step: where})


@in_turn
def timeline(job: Job, claim: Claim, tools: Tools) -> Result:
    """The entry, once per call whatever way the call came, under retries and lost answers."""
    portal, transcript = tools.portal(job), flow.transcript(job)
    lead, person = scores.entered(job)
    where = from_plain(Timeline, job.facts["link"])
    assert lead is not None
    assert transcript is not None
    assert where.entity is not None
    rest = rest_of(portal, tools, who=who(claim))
    journals = list(_journals(portal, rest, tools))
    if not journals:
        raise PortalRefused("Writing to the timeline takes CALLSCRIBE_BITRIX24_WEBHOOK.")
    seconds = max(ENTRY_SECONDS, tools.settings.retention_seconds)
    for name in _names(job, where):
        owner = tools.store.known.first(name, job.id, seconds=seconds)
        if owner == job.id:
            continue
        if stands := _by_another(JobId(owner), where, journals, tools):
            return Result(facts={claim.step: stands})
        if tools.store.known.first(name, job.id, seconds=seconds, instead_of=owner) != job.id:
            raise Snooze(1.0, "another job of this call was faster")
    mark = f"entry-stands:{job.id}"
    if tools.store.known.recall(mark):  # the entry stands; only the telephony's transcript is still missing
        _attach(job, claim, portal, rest)
        return Result(facts={claim.step: replace(where, state="written")})
    plan = from_plain(Plan, job.facts["split"])
    with _written_once(job, claim, tools) as again:
        written = timeline_stage(
            where.entity,
            Entry(
                lead=lead,
                person=person,
                transcript=transcript,
                job=job.id,
                language=portal.language,
                seconds=plan.seconds,
                redact=portal.redact,
                attach=portal.attach_transcript,
            ),
            writer=journals[0],
            readers=journals[1:],
            again=again,
            activity_id=where.activity_id,
        )
    if written.state == "written" and portal.attach_transcript:
        tools.store.known.remember(mark, "yes")
    _attach(job, claim, portal, rest)
    return Result(facts={claim.step: written})


@in_turn
def about(job: Job, claim: Claim, tools: Tools) -> Result:
    """Who spoke, where nothing told so on the way: a request or two that give way to others."""
    portal, stands = tools.portals.get(job.portal), flow.timeline(job)
    rest = rest_of(portal, tools, looks=True) if portal else None
    activity, entity = stands.activity_id or job.request.activity_id, stands.entity or job.request.entity
    found: About | None = None
    if rest and activity:
        with suppress(PortalRefused):
            (there,) = crm.find(rest, [activity])
            found = there.about if there else None
    if rest and entity and (found is None or found.entity != entity):
        found = replace(found or About(), entity=entity, title=telling.title(rest, entity))
    return Result(facts={claim.step: found or About()})


@in_turn
def correct(job: Job, claim: Claim, tools: Tools) -> Result:
    """What people made of the score, as an entry of its own beneath that of the machine."""
    portal, where, said = tools.portal(job), flow.timeline(job), scores.verdicts(job)
    (lead, _), holds = scores.entered(job), scores.corrected(job)
    assert lead is not None
    assert holds is not None
    if not portal.correct_timeline or holds.score == scores.told_score(job) or where.entity is None:
        return Result(facts={claim.step: {"state": "off"}})
    journals = list(_journals(portal, rest_of(portal, tools, who=who(claim)), tools))
    last = next(verdict for verdict in reversed(said) if verdict.score == holds.score)
    with _written_once(job, claim, tools) as again:
        why = correction(
            where.entity,
            Correction(
                before=lead,
                after=holds,
                who=last.who,
                why=last.why,
                job=job.id,
                number=len(said),
                language=portal.language,
                redact=portal.redact,
            ),
            writer=journals[0],
            readers=journals[1:],
            again=again,
        )
    fact = {"state": "failed", "why": why} if why else {"state": "written", "score": holds.score}
    return Result(facts={claim.step: fact})


def _by_another(owner: JobId, where: Timeline, journals: Sequence[Journal], tools: Tools) -> Timeline | None:
    """How the entry stands that another job of this call is to write; None when it will not, and did not.

    Raises Snooze while that job is still at it.
    """
    assert where.entity is not None
    try:
        theirs = flow.timeline(tools.store.load(owner)).state
    except (UnknownJob, UnreadableRecord):  # erased or damaged, before or after it wrote
        theirs = "failed"
    if theirs == "waiting":
        raise Snooze(10.0, f"{owner} is to write the entry")
    standing = True if theirs == "written" else find_entry(where.entity, owner, journals=journals)
    if standing is False:
        return None
    if standing:
        return replace(where, state="written", why=f"by {owner}")
    return replace(where, state="failed", why=f"{owner} may have written it, and entries cannot be read back")


@contextmanager
def _written_once(job: Job, claim: Claim, tools: Tools) -> Iterator[bool]:
    """Around the writing of an entry: whether one that was written before has to be looked for first.

    A plain refusal wrote nothing: only after a lost answer or a crash is an entry looked for, and where the
    store has gone back, which may have forgotten that it was written. Raises Snooze while what a dead worker
    wrote may still come to stand, LeaseLost where another worker writes by now.
    """
    again = claim.lost > 0 or job.attempts_at(claim.step).ambiguous > 0
    again = again or tools.store.unsettled_since() is not None
    if again and (wait := _settled_at(claim, tools) - tools.store.now()) > 0:
        raise Snooze(wait, "what a dead worker wrote may still come to stand")
    failpoints.hit("timeline.before")
    if not tools.store.renew(claim, tools.settings.lease_seconds):
        raise LeaseLost("another worker writes the entry by now")
    try:
        yield again
    except Upstream as error:
        if error.ambiguous:
            error.retry_after_seconds = max(error.retry_after_seconds or 0.0, _settle_seconds(tools))
        raise
    failpoints.hit("timeline.after")


def _settle_seconds(tools: Tools) -> float:
    return min(SETTLE_SECONDS, tools.settings.lease_seconds / 2)


def _settled_at(claim: Claim, tools: Tools) -> float:
    """When a write of a worker that has gone, and left it under way, can be read back for certain."""
    gone = [
        event.at
        for event in tools.store.events(claim.job)
        if event.step == claim.step and event.what in ("lost", "released")
    ]
    return max(gone, default=0.0) + _settle_seconds(tools)


def _attach(job: Job, claim: Claim, portal: Portal, rest: Bitrix24 | None) -> None:
    """The transcript in the telephony's record; once more replaces it. Raises Snooze for what passes."""
    call_id = (job.facts.get("resolve") or {}).get("call_id") or job.request.call_id
    transcript = flow.transcript(job)
    if not (portal.attach_transcript and rest and call_id and transcript):
        return
    try:
        attach(call_id, transcript, rest=rest, redact=portal.redact)
    except NoTurn:
        raise
    except CallscribeError as error:
        if isinstance(error, PortalUnavailable) and claim.attempt < MOST_ATTACHES:
            pause = error.retry_after_seconds or 5.0 * claim.attempt
            raise Snooze(pause, error.message, uncounted=False) from None
        log.warning("transcript_not_attached", error=error.slug, why=error.message)


def _names(job: Job, where: Timeline) -> Iterator[str]:
    """What makes it the same call: its activity, and its recording in that entity."""
    assert where.entity is not None
    if where.activity_id:
        yield f"entry:{job.portal}:activity:{where.activity_id}"
    sha256 = from_plain(Fetched, job.facts["fetch"]).sha256
    yield f"entry:{job.portal}:{where.entity.type}:{where.entity.id}:{sha256}"


def _journals(portal: Portal, rest: Bitrix24 | None, tools: Tools) -> Iterator[Journal]:
    """The writer first, then where an entry may be read back."""
    if portal.timeline == "vibecode" and portal.vibecode:
        provider = portal.vibecode
        yield VibeCode(provider.url, provider.key, transport=tools.transport, capabilities=tools.store.known)
        if rest:
            yield LogMessages(rest)
    elif rest:
        yield Comments(rest) if portal.attach_transcript else LogMessages(rest)
