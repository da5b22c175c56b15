"""Facts in, facts out, for texts: what a portal asks for, and the steps of its CRM after a transcript."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import structlog

from pipeline.clients import chat as chats
from pipeline.domain.errors import BadAnswer, BadRequest, ProviderRefused, UnusableAnswer, Upstream
from pipeline.domain.job import Claim, Job, Reply
from pipeline.scoring.classify import Wrong
from pipeline.scoring.crm_answers import read_answer
from pipeline.scoring.crm_step import CrmStep, crm_step, unknown_code
from pipeline.scoring.reply import reply as reply_stage
from pipeline.steps import said
from pipeline.steps.paid import OfJob, buy, tokens
from pipeline.steps.tools import Result, Tools

log = structlog.get_logger()

CUT = {
    "en": "[The answer ends here: the model reached its limit of length.]",
    "ru": "[Ответ обрывается здесь: модель достигла предела длины.]",
}


@dataclass(frozen=True, kw_only=True)
class Replying(OfJob):
    """A text; room, begun, wrong: as `scoring.reply` has them."""

    own_prompts: bool
    language: str
    room: bool
    begun: str | None
    wrong: Wrong | None


def reply(job: Job, claim: Claim, tools: Tools) -> Result:
    """A text request answered, as whoever asked can read it.

    An answer that was cut is asked for with more room, or gone on with, once. One that the CRM could not read
    is asked for once more with what was wrong, then of the next model.
    """
    step = _step(job, tools)
    answers = [_ask_text(job, claim, tools)]
    if step and (step.code != "summarize_transcript" or not answers[0].is_cut):
        text = _readable(job, claim, tools, step, answers)
    else:
        text = _prose(job, claim, tools, answers)
        text = read_answer(step, text, finished=False, last=True) if step else text
    call = said.call_of(tools, job)
    usage = {name: sum(tokens(each)[name] for each in answers) for name in tokens(answers[0])}
    fact = {"text": text, "usage": usage, "model": answers[-1].model, "is_cut": answers[-1].is_cut}
    return Result(
        facts={claim.step: fact | ({"call": call} if call else {})},
        known=said.known(tools, job, text, call=call),
    )


def _step(job: Job, tools: Tools) -> CrmStep | None:
    """The CRM's step that it is. Raises BadRequest where only own words of ours could ask for it, and we have
    none: a model that is sent labels alone answers with chatter."""
    step, own = crm_step(job.request), tools.portal(job).own_prompts
    if (code := unknown_code(job.request)) is not None:
        log.warning("crm_step_unknown", job=job.id, payload_raw=code, refused=own)
        if own:
            raise BadRequest(
                f"payload_raw: no prompt of our own for {code!r}; with own_prompts off the portal's serves",
                field="payload_raw",
            )
    if step and step.lacks:
        log.warning("crm_step_lacks_data", job=job.id, step=step.code, lacks=step.lacks, refused=own)
        if own:
            raise BadRequest(
                f"payload_markers.{step.lacks}: missing, and {step.code} needs it", field="payload_markers"
            )
    return step


def _readable(job: Job, claim: Claim, tools: Tools, step: CrmStep, answers: list[Reply]) -> str:
    """What the CRM gets, from the answer, else from one that repairs it, else from the next model's.

    answers: the first one; those that are paid for beside it are added.
    """
    portal = tools.portal(job)
    first = answers[0]
    try:
        return _read(step, first, portal.language, last=False)
    except BadAnswer as error:
        why = error.message
    models = portal.chat.models
    later = models[models.index(first.asked) + 1 :] if first.asked in models else ()
    # once more of the same model, unless an unreadable answer of it was paid for before
    turns = [*([first.asked] if not job.attempts_at(claim.step).ambiguous else []), *later[:1]]
    for model in turns:
        same = model == first.asked
        wrong = (first.text, why) if same and not first.is_cut else None
        log.info("crm_answer_unreadable", job=job.id, step=step.code, why=why, next_model=model)
        try:
            answer = _ask_text(job, claim, tools, room=first.is_cut and same, wrong=wrong, models=(model,))
            answers.append(answer)
            return _read(step, answer, portal.language, last=True)
        except (BadAnswer, ProviderRefused) as error:
            why = error.message
    raise UnusableAnswer(f"The chat model's answer to {step.code} cannot be used: {why}")


def _read(step: CrmStep, answer: Reply, language: str, *, last: bool) -> str:
    try:
        return read_answer(step, answer.text, finished=not answer.is_cut, last=last, language=language)
    except BadAnswer:
        if answer.is_cut:
            raise BadAnswer("It was cut at its limit of length.") from None
        raise


def _prose(job: Job, claim: Claim, tools: Tools, answers: list[Reply]) -> str:
    answer = answers[0]
    if answer.is_cut:
        further = _further(job, claim, tools, answer)
        answers += [further] if further else []
        answer = _best(job, answer, further)
        answers[-1] = replace(answers[-1], is_cut=answer.is_cut)
    return _whole(answer, tools.portal(job).language)


def _ask_text(
    job: Job,
    claim: Claim,
    tools: Tools,
    *,
    room: bool = False,
    begun: str | None = None,
    wrong: Wrong | None = None,
    models: tuple[str | None, ...] = (),
) -> Reply:
    portal = tools.portal(job)
    provider = replace(portal.chat, models=models) if models else portal.chat
    client = chats.Chat(provider, tools.transport, tools.store.lately)
    return buy(
        tools,
        job,
        claim,
        provider,
        call=lambda model: Replying(
            portal=portal.id,
            url=provider.url,
            model=model,
            job=job.id,
            step=claim.step,
            own_prompts=portal.own_prompts,
            language=portal.language,
            room=room,
            begun=begun,
            wrong=wrong,
        ),
        ask=lambda one, seconds: reply_stage(
            job.request,
            chat=client,
            model=one.model,
            own_prompts=one.own_prompts,
            language=one.language,
            room=one.room,
            begun=one.begun,
            wrong=one.wrong,
            timeout_seconds=min(seconds, chats.TIMEOUT_SECONDS),
        ),
        read=chats.read,
    )


def _further(job: Job, claim: Claim, tools: Tools, cut: Reply) -> Reply | None:
    """The one more paid call for an answer that was cut; None where it fails and there is text to give."""
    on = cut.text and not job.request.max_tokens
    try:
        return _ask_text(job, claim, tools, room=not on, begun=cut.text if on else None)
    except Upstream as error:
        if not cut.text and isinstance(error, BadAnswer):
            raise UnusableAnswer(error.message) from None  # the second paid answer to one question
        if not cut.text:
            raise
        log.warning("cut_answer_stays", error=error.slug, why=error.message)
        return None


def _best(job: Job, cut: Reply, further: Reply | None) -> Reply:
    if further is None:
        return cut
    if cut.text and not job.request.max_tokens:
        return replace(further, text=joined(cut.text, further.text), is_cut=further.is_cut)
    return further if not further.is_cut or len(further.text) >= len(cut.text) else cut


def joined(begun: str, rest: str) -> str:
    """An answer and how it goes on, without what was said twice at the seam."""
    for length in range(min(len(begun), len(rest), 400), 11, -1):
        if begun.endswith(rest[:length]):
            return begun + rest[length:]
    glue = (
        "" if not rest or begun[-1:].isspace() or not (begun[-1:].isalnum() and rest[:1].isupper()) else " "
    )
    return begun + glue + rest


def _whole(answer: Reply, language: str) -> str:
    """The text of an answer; a mark tells people where its end is missing. Raises UnusableAnswer."""
    if not answer.is_cut:
        return answer.text
    if not answer.text:
        raise UnusableAnswer("The chat model reached its limit of length before it answered.")
    if answer.text.lstrip("`json \n").startswith(("{", "[")):
        try:
            json.loads(answer.text[answer.text.find("{") : answer.text.rfind("}") + 1])
        except (ValueError, RecursionError):
            raise UnusableAnswer("The chat model's JSON was cut at its limit of length.") from None
        return answer.text
    return f"{answer.text}\n\n{CUT.get(language, CUT['en'])}"
