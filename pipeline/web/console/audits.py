"""/audit: who listened to, corrected, retried and erased what, for operators."""

from __future__ import annotations

from starlette.responses import Response

from pipeline.archive.calls import Audited
from pipeline.domain.errors import BadRequest
from pipeline.run.views import moment
from pipeline.web.console.twins import Rows
from pipeline.web.console.view import View

PER_PAGE = 200


async def listed(view: View) -> Response:
    """GET /audit, or of one call: ?call=job_..."""
    entries, following = await _entries(view, view.query.get("cursor"))
    older = view.link(cursor=following) if following else None
    return view.page("audit.html", live=10, entries=entries, older=older)


async def rows(view: View, cursor: str | None) -> Rows:
    """The same as rows, for machines."""
    entries, following = await _entries(view, cursor)
    found = [
        {
            "at": moment(entry.at),
            "who": entry.who,
            "what": entry.what,
            "call": entry.call,
            "detail": entry.detail,
        }
        for entry in entries
    ]
    return Rows(name="audit", rows=found, next=following)


async def _entries(view: View, cursor: str | None) -> tuple[list[Audited], str | None]:
    call = view.asked("call")
    try:
        return await view.archived(lambda archive: archive.audited(call, cursor=cursor, limit=PER_PAGE))
    except ValueError as error:
        raise BadRequest(str(error), field="cursor") from None
