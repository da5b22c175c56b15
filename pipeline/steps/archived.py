"""A call as it is archived, from the facts of its record. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.archive.calls import Call, Gap, State
from pipeline.contract import type_id
from pipeline.contract.sinks import to_archive
from pipeline.domain.job import About, Entity, Job
from pipeline.domain.kinds import kind_of
from pipeline.domain.plain import from_plain, to_plain
from pipeline.domain.recording import Media, Plan
from pipeline.domain.transcript import Speaker, Transcript
from pipeline.scoring.talk_facts import talk_facts
from pipeline.settings.portals import Portal
from pipeline.settings.prices import Price
from pipeline.steps import flow, scores

_PAGES = ("lead", "deal", "contact", "company", "quote")


def call_of(job: Job, portal: Portal | None, prices: Mapping[str, Price]) -> Call:
    """The call of a job whose outcome is known; portal: None where it was taken out of the settings."""
    transcript, plan, about = flow.transcript(job), flow.plan(job), flow.about(job) or About()
    lead, stands, failed = scores.lead(job), flow.timeline(job), flow.error(job)
    holds = scores.corrected(job)
    media = from_plain(Media, job.facts["sniff"]) if "sniff" in job.facts else None
    seconds = plan.seconds if plan else media.seconds if media else None
    facts = talk_facts(transcript, seconds=seconds) if transcript else None
    kept = job.facts.get("keep") or {}
    speakers = portal.channels if portal and plan and plan.channels == 2 else ()
    call = Call(
        id=job.id,
        portal=job.portal,
        category=job.category,
        source=job.source,
        state=_state(job),
        started_at=about.started_at or job.accepted_at,
        accepted_at=job.accepted_at,
        seconds=seconds,
        language=transcript.language if transcript else None,
        quality=transcript.quality if transcript else None,
        order=transcript.order if transcript else None,
        manager_id=about.manager_id,
        manager=about.manager,
        client=about.client,
        phone=about.phone,
        direction=about.direction,
        entity=stands.entity,
        entity_title=about.title if about.entity == stands.entity else None,
        entity_url=_page(stands.entity, portal),
        activity_id=stands.activity_id or job.request.activity_id,
        speakers=speakers,
        talk=_talk(transcript, plan, speakers),
        silence=round(facts.silence_seconds, 1) if facts else None,
        score=holds.score if holds else None,
        band=holds.quality if holds else None,
        machine_score=lead.score if lead else None,
        machine_band=lead.quality if lead else None,
        reason=lead.reason if lead else holds.reason if holds else "",
        criteria=lead.criteria if lead else (),
        segments=transcript.segments if transcript else (),
        missing=transcript.missing if transcript else (),
        empty_spans=transcript.empty_spans if transcript else (),
        gaps=tuple(_gaps(job, transcript)),
        error=failed.message if failed else None,
        **used(job),
        cost=_cost(job, prices),
        levels=tuple(tuple(channel) for channel in kept.get("levels") or ()),
        audio=kept.get("audio"),
        audio_bytes=kept.get("bytes"),
        verdicts=scores.verdicts(job),
    )
    return from_plain(Call, to_archive(to_plain(call)))


def used(job: Job) -> dict[str, Any]:
    """What the job's paid calls used: transcription_seconds, prompt_tokens, completion_tokens."""
    taken = [each for _, each in _paid(job)]
    tokens = ("prompt_tokens", "completion_tokens")
    return {
        "transcription_seconds": round(sum(each["paid_seconds"] for each in taken), 3),
        **{name: sum(int(each.get(name, 0)) for each in taken) for name in tokens},
    }


def _paid(job: Job) -> Iterator[tuple[str, Mapping[str, float]]]:
    """The model of each paid call, and what it used."""
    for step, fact in job.facts.items():
        if isinstance(fact, dict):
            paid = (fact.get("paid_seconds") or 0.0) if kind_of(step) == "transcribe" else 0.0
            yield fact.get("model") or "", {**(fact.get("usage") or {}), "paid_seconds": paid}


def _cost(job: Job, prices: Mapping[str, Price]) -> float | None:
    if not prices:
        return None
    default = prices.get("default", Price())
    return round(sum(prices.get(model, default).of(taken) for model, taken in _paid(job)), 6)


def _state(job: Job) -> State:
    if flow.failure(job):
        return "failed"
    return "done" if job.facts["callback"]["accepted"] else "undelivered"


def _gaps(job: Job, transcript: Transcript | None) -> Iterator[Gap]:
    """What it lacks, as far as that is settled."""
    if failed := flow.error(job):
        yield Gap(kind="failed" if flow.failure(job) else "undelivered", why=failed.message)
    scored, stands = job.facts.get("classify"), flow.timeline(job)
    if scored is not None and scores.corrected(job) is None:
        yield Gap(kind="unscored", why=scored.get("why") or "")
    elif stands.state == "unlinked":
        yield Gap(kind="unlinked", why=stands.why or "")
    elif stands.state == "failed":
        yield Gap(kind="unwritten", why=stands.why or "")
    if transcript and transcript.missing:
        yield Gap(kind="partial", why="a part of the recording is damaged or missing")
    elif transcript and (transcript.partial or transcript.empty_spans):
        yield Gap(kind="partial", why="a part of the recording has sound and no words")


def _talk(
    transcript: Transcript | None, plan: Plan | None, speakers: tuple[Speaker, ...]
) -> tuple[float, ...]:
    """Seconds of talk: the manager's, then the client's; by channel where nobody has a role."""
    if plan and len(plan.talk) == 2:
        found = [sum(span.seconds for span in spans) for spans in plan.talk]
        swapped = speakers[:1] == ("client",)
        return tuple(round(each, 1) for each in (reversed(found) if swapped else found))
    talked: dict[Speaker, float] = {}
    for segment in transcript.segments if transcript and transcript.order == "exact" else ():
        if segment.speaker:
            talked[segment.speaker] = talked.get(segment.speaker, 0.0) + segment.end - segment.start
    order = sorted(talked, key=lambda who: (who == "client", who))  # the manager before the client
    return tuple(round(talked[who], 1) for who in order) if len(order) == 2 else ()


def _page(entity: Entity | None, portal: Portal | None) -> str | None:
    """Where a person sees it on the portal."""
    if entity is None or portal is None or not portal.url:
        return None
    kind = entity.type if entity.type in _PAGES else f"type/{type_id(entity.type)}"
    return f"{portal.url.rstrip('/')}/crm/{kind}/details/{entity.id}/"
