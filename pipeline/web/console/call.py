"""/calls/{id}: one call to see, hear and correct; its recording, its transcript as a file."""

from __future__ import annotations

import secrets
from itertools import pairwise
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from pipeline.archive.calls import Audited, Call, Verdict
from pipeline.contract import subtitles
from pipeline.domain.errors import UnknownJob
from pipeline.domain.job import JobId
from pipeline.domain.kinds import KINDS, kind_of
from pipeline.domain.labels import by_turns
from pipeline.domain.lead import Criterion
from pipeline.domain.transcript import Segment, Transcript
from pipeline.run.call_views import call_whole
from pipeline.steps import flow
from pipeline.storage.blobs import BlobMissing
from pipeline.store.records import readable
from pipeline.web.answers import PRIVATE
from pipeline.web.console.drawing import lanes
from pipeline.web.console.ranges import in_parts
from pipeline.web.console.states import phone_for, state_words, talkers
from pipeline.web.console.twins import Rows
from pipeline.web.console.view import View
from pipeline.web.jobs import job_id

HEARD_SECONDS = 3600  # within which one person's listening is one line of the audit log
BEFORE_SECONDS, AFTER_SECONDS = 0.3, 0.5  # around a quote


async def shown(view: View) -> Response:
    """GET /calls/{id}: the call as archived; while it is under way, how far it is."""
    key = job_id(view.request)
    call = await view.archived(lambda archive: archive.call(key))
    if call is None:
        return await _under_way(view, key)
    # a live page: whoever may correct is told before whether the deal will hear of it
    recorded = await view.blocking(view.service.tools.store.has, key)
    return view.page("call.html", live=15, recorded=recorded, **await view.blocking(_context, view, call))


def _context(view: View, call: Call) -> dict[str, Any]:
    """What its template shows; a call of hours has thousands of sentences, so not on the loop."""
    return {
        "call": call,
        "lanes": lanes(call),
        "turns": turns(call),
        "criteria": [(each, _last(call.verdicts, each.name), heard_at(each, call)) for each in call.criteria],
        "shares": shares(view, call),
        "states": state_words(call, view.words),
        "phone": phone_for(view, call),
        "last": _last(call.verdicts, None),
        "formats": tuple(subtitles.FORMATS),
    }


async def rows(view: View, cursor: str | None) -> Rows:
    """The same for machines: all of the call as JSON, its sentences as CSV."""
    call = await _call(view)
    told = await view.blocking(call_whole, call, phone=phone_for(view, call))
    return Rows(name=f"call-{call.id}", rows=told["segments"], whole=told)


async def heard(view: View) -> Response:
    """GET /calls/{id}/audio: the kept copy, or the part of it that a Range asks for. Listening is audited."""
    key, tools = job_id(view.request), view.service.tools
    call = await view.archived(lambda archive: archive.call(key))
    if call is None or call.audio is None:
        raise HTTPException(404, "The recording is not kept.")
    audio, blobs = call.audio, tools.blobs
    try:
        size = await view.blocking(blobs.size, audio)
    except BlobMissing:
        raise HTTPException(404, "The recording is not kept.") from None
    await _note_listening(view, key)

    async def read(start: int, end: int) -> bytes:
        return await view.blocking(blobs.read, audio, start, end)

    return in_parts(view.request, read, size=size, media_type="audio/mpeg", tag=f'"{key}-{size}"')


async def exported(view: View) -> Response:
    """GET /calls/{id}/transcript.txt, .srt, .vtt or .json."""
    kind = view.request.path_params["format"]
    if kind not in subtitles.FORMATS:
        raise HTTPException(404, "Expected transcript.txt, .srt, .vtt or .json.")
    call = await _call(view)
    if not call.segments:
        raise HTTPException(404, "The call has no transcript.")
    portal = view.service.portals.get(call.portal)
    language = portal.language if portal else view.words.language
    text = await view.blocking(lambda: subtitles.export(_transcript(call, language), kind, language=language))
    named = {"Content-Disposition": f'attachment; filename="{call.id}.{kind}"'}
    return Response(text, media_type=subtitles.CONTENT_TYPES[kind], headers={**PRIVATE, **named})


async def audit(view: View, what: str, call: JobId | None, detail: str = "") -> None:
    """Writes down who did what with a call, or with none in particular."""
    assert view.person
    entry = Audited(at=view.now, who=view.person.who, what=what, call=call, detail=detail)
    await view.archived(lambda archive: archive.audit(entry))


async def _note_listening(view: View, call: JobId) -> None:
    """A player asks for many parts of one recording: that is one listening."""
    assert view.person
    ours = secrets.token_hex(8)
    mark = f"heard:{call}:{view.person.who}"
    first = view.service.tools.store.known.first
    if await view.blocking(first, mark, ours, seconds=HEARD_SECONDS) == ours:
        await audit(view, "listened", call)


def turns(call: Call) -> list[tuple[str | None, list[Segment]]]:
    """What was said, by turns: who, and the sentences."""
    found: list[tuple[str | None, list[Segment]]] = []
    for segment in call.segments:
        if not found or found[-1][0] != segment.speaker:
            found.append((segment.speaker, []))
        found[-1][1].append(segment)
    return found


def heard_at(criterion: Criterion, call: Call) -> tuple[float, float] | None:
    """The seconds of the recording in which a criterion's quote is said."""
    if criterion.at is None:
        return None
    at = criterion.at
    ends = [segment.end for segment in call.segments if segment.start - 0.01 <= at < segment.end]
    starts = [segment.start for segment in call.segments]
    following = next((after for before, after in pairwise(sorted(starts)) if before <= at < after), at + 8.0)
    end = min(ends, default=following)
    return max(at - BEFORE_SECONDS, 0.0), end + AFTER_SECONDS


def shares(view: View, call: Call) -> list[tuple[str, float, float]]:
    """Who spoke how long: name, seconds, share of what was said."""
    whole = sum(call.talk) or 1.0  # as the timeline has it
    return [
        (name, seconds, min(seconds / whole, 1.0))
        for name, seconds in zip(talkers(call, view.words), call.talk, strict=False)
    ]


def _last(verdicts: tuple[Verdict, ...], criterion: str | None) -> Verdict | None:
    return next((said for said in reversed(verdicts) if said.criterion == criterion), None)


def _transcript(call: Call, language: str) -> Transcript:
    return Transcript(
        text=by_turns(call.segments, language),
        language=call.language,
        segments=call.segments,
        partial=bool(call.missing),
        missing=call.missing,
        empty_spans=call.empty_spans,
        order=call.order or "exact",
        quality=call.quality or "good",
    )


async def _call(view: View) -> Call:
    key = job_id(view.request)
    call = await view.archived(lambda archive: archive.call(key))
    if call is None:
        raise UnknownJob(f"no call {key}")
    return call


async def _under_way(view: View, key: JobId) -> Response:
    store = view.service.tools.store
    job = await view.blocking(store.load, key)
    waiting: dict[Any, float] = await view.blocking(store.waiting, key)
    with readable(key):
        (done, parts), error = flow.progress(job), flow.error(job)
    doing = sorted({KINDS[kind_of(step)].doing for step in waiting if kind_of(step) in KINDS} - {""})
    return view.page("under_way.html", live=2, job=job, done=done, total=parts, doing=doing, error=error)
