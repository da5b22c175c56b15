"""What operators and their machines ask: is it up, ready, which version, how much; and one plain list."""

from __future__ import annotations

import secrets
import time
from html import escape
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from pipeline.contract.php import read_form
from pipeline.domain.errors import BadRequest, StoreUnavailable, TooLarge
from pipeline.run.views import JobRow, job_row, words_of
from pipeline.telemetry.metrics import REGISTRY, USAGE
from pipeline.web.answers import PRIVATE, Json
from pipeline.web.auth import COOKIE, SESSION_SECONDS
from pipeline.web.bodies import whole
from pipeline.web.service import Service, service_of

LISTED = 200
MAX_FORM_BYTES = 4096
_PAGE_HEADERS = {
    **PRIVATE,
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def our_version() -> str:
    """The installed version."""
    try:
        return version("callscribe")
    except PackageNotFoundError:
        return "unknown"


async def health(request: Request) -> Response:
    """The process answers."""
    return Json({"status": "ok"})


async def ready(request: Request) -> Response:
    """The store and the audio storage take writes, and the disk has room."""
    service = service_of(request)
    service.room.check(uploads=True)
    await service.intake.ping()
    return Json({"status": "ready"})


async def which(request: Request) -> Response:
    """The version."""
    return Json({"name": "callscribe", "version": our_version()})


async def metrics(request: Request) -> Response:
    """Prometheus text: counters of this process, and gauges read from the store."""
    service = service_of(request)
    await service.check_key(request)
    own = generate_latest(REGISTRY)
    try:
        shared = await service.blocking(generate_latest, _Gauges(service))
    except StoreUnavailable:
        shared = b"# HELP callscribe_store_up Whether the store answers.\n# TYPE callscribe_store_up gauge\n"
        shared += b"callscribe_store_up 0.0\n"
    return Response(own + shared, media_type=CONTENT_TYPE_LATEST)


class _Gauges:
    """What all processes share, as the store has it at this moment."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> list[GaugeMetricFamily]:
        store = self._service.tools.store
        up = GaugeMetricFamily("callscribe_store_up", "Whether the store answers.", value=1)
        queued = GaugeMetricFamily(
            "callscribe_steps_ready", "Steps that are due and wait for a worker.", labels=["queue"]
        )
        for queue, count in store.tick().items():
            queued.add_metric([queue], count)
        unfinished = GaugeMetricFamily(
            "callscribe_jobs_unfinished",
            "Jobs without an outcome; refused beyond QUEUE_LIMIT.",
            labels=["portal"],
        )
        usage = GaugeMetricFamily(
            "callscribe_usage_today",
            "What all workers counted since midnight UTC: "
            + ", ".join(f"{k}: {v}" for k, v in USAGE.items()),
            labels=["portal", "what"],
        )
        for portal in self._service.portals:
            unfinished.add_metric([portal], store.unfinished(portal))
            for what, amount in sorted(store.usage.of(portal).items()):
                usage.add_metric([portal, what], amount)
        back = GaugeMetricFamily(
            "callscribe_store_gone_back",
            "1 for a day after the store was seen to have gone back: jobs may be missing, or run again.",
            value=0 if store.unsettled_since() is None else 1,
        )
        return [up, back, queued, unfinished, usage]


async def listing(request: Request) -> Response:
    """GET /: one plain list of jobs; browsers without a session get the form that opens one."""
    service = service_of(request)
    try:
        await service.check_key(request)
    except HTTPException as refusal:
        if refusal.status_code != 401 or "text/html" not in request.headers.get("accept", ""):
            raise
        return _form()
    rows = await service.blocking(service.tools.store.page, limit=LISTED)
    page = _table([job_row(row) for row in rows]) + _SIGN_OUT
    return HTMLResponse(_page("Jobs", page), headers=_PAGE_HEADERS)


async def sign_in(request: Request) -> Response:
    """POST /sign-in: the form's `key` opens a session; its cookie is not the key."""
    service = service_of(request)
    try:
        given = read_form(await whole(request, max_bytes=MAX_FORM_BYTES)).get("key")
    except (BadRequest, TooLarge):  # each is a line of the log, which nobody may fill
        service.keys.wrong_keys.spend(request)
        raise
    if not (isinstance(given, str) and service.keys.fits(given.strip())):
        service.keys.wrong_keys.spend(request)
        return _form("The key is wrong.")
    secret = secrets.token_urlsafe(32)
    session = service.keys.session(secret)
    assert session
    await service.blocking(service.tools.store.open_session, session, seconds=SESSION_SECONDS)
    answer = RedirectResponse("/", 303, _PAGE_HEADERS)
    secure = request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, secret, max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=secure
    )
    return answer


async def sign_out(request: Request) -> Response:
    """POST /sign-out: the session ends, for whoever still has its cookie."""
    service = service_of(request)
    if session := service.keys.session(request.cookies.get(COOKIE, "")):
        await service.blocking(service.tools.store.end_session, session)
    answer = RedirectResponse("/", 303, _PAGE_HEADERS)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


_SIGN_OUT = '<form method="post" action="/sign-out"><button>Sign out</button></form>'


def _form(why: str = "") -> HTMLResponse:
    where = "It is CALLSCRIBE_API_KEY, or lies in DATA_DIR/api-key."
    form = (f"<p>{escape(why)}</p>" if why else "") + (
        '<form method="post" action="/sign-in"><label>API key '
        '<input type="password" name="key" autocomplete="current-password" required autofocus></label> '
        f"<button>Sign in</button></form><p>{where}</p>"
    )
    return HTMLResponse(_page("Sign in", form), 401, _PAGE_HEADERS)


def _table(rows: list[JobRow]) -> str:
    columns = ("accepted_at", "portal", "category", "source", "status")
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in ("job", *columns, "lacks"))
    lines = "".join(
        f'<tr><td><a href="/v1/jobs/{escape(row.id)}">{escape(row.id)}</a></td>'
        + "".join(f"<td>{escape(str(getattr(row, name)))}</td>" for name in columns)
        + f"<td>{escape(words_of(row))}</td>"
        + "</tr>"
        for row in rows
    )
    return (
        f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
        if rows
        else "<p>No jobs yet.</p>"
    )


def _page(title: str, body: str) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>callscribe</title>'
        '<meta name="viewport" content="width=device-width">'
        "<style>body{font:15px system-ui;margin:2rem}table{border-collapse:collapse}"
        "td,th{padding:.3rem .8rem;text-align:left;border-bottom:1px solid #8884}</style>"
        f"<h1>{title}</h1>{body}<p><small>{at} UTC</small></p></html>"
    )
