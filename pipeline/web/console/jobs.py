"""/jobs: what the store holds of every request, text and images as well, for operators."""

from __future__ import annotations

from typing import Any, get_args

from starlette.responses import Response

from pipeline.domain.job import Category
from pipeline.run.views import Row, Status, job_row
from pipeline.steps import flow
from pipeline.store.records import read_job
from pipeline.web.console.twins import Rows
from pipeline.web.console.view import View
from pipeline.web.jobs import find_jobs, one_of, read_cursor

PER_PAGE = 50


async def listed(view: View) -> Response:
    """GET /jobs."""
    found, following = await _found(view, view.query.get("cursor"))
    return view.page(
        "jobs.html",
        live=5,
        jobs=[job_row(row) for row in found],
        why={row[0]: why(row) for row in found},
        accepted={row[0]: row[1] for row in found},
        older=view.link(cursor=following) if following else None,
        statuses=get_args(Status),
        categories=tuple(Category),
        portals=sorted(view.service.portals),
    )


async def rows(view: View, cursor: str | None) -> Rows:
    """The same as rows, for machines."""
    found, following = await _found(view, cursor)
    return Rows(
        name="jobs",
        rows=[job_row(row).model_dump(mode="json") | {"why": why(row)} for row in found],
        next=following,
    )


def why(row: Row) -> str:
    """Why a job has failed, in a sentence; nothing where it has not."""
    key, _, fields = row
    try:
        failure = flow.error(read_job(key, fields))
    except Exception:  # as `job_row` says of it
        return ""
    return failure.message if failure else ""


async def _found(view: View, cursor: str | None) -> tuple[list[Any], str | None]:
    wanted = {name: value for name, value in view.query.items() if name in ("status", "portal", "category")}
    one_of(wanted, "status", get_args(Status))
    one_of(wanted, "category", tuple(Category))
    return await view.blocking(find_jobs, view.service, wanted, read_cursor(cursor), PER_PAGE)
