"""Facts in, facts out, for what is bought: recognition, score, images (texts: `text_steps`)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import structlog

from pipeline.audio.judge import bounded, unheard
from pipeline.clients import chat as chats
from pipeline.clients import images, recognitions, transcriptions
from pipeline.domain.errors import BadAnswer, ProviderRefused, StoreUnavailable, Upstream
from pipeline.domain.job import Claim, Job, Reply
from pipeline.domain.plain import from_plain
from pipeline.domain.recording import Chunk, Fetched, Span, Stretch
from pipeline.domain.transcript import Recognition
from pipeline.scoring.classify import Wrong, scored
from pipeline.scoring.classify import classify as classify_stage
from pipeline.scoring.rubric import Rubric, read_rubric
from pipeline.settings.portals import Portal, Provider
from pipeline.steps import flow
from pipeline.steps.audio_steps import hint_of, options_name
from pipeline.steps.paid import OfJob, PaidCall, buy, tokens
from pipeline.steps.pictures import hosted, note_unserved
from pipeline.steps.tools import Result, Snooze, Tools

log = structlog.get_logger()

CLASSIFY_TRIES = 6
HINTED_SECONDS = 1.5  # of sound; under less a recogniser writes the hint down instead


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a recogniser is asked beside the sound: the client is called with all of it, by these names."""

    language: str | None
    prompt: str | None
    temperature: float | None
    speakers: bool


@dataclass(frozen=True, kw_only=True)
class Hearing(PaidCall):
    """One upload heard: which sound, by the recording's digest, and what is asked.

    hint: stands for the words of the prompt, as the portal's first job of this recording settled it; who has
    other words shares that job's answers.
    """

    sha256: str
    channel: int | None
    span: Span
    stretches: tuple[Stretch, ...]
    hint: str | None
    asked: Asked

    def same(self) -> PaidCall:
        return replace(self, asked=replace(self.asked, prompt=None))


@dataclass(frozen=True, kw_only=True)
class Scoring(OfJob):
    """A score; wrong: the answer that could not be used, and why."""

    rubric: Rubric | None
    language: str
    wrong: Wrong | None


@dataclass(frozen=True, kw_only=True)
class Drawing(OfJob):
    """Images; turn: which call of the job, for how many."""

    turn: int
    number: int


def transcribe(job: Job, claim: Claim, tools: Tools) -> Result:
    """One chunk heard; the same audio of the same portal is paid for once, and once more where its answer may
    be the hint come back. What is asked for again goes to another model, if there is one.
    """
    chunk = flow.chunk_of(job, claim.step.partition(":")[2])
    portal = tools.portal(job)
    language, hint = flow.language(job) or portal.speech_language, hint_of(job, portal)
    if flow.beside(job, chunk):  # the same question would get the same answer
        language, hint = None, None
    elif chunk.sounding_seconds < HINTED_SECONDS:
        hint = None
    fetched = from_plain(Fetched, job.facts["fetch"])
    try:
        heard = _heard(job, claim, tools, chunk, fetched, language=language, hint=hint)
        if heard.echoed:
            heard = _heard(job, claim, tools, chunk, fetched, language=language, hint=None)
        heard = bounded(heard, chunk.seconds)
    except ProviderRefused:  # the language, say: no other job has to ask with these options
        tools.store.known.forget_first(options_name(job, fetched))
        raise
    if not flow.is_piece(chunk) and (talk := flow.talk(job, chunk.span)):
        here = chunk.channel or 0
        other = talk[1 - here] if len(talk) == 2 else []
        heard = replace(heard, unheard=unheard(heard, chunk, talk=talk[here], other=other))
    return Result(facts={claim.step: replace(heard, again=flow.asks_again(heard, chunk))})


def _heard(
    job: Job,
    claim: Claim,
    tools: Tools,
    chunk: Chunk,
    fetched: Fetched,
    *,
    language: str | None,
    hint: str | None,
) -> Recognition:
    portal, settled = tools.portal(job), flow.recognition_options(job)
    provider = portal.transcription
    if flow.is_piece(chunk):
        provider = replace(provider, models=(*provider.models[1:], provider.models[0]))
    client = transcriptions.Transcriptions(provider, tools.transport, tools.store.lately)
    withheld = hint is None and hint_of(job, portal) is not None

    def call(model: str | None) -> Hearing:
        speakers = chunk.channel is None and transcriptions.tells_speakers(provider, model)
        return Hearing(
            portal=portal.id,
            url=provider.url,
            model=model,
            sha256=fetched.sha256,
            channel=chunk.channel,
            span=chunk.span,
            stretches=chunk.stretches,
            hint=settled.hint if settled and not withheld else hint,
            asked=Asked(
                language=language,
                prompt=hint,
                temperature=provider.temperature,
                speakers=speakers,
            ),
        )

    with tools.blobs.get(chunk.blob) as path:
        return buy(
            tools,
            job,
            claim,
            provider,
            call=call,
            ask=lambda one, seconds: client.ask(
                path,
                filename=chunk.filename,
                content_type=chunk.content_type,
                model=one.model,
                timeout_seconds=min(seconds, transcriptions.WINDOW_SECONDS),
                **vars(one.asked),
            ),
            read=recognitions.read,
            seconds=chunk.seconds,
        )


