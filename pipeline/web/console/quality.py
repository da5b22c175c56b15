"""/quality: how far people and the machine agree, and a golden set made of what people said."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.responses import Response, StreamingResponse

from pipeline.archive.calls import Agreement, Call
from pipeline.domain.errors import BadRequest
from pipeline.domain.job import JobId
from pipeline.scoring.golden import as_case
from pipeline.web.answers import PRIVATE
from pipeline.web.console.periods import DAYS, period_of
from pipeline.web.console.twins import Rows
from pipeline.web.console.view import View

if TYPE_CHECKING:
    from pipeline.archive.archive import Archive

MOST_CASES = 500
CASES_AT_ONCE = 20


async def listed(view: View) -> Response:
    """GET /quality."""
    period = period_of(view)
    return view.page(
        "quality.html",
        agreements=await _agreements(view),
        judged=await _judged(view),
        days=DAYS,
        chosen=period.days,
    )


async def rows(view: View, cursor: str | None) -> Rows:
    """The agreement as rows: the score's band first (`name` is null), then each criterion."""
    return Rows(name="agreement", rows=[asdict(each) for each in await _agreements(view)])


async def golden(view: View) -> Response:
    """GET /quality/golden.json?call=ID&call=ID: a file that `callscribe golden --cases` reads.

    Without a call named: all that people have judged in that time.
    """
    wanted = view.request.query_params.getlist("call")
    if len(wanted) > MOST_CASES:
        raise BadRequest(f"call: expected {MOST_CASES} of them at the most", field="call")
    ids = [JobId(key) for key in wanted] or [call.id for call in await _judged(view)]
    parts = [ids[at : at + CASES_AT_ONCE] for at in range(0, len(ids), CASES_AT_ONCE)] or [[]]
    first = await view.archived(partial(_cases, view, parts[0]))

    async def pieces() -> AsyncIterator[str]:
        yield '{"cases": [' + ", ".join(first)
        begun = bool(first)
        for part in parts[1:]:
            for case in await view.archived(partial(_cases, view, part)):
                yield f", {case}" if begun else case
                begun = True
        yield "]}"

    named = {"Content-Disposition": 'attachment; filename="callscribe-golden.json"'}
    return StreamingResponse(pieces(), 200, {**PRIVATE, **named}, media_type="application/json")


def _cases(view: View, ids: list[JobId], archive: Archive) -> list[str]:
    found = filter(None, map(archive.call, ids))
    return [json.dumps(case, ensure_ascii=False) for call in found if (case := _case(view, call))]


def _case(view: View, call: Call) -> dict[str, Any] | None:
    said = [verdict for verdict in call.verdicts if verdict.criterion is None and verdict.band]
    if not (said and call.segments):
        return None
    language = call.language or view.service.settings.language
    return as_case(
        name=call.id,
        language=language[:2],
        expected=said[-1].band or "low",
        why=said[-1].why or call.reason,
        quality=call.quality or "good",
        segments=call.segments,
    )


async def _agreements(view: View) -> list[Agreement]:
    period = period_of(view)
    return await view.archived(lambda archive: archive.quality(since=period.since, until=period.until))


async def _judged(view: View) -> list[Call]:
    period = period_of(view)
    return await view.archived(lambda archive: archive.judged(since=period.since, until=period.until))
