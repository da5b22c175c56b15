"""What operators and their machines ask: is it up, ready, which version, how much; and one plain list."""

from __future__ import annotations

import time
from html import escape
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from pipeline.domain.errors import StoreUnavailable
from pipeline.run.views import JobRow, job_row
from pipeline.telemetry.logs import REGISTRY, USAGE
from pipeline.web.answers import PRIVATE, Json
from pipeline.web.auth import COOKIE
from pipeline.web.service import Service, service_of

LISTED = 200
_PAGE_HEADERS = {
    **PRIVATE,
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
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
    service.check_room(uploads=True)
    await service.intake.ping()
    return Json({"status": "ready"})


async def which(request: Request) -> Response:
    """The version."""
    return Json({"name": "callscribe", "version": our_version()})


async def metrics(request: Request) -> Response:
    """Prometheus text: counters of this process, and gauges read from the store."""
    service = service_of(request)
    service.keys.check(request)
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
            for what, amount in sorted(store.usage(portal).items()):
                usage.add_metric([portal, what], amount)
        return [up, queued, unfinished, usage]


async def listing(request: Request) -> Response:
    """GET /: one plain list of jobs. `?key=` once, a cookie from then on."""
    service = service_of(request)
    if key := request.query_params.get("key"):
        return _sign_in(service, request, key)
    try:
        service.keys.check(request)
    except HTTPException as refusal:
        if refusal.status_code != 401 or "text/html" not in request.headers.get("accept", ""):
            raise
        return HTMLResponse(
            _page("<p>Open this page once as <code>/?key=API_KEY</code>.</p>"), 401, _PAGE_HEADERS
        )
    rows = await service.blocking(service.tools.store.page, limit=LISTED)
    return HTMLResponse(_page(_table([job_row(row) for row in rows])), headers=_PAGE_HEADERS)


def _sign_in(service: Service, request: Request, key: str) -> Response:
    if not service.keys.fits(key):
        service.keys.wrong_keys.spend(request)
        raise HTTPException(401, "The key is wrong.")
    answer = RedirectResponse("/", 303, _PAGE_HEADERS)
    answer.set_cookie(
        COOKIE,
        service.keys.session,
        max_age=30 * 86_400,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


def _table(rows: list[JobRow]) -> str:
    columns = ("accepted_at", "portal", "category", "source", "status")
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in ("job", *columns))
    lines = "".join(
        f'<tr><td><a href="/v1/jobs/{escape(row.id)}">{escape(row.id)}</a></td>'
        + "".join(f"<td>{escape(str(getattr(row, name)))}</td>" for name in columns)
        + "</tr>"
        for row in rows
    )
    return (
        f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
        if rows
        else "<p>No jobs yet.</p>"
    )


def _page(body: str) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>callscribe</title>'
        '<meta name="viewport" content="width=device-width">'
        "<style>body{font:15px system-ui;margin:2rem}table{border-collapse:collapse}"
        "td,th{padding:.3rem .8rem;text-align:left;border-bottom:1px solid #8884}</style>"
        f"<h1>Jobs</h1>{body}<p><small>{at} UTC</small></p></html>"
    )
