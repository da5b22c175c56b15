"""What people do to a call or a job: correct, score again, link, retry, erase; forms, and each is audited."""

from __future__ import annotations

import re

from starlette.responses import Response

from pipeline.archive.calls import Verdict
from pipeline.domain.errors import BadRequest, UnknownJob
from pipeline.domain.job import Entity, Job, JobId
from pipeline.run.operate import erase_job, retry_job
from pipeline.run.verdicts import is_told, judge
from pipeline.steps import flow
from pipeline.web.console.call import audit
from pipeline.web.console.view import View
from pipeline.web.jobs import job_id

ENTITIES = ("deal", "lead", "contact", "company")
MOST_WHY = 1000  # letters


async def correct(view: View) -> Response:
    """POST /calls/{id}/verdict: a criterion is met or not, or the score is another; and why."""
    form, key = await view.form(), job_id(view.request)
    assert view.person
    why = form.get("why", "")[:MOST_WHY]
    if not why:
        raise BadRequest("why: expected the reason of the correction", field="why")
    criterion = form.get("criterion") or None
    if criterion is not None:
        if form.get("met") not in ("yes", "no"):
            raise BadRequest("met: expected yes or no", field="met")
        said = Verdict(
            at=view.now, who=view.person.who, why=why, criterion=criterion, met=form["met"] == "yes"
        )
    else:
        score = _score(form.get("score", ""))
        said = Verdict(at=view.now, who=view.person.who, why=why, score=score)
    dues = await view.blocking(judge, view.service.tools, key, said)
    await view.service.notify({due.queue for due in dues if due.at == 0})
    await audit(view, "corrected", key, criterion or f"score {said.score}")
    told = await view.blocking(is_told, view.service.tools, key)
    if told is None:
        return view.back(f"/calls/{key}", "It is written down here alone: the deal gets no entry.")
    if told:
        return view.back(f"/calls/{key}", "It is written down; the deal gets an entry in a moment.")
    return view.back(f"/calls/{key}", "It is written down.")


async def score_again(view: View) -> Response:
    """POST /calls/{id}/score: scored once more, by the rubric and the model of now."""
    await view.form()
    key = job_id(view.request)
    await _again(view, key, "scored again", anew=True)
    return view.back(f"/calls/{key}", "It is scored again; this takes a moment.")


async def link(view: View) -> Response:
    """POST /calls/{id}/link: the deal, lead ... that the call's score belongs to, by a person's word."""
    form, key = await view.form(), job_id(view.request)
    kind, number = form.get("type", ""), form.get("number", "")
    if kind not in ENTITIES or not re.fullmatch(r"[1-9][0-9]{0,14}", number):
        raise BadRequest(f"number: expected one of {', '.join(ENTITIES)} and its number", field="number")
    await _again(view, key, "linked", entity=Entity(type=kind, id=int(number)))
    return view.back(f"/calls/{key}", "It is linked; the entry follows.")


async def retry(view: View) -> Response:
    """POST /jobs/{id}/retry: what failed, is lacking or was put off is done now."""
    await view.form()
    key = job_id(view.request)
    await _again(view, key, "retried")
    return view.back(f"/jobs/{key}", "It is done again.")


async def erase(view: View) -> Response:
    """POST /jobs/{id}/erase: record, transcript, score and recording go for good."""
    await view.form()
    key, tools = job_id(view.request), view.service.tools
    assert view.person
    if not await view.blocking(erase_job, tools, key, who=view.person.who):
        raise UnknownJob(f"no job {key}")
    return view.back("/calls", "It is erased.")


async def _again(
    view: View, key: JobId, what: str, *, entity: Entity | None = None, anew: bool = False
) -> None:
    job: Job
    job, _ = await view.blocking(retry_job, view.service.tools, key, entity=entity, anew=anew)
    await view.service.notify({due.queue for due in flow.advance(job, view.now).dues if due.at == 0})
    await audit(view, what, key, f"{entity.type} {entity.id}" if entity else "")


def _score(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 100):
        raise BadRequest("score: expected a number from 0 to 100", field="score")
    return int(text)
