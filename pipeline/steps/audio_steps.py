"""Facts in, facts out, for what happens to the recording itself: the media queue, and merge."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Generator, Iterable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from pipeline.audio.arrival import likely_seconds, unready
from pipeline.audio.decoder import written
from pipeline.audio.halve import again
from pipeline.audio.halve import halve as halve_stage
from pipeline.audio.join import join
from pipeline.audio.limits import UploadLimits
from pipeline.audio.merge import merge as merge_stage
from pipeline.audio.split import split as split_stage
from pipeline.clients.transcriptions import tells_speakers
from pipeline.clients.transport import Downloaded
from pipeline.confinement.scratch import scratch
from pipeline.domain.errors import BadRequest, RecordingGone, SpendCapReached
from pipeline.domain.job import Claim, Job, Source
from pipeline.domain.plain import from_plain, to_plain
from pipeline.domain.recording import Chunk, Fetched, Media, Plan, RecognitionOptions, Span
from pipeline.settings.portals import Portal
from pipeline.steps import flow, said
from pipeline.steps.retry import link_pause
from pipeline.steps.search import told_call
from pipeline.steps.tools import Result, Snooze, Tools
from pipeline.store.records import dumps
from pipeline.telemetry import failpoints

log = structlog.get_logger()

FETCH_SECONDS = 600.0
TOLD_EVERY_SECONDS = 0.25  # pieces that are cut within it are told together
HINT_CHARACTERS = 600  # Whisper reads the last 224 tokens of a prompt
DIARIZED_SECONDS = 1380.0  # OpenAI takes 1400 s
OPTIONS_SECONDS = 86_400  # about as long as paid answers are kept


def fetch(job: Job, claim: Claim, tools: Tools) -> Result:
    """The recording, or all of a call's, onto our storage."""
    resolved = job.facts.get("resolve") or {}
    urls = resolved.get("file_urls") or [job.request.file_url or resolved.get("file_url")]
    if not urls[0]:
        raise BadRequest("The request names no recording.", field="file")
    with scratch() as folder:
        got: dict[str, Downloaded] = {}  # the same recording twice is one
        paths = []
        for number, url in enumerate(urls):
            path = folder / f"recording-{number}"  # a name that says nothing of its format: names lie
            one = _download(url, path, job, claim, tools)
            if one.sha256 not in got:
                got[one.sha256] = one
                paths.append(path)
        blob = f"{job.id}/recording"
        blobs = [blob] if len(paths) == 1 else [f"{job.id}/{path.name}" for path in paths]
        for key, path in zip(blobs, paths, strict=True):
            tools.blobs.put(key, path)
        failpoints.hit("blob.after")
        seconds = sum(map(likely_seconds, paths))
    first, *more = got.values()
    fetched = Fetched(
        blob=blob,
        size_bytes=first.size_bytes,
        sha256=first.sha256,
        content_type=first.content_type,
        likely_seconds=seconds,
    )
    if more:
        digest = hashlib.sha256("".join(got).encode()).hexdigest()
        size = sum(one.size_bytes for one in got.values())
        fetched = replace(fetched, size_bytes=size, sha256=digest, parts=tuple(blobs))
    return Result(facts={"fetch": fetched}, known=told_call(job, got))


def _download(url: str, path: Path, job: Job, claim: Claim, tools: Tools) -> Downloaded:
    now = tools.store.now()
    pause = link_pause(job, claim, now=now, patience_seconds=tools.settings.link_patience_seconds)
    try:
        got = tools.transport.download(
            url,
            path,
            max_bytes=tools.settings.max_download_bytes,
            timeout_seconds=min(FETCH_SECONDS, max(5.0, job.deadline - job.reserve - now)),
            same_host=tools.portal(job).url,
        )
    except RecordingGone as error:
        if pause is None or not error.early:
            raise
        raise Snooze(pause, error.message, uncounted=False) from None
    if pause is not None and (why := unready(path)):
        raise Snooze(pause, why, uncounted=False)
    return got


def _join(fetched: Fetched, tools: Tools) -> tuple[Span, ...]:
    """The recordings as one; what of them is missing."""
    with ExitStack() as held:
        paths = [held.enter_context(tools.blobs.get(part)) for part in fetched.parts]
        out = held.enter_context(scratch())
        limit = tools.settings.max_audio_seconds
        made = tools.decoder.run(join, paths, out=out, name="joined", max_seconds=limit)
        tools.blobs.put(fetched.blob, written(out, "joined"))
    log.info("recordings_joined", recordings=len(paths), no_audio=made.left_out)
    return made.missing


