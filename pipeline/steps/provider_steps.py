"""Facts in, facts out, for what is bought: recognition, score, text, images."""

from __future__ import annotations

from pipeline.clients import chat as chats
from pipeline.clients import images, transcriptions
from pipeline.domain.errors import BadAnswer, ProviderRefused, Upstream
from pipeline.domain.job import Claim, Job, Reply
from pipeline.domain.plain import from_plain
from pipeline.domain.recording import Fetched
from pipeline.scoring.classify import classify as classify_stage
from pipeline.scoring.lead import read_lead
from pipeline.scoring.reply import reply as reply_stage
from pipeline.scoring.rubric import Rubric, read_rubric
from pipeline.settings.portals import Portal
from pipeline.steps import flow
from pipeline.steps.audio_steps import hint_of, options_name
from pipeline.steps.paid import buy, key_of
from pipeline.steps.tools import Result, Tools

CLASSIFY_TRIES = 6


def transcribe(job: Job, claim: Claim, tools: Tools) -> Result:
    """One chunk heard; the same audio of the same portal is paid for once."""
    chunk = flow.chunk_of(job, claim.step.partition(":")[2])
    portal = tools.portal(job)
    recognition_options = flow.recognition_options(job)
    language, hint = flow.language(job) or portal.speech_language, hint_of(job, portal)
    fetched = from_plain(Fetched, job.facts["fetch"])
    client = transcriptions.Transcriptions(portal.transcription, tools.transport, tools.store)
    try:
        with tools.blobs.get(chunk.blob) as path:
            heard = buy(
                tools,
                job,
                claim,
                portal.transcription,
                key=lambda model: key_of(
                    portal.id, fetched.sha256, chunk.channel, chunk.span, portal.transcription.url, model,
                    language, recognition_options.hint if recognition_options else hint,
                ),
                ask=lambda model, seconds: client.ask(
                    path, filename=chunk.filename, content_type=chunk.content_type, model=model,
                    language=language, prompt=hint,
                    timeout_seconds=min(seconds, transcriptions.WINDOW_SECONDS),
                ),
                read=transcriptions.read,
                seconds=chunk.span.seconds,
            )  # fmt: skip
    except ProviderRefused:  # the language, say: no other job has to ask with these options
        tools.store.forget_first(options_name(job, fetched))
        raise
    return Result(facts={claim.step: heard})


def classify(job: Job, claim: Claim, tools: Tools) -> Result:
    """What the lead is worth; the lead is null, with the reason why, when no answer can be used."""
    portal, transcript = tools.portal(job), flow.transcript(job)
    assert transcript is not None
    try:
        rubric = _rubric(portal)
        reply = _ask_lead(job, claim, tools, portal, rubric, wrong=None)
        try:
            lead = read_lead(reply.text, transcript, rubric, language=portal.language)
        except BadAnswer as error:
            wrong = (reply.text, error.message)
            reply = _ask_lead(job, claim, tools, portal, rubric, wrong=wrong)
            lead = read_lead(reply.text, transcript, rubric, language=portal.language)
    except (BadAnswer, ProviderRefused) as error:
        return Result(facts={claim.step: {"lead": None, "why": error.message}})
    except Upstream as error:
        if claim.attempt >= CLASSIFY_TRIES:
            return Result(facts={claim.step: {"lead": None, "why": error.message}})
        raise
    return Result(facts={claim.step: {"lead": lead, "usage": _tokens(reply), "model": reply.model}})


def _ask_lead(
    job: Job,
    claim: Claim,
    tools: Tools,
    portal: Portal,
    rubric: Rubric | None,
    *,
    wrong: tuple[str, str] | None,
) -> Reply:
    transcript = flow.transcript(job)
    assert transcript is not None
    client = chats.Chat(portal.chat, tools.transport, tools.store)
    return buy(
        tools,
        job,
        claim,
        portal.chat,
        key=lambda model: key_of(portal.id, job.id, claim.step, "repair" if wrong else "ask", model),
        ask=lambda model, seconds: classify_stage(
            transcript,
            rubric,
            chat=client,
            model=model,
            language=portal.language,
            wrong=wrong,
            timeout_seconds=min(seconds, flow.CLASSIFY_SECONDS),
        ),
        read=chats.read,
        until=max(job.deadline - job.reserve, tools.store.now() + flow.CLASSIFY_SECONDS),
    )


def reply(job: Job, claim: Claim, tools: Tools) -> Result:
    """A text request answered."""
    portal = tools.portal(job)
    client = chats.Chat(portal.chat, tools.transport, tools.store)
    answer = buy(
        tools,
        job,
        claim,
        portal.chat,
        key=lambda model: key_of(portal.id, job.id, claim.step, model),
        ask=lambda model, seconds: reply_stage(
            job.request,
            chat=client,
            model=model,
            own_prompts=portal.own_prompts,
            language=portal.language,
            timeout_seconds=min(seconds, chats.TIMEOUT_SECONDS),
        ),
        read=chats.read,
    )
    return Result(facts={claim.step: {"text": answer.text, "usage": _tokens(answer)}})


def draw(job: Job, claim: Claim, tools: Tools) -> Result:
    """An image request answered."""
    portal = tools.portal(job)
    if portal.image is None:
        raise ProviderRefused("This portal has no image model.")
    client = images.Images(portal.image, tools.transport, tools.store)
    urls = buy(
        tools,
        job,
        claim,
        portal.image,
        key=lambda model: key_of(portal.id, job.id, claim.step, model),
        ask=lambda model, seconds: client.draw(
            job.request, model=model, timeout_seconds=min(seconds, images.TIMEOUT_SECONDS)
        ),
        read=images.read,
    )
    return Result(facts={claim.step: {"urls": urls}})


def _rubric(portal: Portal) -> Rubric | None:
    return read_rubric(portal.rubric, language=portal.language) if portal.rubric else None


def _tokens(answer: Reply) -> dict[str, int]:
    return {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.completion_tokens}
