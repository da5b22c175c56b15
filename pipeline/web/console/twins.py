"""A list of the console as JSON and CSV: the same rows for machines and for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response, StreamingResponse

from pipeline.contract.sinks import to_cell, to_reader
from pipeline.web.answers import PRIVATE, Json
from pipeline.web.console.view import View

MOST_ROWS = 1_000_000  # of one CSV: no spreadsheet takes more


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Some lines of a list. name: what they are, `calls`; next: the cursor of what follows, if more does."""

    name: str
    rows: list[dict[str, Any]]
    next: str | None = None
    whole: dict[str, Any] | None = None  # of a page about one thing: all of it, as JSON has it


Source = Callable[[View, str | None], Awaitable[Rows]]  # from a cursor on


async def as_json(view: View, source: Source) -> Response:
    """{name: [...], "next"}: one page of the list; or the one thing that a page is about."""
    found = await source(view, view.query.get("cursor"))
    return Json(await view.blocking(_told, found))


def _told(found: Rows) -> Any:
    whole = {found.name: found.rows, "next": found.next} if found.whole is None else found.whole
    return to_reader(whole, spoken=False)


async def as_csv(view: View, source: Source) -> Response:
    """The whole list; nested names are dotted. `excel=1`: begins as Excel needs it to know its letters."""
    first = await source(view, view.query.get("cursor"))

    columns = await view.blocking(_columns, first.rows)

    async def lines() -> AsyncIterator[bytes]:
        found, written = first, 0
        yield (b"\xef\xbb\xbf" if view.query.get("excel") else b"") + _csv([columns])
        while True:
            yield await view.blocking(_lines, found.rows, columns)
            written += len(found.rows)
            if not found.next or written >= MOST_ROWS:
                return
            found = await source(view, found.next)

    named = {"Content-Disposition": f'attachment; filename="callscribe-{first.name}.csv"'}
    return StreamingResponse(lines(), 200, {**PRIVATE, **named}, media_type="text/csv")


def _lines(rows: Iterable[Mapping[str, Any]], columns: list[str]) -> bytes:
    return _csv([[to_cell(cells.get(name)) for name in columns] for cells in map(_flat, rows)])


def _columns(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in _flat(row)))


def _flat(row: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            cells |= _flat(value, f"{before}{name}.")
        elif isinstance(value, list):
            cells[before + name] = "; ".join(
                ": ".join(str(part) for part in item.values() if part not in (None, ""))
                if isinstance(item, dict)
                else str(item)
                for item in value
            )
        else:
            cells[before + name] = value
    return cells


def _csv(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
