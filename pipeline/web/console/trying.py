"""/try: one recording of one's own, from the upload to its page."""

from __future__ import annotations

from starlette.background import BackgroundTask
from starlette.responses import Response

from pipeline.domain.errors import BadRequest
from pipeline.web.calls import take_upload
from pipeline.web.console.call import audit
from pipeline.web.console.view import View


async def shown(view: View) -> Response:
    """GET /try."""
    return view.page("try.html", portals=sorted(view.service.portals))


async def taken(view: View) -> Response:
    """POST /try: the recording goes the way of every call, and the answer leads to its page."""
    if not view.request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise BadRequest("body: expected a multipart form", field="body")

    def check(fields: dict[str, str]) -> None:
        view.check_token(fields)
        for name in [name for name, value in fields.items() if not value.strip()]:
            del fields[name]  # a form sends what was left empty

    job, queues = await take_upload(view.service, view.request, check=check)
    await audit(view, "uploaded", job)
    answer = view.back(f"/calls/{job}")
    answer.background = BackgroundTask(view.service.notify, queues)
    return answer