def classify(job: Job, claim: Claim, tools: Tools) -> Result:
    """What the lead is worth; the lead is null, with the reason why, when no answer can be used."""
    portal, transcript = tools.portal(job), flow.transcript(job)
    assert transcript is not None
    try:
        rubric = _rubric(portal)
        lead, reply = scored(
            transcript,
            rubric,
            language=portal.language,
            ask=lambda wrong: _ask_lead(job, claim, tools, portal, rubric, wrong=wrong),
        )
    except (BadAnswer, ProviderRefused) as error:
        return Result(facts={claim.step: {"lead": None, "why": error.message}})
    except Upstream as error:
        if claim.attempt >= CLASSIFY_TRIES:
            return Result(facts={claim.step: {"lead": None, "why": error.message}})
        raise
    return Result(facts={claim.step: {"lead": lead, "usage": tokens(reply), "model": reply.model}})


def _ask_lead(
    job: Job,
    claim: Claim,
    tools: Tools,
    portal: Portal,
    rubric: Rubric | None,
    *,
    wrong: Wrong | None,
) -> Reply:
    transcript = flow.transcript(job)
    assert transcript is not None
    client = chats.Chat(portal.chat, tools.transport, tools.store.lately)
    return buy(
        tools,
        job,
        claim,
        portal.chat,
        call=lambda model: Scoring(
            portal=portal.id,
            url=portal.chat.url,
            model=model,
            job=job.id,
            step=claim.step,
            rubric=rubric,
            language=portal.language,
            wrong=wrong,
        ),
        ask=lambda one, seconds: classify_stage(
            transcript,
            one.rubric,
            chat=client,
            model=one.model,
            language=one.language,
            wrong=one.wrong,
            timeout_seconds=min(seconds, flow.CLASSIFY_SECONDS),
        ),
        read=chats.read,
        until=max(job.deadline - job.reserve, tools.store.now() + flow.CLASSIFY_SECONDS),
    )


def draw(job: Job, claim: Claim, tools: Tools) -> Result:
    """An image request answered; a model that gives fewer images at a time is asked several times."""
    portal = tools.portal(job)
    if portal.image is None:
        raise ProviderRefused("This portal has no image model.")
    wanted = max(1, job.request.images_number)
    urls: list[str] = []
    for turn in range(wanted):
        try:
            urls += _drawn(job, claim, tools, portal.image, turn=turn, number=wanted - len(urls))
        except (Upstream, Snooze) as error:
            if not urls:
                raise
            log.warning("fewer_images", wanted=wanted, got=len(urls), why=str(error))
            break
        if len(urls) >= wanted:
            break
    return Result(facts={claim.step: {"urls": urls[:wanted]}})


def _drawn(job: Job, claim: Claim, tools: Tools, provider: Provider, *, turn: int, number: int) -> list[str]:
    """The links of one paid call; turn: how many were before it."""
    client = images.Images(provider, tools.transport, tools.store.lately)

    def ask(one: Drawing, seconds: float) -> dict[str, Any]:
        timeout = min(seconds, images.TIMEOUT_SECONDS)
        try:
            raw = client.draw(job.request, model=one.model, number=one.number, timeout_seconds=timeout)
        except ProviderRefused as error:
            note_unserved(error, provider, one.model, tools)
            raise
        with suppress(StoreUnavailable):  # it is paid for: kept as it is, and hosted when it is read
            return hosted(raw, provider, tools)
        return raw

    return buy(
        tools,
        job,
        claim,
        provider,
        call=lambda model: Drawing(
            portal=job.portal,
            url=provider.url,
            model=model,
            job=job.id,
            step=claim.step,
            turn=turn,
            number=number,
        ),
        ask=ask,
        read=lambda raw: images.read(hosted(raw, provider, tools)),
    )


def _rubric(portal: Portal) -> Rubric | None:
    return read_rubric(portal.rubric, language=portal.language) if portal.rubric else None
