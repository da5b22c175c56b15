"""/quality: how far people and the machine agree, and a golden set made of what people said."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.responses import Response

from pipeline.archive.calls import Agreement, Call
from pipeline.domain.errors import BadRequest
from pipeline.domain.job import JobId
from pipeline.scoring.golden import as_case
from pipeline.web.answers import PRIVATE, Json
from pipeline.web.console.periods import DAYS, period_of
from pipeline.web.console.twins import Rows
from pipeline.web.console.view import View

MOST_CASES = 500


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
    found = await view.archived(lambda archive: [archive.call(key) for key in ids])
    cases = [case for call in found if call and (case := _case(view, call))]
    named = {"Content-Disposition": 'attachment; filename="callscribe-golden.json"'}
    return Json({"cases": cases}, 200, headers={**PRIVATE, **named})


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