def split(job: Job, claim: Claim, tools: Tools) -> Generator[Result, None, Result]:
    """What the recording really is, and it cut into what the recogniser takes; several are joined first, once
    and for all. Where cutting takes its time, the plan and each piece are told as soon as they are there, and
    are heard meanwhile.
    """
    fetched, known = from_plain(Fetched, job.facts["fetch"]), job.facts.get("sniff")
    missing = from_plain(Media, known).missing if known else _join(fetched, tools) if fetched.parts else ()
    media: Media | None = None
    plan: Plan | None = None
    chunks: list[Chunk] = []
    told: dict[str, Any] = {}
    last = time.monotonic()
    with ExitStack() as held:
        path, out = held.enter_context(tools.blobs.get(fetched.blob)), held.enter_context(scratch())
        parts = tools.decoder.stream(
            split_stage,
            path,
            sha256=fetched.sha256,
            content_type=fetched.content_type,
            missing=missing,
            out=out,
            limits=UploadLimits(),
            chunk_seconds=_longest(job, tools),
            uploads_per_minute=tools.settings.uploads_per_minute,
            name="chunk",
            max_seconds=tools.settings.max_audio_seconds,
            # one of the threads is kept for who waits
            places=min(tools.portal(job).concurrency, tools.settings.upstream_threads - 1),
        )
        for part in held.enter_context(closing(parts)):
            if isinstance(part, Media):
                media = part
                recognition_options = _settled(job, fetched, tools)  # while it is read on
                if not known:
                    yield Result(facts={"sniff": media}, waits=not fetched.parts)
                continue
            assert media  # it comes first
            if isinstance(part, Plan):
                plan = replace(part, chunks=tuple(_named(chunk, job) for chunk in part.chunks))
                _within_cap(plan, job, tools)
                media = replace(media, seconds=plan.seconds)
                told = {"plan": plan, "media": media, "manner": recognition_options}
                if job.facts.get("plan", to_plain(plan)) != to_plain(plan):
                    # begun by other settings, or another version: what was heard of it lies elsewhere
                    yield Result(facts=told, forget=flow.of_pieces(job))
                    told = {}
                continue
            assert plan  # it comes before its pieces
            chunks += _store([part], out, job, tools)
            told[f"cut:{part.id}"] = part.size_bytes
            if len(chunks) < len(plan.chunks) and time.monotonic() - last >= TOLD_EVERY_SECONDS:
                yield Result(facts=told)
                told, last = {}, time.monotonic()
    assert plan is not None
    return Result(
        facts={"split": replace(plan, chunks=tuple(chunks)), "media": media, "manner": recognition_options},
        forget=("plan", *(f"cut:{chunk.id}" for chunk in chunks)),
    )


def _longest(job: Job, tools: Tools) -> float:
    """The longest piece sent in one call: the names of speakers mean nothing in another one."""
    provider = tools.portal(job).transcription
    told = tells_speakers(provider, provider.models[0])
    return max(tools.settings.chunk_seconds, DIARIZED_SECONDS) if told else tools.settings.chunk_seconds


def hint_of(job: Job, portal: Portal) -> str | None:
    """Words that the recogniser may expect: the portal's glossary, and what the request brings."""
    words = ", ".join(portal.glossary)
    return " ".join(part for part in (words, job.request.prompt or "") if part)[-HINT_CHARACTERS:] or None


def options_name(job: Job, fetched: Fetched) -> str:
    """Under which it stands how a recording is heard, by whichever job was first."""
    return f"manner:{job.portal}:{fetched.sha256}"


def _settled(job: Job, fetched: Fetched, tools: Tools) -> RecognitionOptions:
    """How this recording is heard: as by the portal's job that had it first, so that it is paid for once.

    Not where two requests name two languages, nor where somebody asks through /v1 for a language or words.
    """
    portal = tools.portal(job)
    own = RecognitionOptions(
        language=job.request.language,
        hint=hashlib.sha256((hint_of(job, portal) or "").encode()).hexdigest(),
    )
    if job.source is Source.API and (own.language or job.request.prompt):
        return own
    kept = tools.store.known.first(options_name(job, fetched), dumps(own), seconds=OPTIONS_SECONDS)
    first = from_plain(RecognitionOptions, json.loads(kept))
    return own if own.language and first.language and own.language != first.language else first


def halve(job: Job, claim: Claim, tools: Tools) -> Result:
    """A chunk whose answer cannot be trusted, as two; what an answer leaves out, beside its chunk."""
    fetched = from_plain(Fetched, job.facts["fetch"])
    chunk = flow.chunk_of(job, claim.step.partition(":")[2])
    run, limits = tools.decoder.run, UploadLimits()
    with tools.blobs.get(fetched.blob) as path, scratch() as out:
        if unheard := flow.unheard(job, chunk):
            pieces = run(again, path, chunk, unheard, out=out, limits=limits)
            stored = (chunk, *_store(pieces, out, job, tools))
        else:
            stored = _store(run(halve_stage, path, chunk, out=out, limits=limits), out, job, tools)
    return Result(facts={claim.step: [to_plain(piece) for piece in stored]})


def merge(job: Job, claim: Claim, tools: Tools) -> Result:
    """The answers as one transcript."""
    plan, portal = flow.plan(job), tools.portal(job)
    assert plan is not None
    transcript = merge_stage(
        replace(plan, chunks=flow.pieces(job)),
        flow.parts(job),
        roles=portal.channels,
        language=flow.language(job),
        asked=job.request.language,
        portal_language=portal.language,
    )
    return Result(
        facts={"merge": {"transcript": transcript, "at": tools.store.now()}},
        known=said.known(tools, job, transcript.text),
    )


def _store(chunks: Iterable[Chunk], out: Path, job: Job, tools: Tools) -> tuple[Chunk, ...]:
    stored = []
    for chunk in chunks:
        named = _named(chunk, job)
        tools.blobs.put(named.blob, written(out, chunk.blob))
        stored.append(named)
    return tuple(stored)


def _named(chunk: Chunk, job: Job) -> Chunk:
    """The chunk with its place on our storage instead of its file's name."""
    return replace(chunk, blob=f"{job.id}/{chunk.blob}")


def _within_cap(plan: Plan, job: Job, tools: Tools) -> None:
    if not (cap := tools.portal(job).daily_paid_seconds):
        return
    needed = sum(chunk.seconds for chunk in plan.chunks)
    spent = tools.store.usage.of(job.portal).get("reserved_seconds", 0.0)
    if spent + needed > cap:
        raise SpendCapReached(
            f"This recording needs {needed:.0f} paid seconds; {max(cap - spent, 0):.0f} of today's "
            f"{cap:.0f} are left."
        )
