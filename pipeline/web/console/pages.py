"""The table of the console's pages, and the routes made of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.web.auth import Role
from pipeline.web.console import (
    actions,
    audits,
    call,
    calls,
    health,
    job,
    jobs,
    quality,
    signing,
    team,
    todo,
    trying,
    usage,
)
from pipeline.web.console.twins import Source, as_csv, as_json
from pipeline.web.console.view import View, view_of


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page or an action. title: in the navigation, if it is there; rows: of a list, for its twins."""

    path: str
    show: Callable[[View], Awaitable[Response]]
    title: str = ""
    least: Role = Role.READ
    method: str = "GET"
    rows: Source | None = None


PAGES = [
    Page(path="/calls", show=calls.listed, title="Calls", rows=calls.rows),
    Page(path="/calls/{id}", show=call.shown, rows=call.rows),
    Page(path="/calls/{id}/audio", show=call.heard),
    Page(path="/calls/{id}/transcript.{format}", show=call.exported),
    Page(path="/calls/{id}/verdict", show=actions.correct, method="POST", least=Role.REVIEW),
    Page(path="/calls/{id}/score", show=actions.score_again, method="POST", least=Role.OPERATE),
    Page(path="/calls/{id}/link", show=actions.link, method="POST", least=Role.OPERATE),
    Page(path="/todo", show=todo.listed, title="To do", rows=todo.rows),
    Page(path="/todo/retry", show=todo.retried, method="POST", least=Role.OPERATE),
    Page(path="/team", show=team.listed, title="Team", rows=team.rows),
    Page(path="/quality", show=quality.listed, title="Quality", rows=quality.rows),
    Page(path="/quality/golden.json", show=quality.golden),
    Page(path="/usage", show=usage.listed, title="Usage", least=Role.OPERATE, rows=usage.rows),
    Page(path="/health-board", show=health.board, title="Health", least=Role.OPERATE, rows=health.rows),
    Page(path="/try", show=trying.shown, title="Try", least=Role.OPERATE),
    Page(path="/try", show=trying.taken, method="POST", least=Role.OPERATE),
    Page(path="/jobs", show=jobs.listed, title="Jobs", least=Role.OPERATE, rows=jobs.rows),
    Page(path="/audit", show=audits.listed, title="Audit", least=Role.OPERATE, rows=audits.rows),
    Page(path="/jobs/{id}", show=job.shown, rows=job.rows),
    Page(path="/jobs/{id}/retry", show=actions.retry, method="POST", least=Role.OPERATE),
    Page(path="/jobs/{id}/erase", show=actions.erase, method="POST", least=Role.OPERATE),
]


async def _answer(request: Request, page: Page) -> Response:
    return await page.show(await view_of(request, least=page.least))


async def _twin(
    request: Request, page: Page, twin: Callable[[View, Source], Awaitable[Response]]
) -> Response:
    assert page.rows
    return await twin(await view_of(request, least=page.least), page.rows)


def _routes() -> list[Route]:
    routes = [
        Route("/", signing.home, methods=["GET"]),
        Route("/sign-in", signing.sign_in, methods=["POST"]),
        Route("/sign-out", signing.sign_out, methods=["POST"]),
        Route("/static/{name}", signing.static, methods=["GET"]),
    ]
    for page in PAGES:
        if page.rows:  # before a page whose path they would fit as well, as `/calls/{id}`
            for ending, twin in (("json", as_json), ("csv", as_csv)):
                routes.append(
                    Route(f"{page.path}.{ending}", partial(_twin, page=page, twin=twin), methods=["GET"])
                )
        routes.append(Route(page.path, partial(_answer, page=page), methods=[page.method]))
    return routes


ROUTES = _routes()
