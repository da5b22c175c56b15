"""What a call is worth: as the model found, and as people said. Pure."""

from __future__ import annotations

from dataclasses import replace

from pipeline.archive.calls import Verdict
from pipeline.domain.job import Job
from pipeline.domain.kinds import kind_of
from pipeline.domain.lead import Lead
from pipeline.domain.plain import from_plain


def lead(job: Job) -> Lead | None:
    """What the call is worth, as the model found."""
    fact = job.facts.get("classify")
    return from_plain(Lead, fact["lead"]) if fact and fact.get("lead") else None


def corrected(job: Job) -> Lead | None:
    """What the call is worth: as the last person said who said so, else as the model did."""
    found, given = lead(job), _given(job)
    if not given:
        return found
    last, _ = given[-1]
    return replace(found, score=last.score, quality=last.quality) if found else last


def entered(job: Job) -> tuple[Lead | None, str | None]:
    """What the first entry tells: the model's score; where there is none, a person's first one, and whose."""
    if found := lead(job):
        return found, None
    return next(iter(_given(job)), (None, None))


def _given(job: Job) -> list[tuple[Lead, str]]:
    """The scores that people gave, in their order, and who."""
    return [
        (Lead(quality=each.band, score=each.score, reason=each.why), each.who)
        for each in verdicts(job)
        if each.score is not None and each.band is not None
    ]


def told_score(job: Job) -> int | None:
    """The score that the deal was told last, or is to be told first."""
    facts = (job.facts.get(f"correct:{number}") or {} for number in range(len(verdicts(job)), 0, -1))
    for fact in facts:
        if fact.get("state") == "written":
            return int(fact["score"])
    first, _ = entered(job)
    return first.score if first else None


def verdicts(job: Job) -> tuple[Verdict, ...]:
    """What people said of the job's score, in the order in which they said it."""
    said = sorted(int(step.partition(":")[2]) for step in job.facts if kind_of(step) == "verdict")
    return tuple(from_plain(Verdict, job.facts[f"verdict:{number}"]) for number in said)
