"""/audit: who listened to, corrected, retried and erased what, for operators."""

from __future__ import annotations

from starlette.responses import Response

from pipeline.archive.calls import Audited
from pipeline.run.views import moment
from pipeline.web.console.twins import Rows
from pipeline.web.console.view import View

MOST = 500


async def listed(view: View) -> Response:
    """GET /audit, or of one call: ?call=job_..."""
    return view.page("audit.html", live=10, entries=await _entries(view), most=MOST)


async def rows(view: View, cursor: str | None) -> Rows:
    """The same as rows, for machines."""
    found = [
        {
            "at": moment(entry.at),
            "who": entry.who,
            "what": entry.what,
            "call": entry.call,
            "detail": entry.detail,
        }
        for entry in await _entries(view)
    ]
    return Rows(name="audit", rows=found)


async def _entries(view: View) -> list[Audited]:
    return await view.archived(lambda archive: archive.audited(view.asked("call"), limit=MOST))
