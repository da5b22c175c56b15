"""/todo: calls that lack something a person can do about, grouped by what and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from pipeline.archive.calls import LACKS, Call, Filters, Gap
from pipeline.domain.errors import BadRequest, UnknownJob, UnreadableRecord
from pipeline.domain.job import JobId
from pipeline.domain.kinds import KINDS, kind_of
from pipeline.run.operate import retry_job
from pipeline.web.console.call import audit
from pipeline.web.console.states import gap_words, phone_for
from pipeline.web.console.twins import Rows
from pipeline.web.console.view import View

if TYPE_CHECKING:
    from pipeline.archive.archive import Archive

GROUPS, SHOWN = 40, 5  # on the page, and calls of each
MOST_RETRIED = 500  # by one press


@dataclass(frozen=True, kw_only=True)
class Group:
    """Calls that lack the same for the same reason: how many, and the newest of them."""

    gap: Gap
    many: int
    calls: tuple[Call, ...]


async def listed(view: View) -> Response:
    """GET /todo."""
    groups = await view.archived(_groups)
    shown = groups[:GROUPS]
    kinds = [(kind, [group for group in shown if group.gap.kind == kind]) for kind in LACKS]
    return view.page(
        "todo.html",
        live=10,
        kinds=[(kind, of_kind) for kind, of_kind in kinds if of_kind],
        most=GROUPS if len(groups) > GROUPS else None,
        gap_words=lambda gap: gap_words(gap, view.words),
        phone_for=lambda call: phone_for(view, call),
    )


def _groups(archive: Archive) -> list[Group]:
    return [
        Group(
            gap=gap,
            many=many,
            calls=archive.calls(Filters(state=gap.kind, why=gap.why), limit=SHOWN).calls,
        )
        for gap, many in archive.todo(limit=GROUPS + 1)
    ]


async def rows(view: View, cursor: str | None) -> Rows:
    """The groups as rows."""
    found = await view.archived(lambda archive: archive.todo())
    return Rows(name="todo", rows=[_row(gap, many) for gap, many in found])


async def retried(view: View) -> Response:
    """POST /todo/retry: what a whole group lacks is done again, as far as its records still live."""
    form = await view.form()
    kind = form.get("kind", "")
    if kind not in LACKS:
        raise BadRequest(f"kind: expected one of {', '.join(LACKS)}", field="kind")
    gap = Gap(kind=kind, why=form.get("why", ""))
    found = await view.archived(lambda archive: archive.lacking(gap, limit=MOST_RETRIED))
    begun = await view.blocking(_retry, view, found)
    await view.service.notify(begun)
    await audit(view, "retried", None, f"all of: {kind}: {gap.why}")
    if not begun:
        return view.back("/todo", "Nothing here can be done again.")
    return view.back("/todo", "What lacks is done again.")


def _retry(view: View, jobs: list[JobId]) -> set[str]:
    """The queues that have work now; calls whose records are gone, or lack nothing, stay as they are."""
    queues: set[str] = set()
    for job in jobs:
        try:
            _, due = retry_job(view.service.tools, job)
        except (UnknownJob, BadRequest, UnreadableRecord):
            continue
        queues |= {KINDS[kind_of(step)].queue for step in due}
    return queues


def _row(gap: Gap, many: int) -> dict[str, Any]:
    return {"lack": gap.kind, "why": gap.why, "calls": many}
