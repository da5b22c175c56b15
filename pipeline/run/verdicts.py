"""What people say of a call's score: into the archive, and into the record as long as it lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import structlog

from pipeline.archive.calls import Verdict
from pipeline.domain.errors import BadRequest, CallscribeError, UnknownJob, UnreadableRecord
from pipeline.domain.job import Due, Event, Job, JobId, Step
from pipeline.domain.lead import Criterion
from pipeline.domain.plain import to_plain
from pipeline.scoring.lead import weigh
from pipeline.scoring.rubric import Rubric, band, read_rubric
from pipeline.steps import flow, scores
from pipeline.steps.tools import Tools
from pipeline.store import Stale, Transition

log = structlog.get_logger()


def judge(tools: Tools, job_id: JobId, said: Verdict) -> tuple[Due, ...]:
    """Takes a verdict down: on the score, or on one criterion, by which the score is weighed anew.

    A call that the machine did not score gets its score by it, and its entry in the deal. A score that a
    person gave stays until a person gives another; what the machine holds against a score by itself (who
    speaks of scores gets no more than medium) holds for people no more. The machine's own stays beside it.
    Where the record lives, its deal gets an entry more; what is due for that is returned.
    Raises UnknownJob; BadRequest for a criterion that the call was not judged by, and for a call without a
    transcript; ArchiveUnavailable where the archive alone could keep it.
    """
    job = _record(tools, job_id)
    heard = job is not None and flow.transcript(job) is not None
    call = None if heard else tools.archive.call(job_id)
    if not heard and (call is None or not call.segments):
        if call is None and job is None:
            raise UnknownJob(f"no call {job_id}")
        raise BadRequest("the call has no transcript, so it cannot be scored", field="id")
    lead = scores.lead(job) if job and heard else None
    criteria = lead.criteria if lead else call.criteria if call else ()
    before = scores.verdicts(job) if job and heard else call.verdicts if call else ()
    owner = job.portal if job else call.portal if call else None
    portal = tools.portals.get(owner) if owner else None
    rubric = read_rubric(portal.rubric, language=portal.language) if portal and portal.rubric else None
    whole = weighed(said, before, criteria, rubric)
    dues = _into_record(tools, job, whole) if job and heard else ()
    try:
        known = tools.archive.judge(job_id, whole)
    except CallscribeError as error:
        if not dues:
            raise
        log.warning("archived_later", job=job_id, error=error.slug)  # by the step that is due now
        return dues
    if not known and not dues:
        raise UnknownJob(f"no call {job_id}")
    return dues


def is_told(tools: Tools, job_id: JobId) -> bool | None:
    """Whether the deal is going to hear of what was said last; None where the record is over."""
    job = _record(tools, job_id)
    if job is None:
        return None
    portal, holds, stands = tools.portals.get(job.portal), scores.corrected(job), flow.timeline(job).state
    if portal is None or holds is None:
        return False
    if stands == "waiting":  # the first entry is to be written yet, if there is a deal for it
        return portal.timeline != "off" and job.request.entity is not None
    return stands == "written" and portal.correct_timeline and holds.score != scores.told_score(job)


def weighed(
    said: Verdict, before: Sequence[Verdict], criteria: Sequence[Criterion], rubric: Rubric | None
) -> Verdict:
    """The verdict with the score and band that it comes to. Raises BadRequest for an unknown criterion.

    before: what was said already, the oldest first. criteria: as the machine judged.
    """
    banded = rubric.band if rubric else band
    if said.criterion is None:
        if said.score is None:
            raise BadRequest("expected a score, or a criterion that is met or not", field="score")
        return replace(said, band=said.band or banded(said.score))
    if said.criterion not in {criterion.name for criterion in criteria}:
        names = ", ".join(criterion.name for criterion in criteria) or "none"
        raise BadRequest(f"expected one of the call's criteria: {names}", field="criterion")
    if any(verdict.criterion is None for verdict in before):
        return said
    met = {verdict.criterion: bool(verdict.met) for verdict in (*before, said)}
    score = weigh([replace(each, met=met.get(each.name, each.met)) for each in criteria])
    return replace(said, score=score, band=banded(score))


def _record(tools: Tools, job_id: JobId) -> Job | None:
    try:
        return tools.store.load(job_id)
    except (UnknownJob, UnreadableRecord):  # the archive alone knows it
        return None


def _into_record(tools: Tools, job: Job, said: Verdict) -> tuple[Due, ...]:
    while True:
        number, now = len(scores.verdicts(job)) + 1, tools.store.now()
        facts = {f"verdict:{number}": to_plain(said)}
        was_closed = flow.advance(job, now).closed
        # where there was no score, nothing was looked for that it could be written to
        again = [] if scores.corrected(job) else [step for step in ("link", "timeline") if step in job.facts]
        kept = {step: fact for step, fact in job.facts.items() if step not in again}
        following = flow.advance(replace(job, facts=kept | facts), now)
        event = Event(at=now, step=Step("verdict"), what="corrected", why=said.criterion or "the score")
        try:
            tools.store.finish(
                job,
                Transition(
                    facts=facts,
                    dues=following.dues,
                    status=following.status,
                    forget=[f"fact:{step}" for step in again],
                    events=(event,),
                    reopened=was_closed,
                ),
                claim=None,
            )
        except Stale:
            job = tools.store.load(job.id)
            continue
        return following.dues
