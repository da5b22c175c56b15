"""`callscribe calls`: the archive of calls."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from pipeline.archive.archive import Archive
from pipeline.archive.calls import Call, Filters, Lack, State
from pipeline.cli import WorkFailed, attached, drawing
from pipeline.cli.jobs import at_the_shell, entity_named, settle
from pipeline.cli.terminal import echo, echo_json, echo_lines, json_option
from pipeline.contract.redact import mask_phone
from pipeline.contract.sinks import to_cell, to_reader
from pipeline.domain.errors import BadRequest, UnknownJob
from pipeline.domain.job import Category, Entity, JobId
from pipeline.domain.lead import Quality
from pipeline.run.call_views import call_row, call_whole
from pipeline.run.leftovers import archive_anew
from pipeline.run.operate import erase_job
from pipeline.settings.installation import Settings, load
from pipeline.steps.tools import open_tools

HEAD = ["id", "started", "manager", "client", "deal", "length", "score", "state"]
PER_PAGE = 500

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def calls() -> None:
    """The archive of calls: found, shown, exported, rebuilt, erased."""


def _day(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """A moment, or a day of this machine's clock; `--to` a day is to its end."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value)
        if param.name == "until" and len(value) <= len("2026-01-31"):
            found += timedelta(days=1)
        return found.astimezone().timestamp()
    except (ValueError, OverflowError):
        raise click.BadParameter("expected a day, as 2026-11-26, or a moment as of RFC 3339") from None


def _filtered(command: F) -> F:
    """The filters of the console."""
    states = list(dict.fromkeys((*get_args(State), *get_args(Lack))))
    options = [
        click.option("-q", "q", metavar="WORDS", help="Words that were said, a phone, a deal."),
        click.option("--from", "since", metavar="DAY", callback=_day, help="Begun then, or later."),
        click.option("--to", "until", metavar="DAY", callback=_day, help="Begun until then."),
        click.option("--manager", help="Id or name."),
        click.option("--band", type=click.Choice([*get_args(Quality), "none"])),
        click.option("--state", type=click.Choice(states)),
        click.option("--portal", help="Only this portal's."),
        click.option("--category", type=click.Choice([Category.AUDIO.value, Category.CALL.value])),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@calls.command("list")
@_filtered
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--csv", "as_csv", is_flag=True, help="As CSV.")
@json_option
def list_(limit: int, as_csv: bool, as_json: bool, **wanted: Any) -> None:
    """The newest calls first: who spoke, what came of it."""
    settings = load()
    with _opened(settings) as archive:
        found = list(islice(_all(archive, Filters(**wanted)), limit))
    rows = [call_row(call, phone=_phone(call, settings)) for call in found]
    if as_json:
        echo_json(to_reader({"calls": rows}, spoken=False))
    elif as_csv:
        echo_lines(_csv(rows))
    else:
        if not found:
            echo(f"no such call in the archive of {_place(settings)}", err=True)
        echo_lines(drawing.table(HEAD, map(_cells, found)))


@calls.command()
@click.argument("call_id", metavar="ID")
@json_option
def show(call_id: str, as_json: bool) -> None:
    """One call: who spoke, what was said, and how it was judged."""
    settings = load()
    with _opened(settings) as archive:
        call = archive.call(JobId(call_id))
    if call is None:
        raise UnknownJob(f"no call {call_id} in the archive of {_place(settings)}")
    phone = _phone(call, settings)
    if as_json:
        echo_json(to_reader(call_whole(call, phone=phone), spoken=False))
        return
    who = ", ".join(filter(None, (call.manager, call.client, phone))) or "nobody knows who"
    echo(f"{call.id}  {call.portal}  {drawing.moment(call.started_at)}  {who}")
    if call.entity:
        title = f" ({call.entity_title})" if call.entity_title else ""
        echo(f"deal     {call.entity.type} {call.entity.id}{title} {call.entity_url or ''}")
    if call.score is not None:
        machine = f", by the machine {call.machine_score}" if call.machine_score != call.score else ""
        echo(f"score    {call.band} ({call.score}/100{machine}): {call.reason}")
    for gap in call.gaps:
        echo(f"lacks    {gap.kind}: {gap.why}")
    for each in call.criteria:
        quote = f' "{each.quote}"' if each.quote else ""
        echo(f"  {'yes' if each.met else 'no '}  {each.weight:g}  {each.name}{quote} {each.explanation}")
    for said in call.verdicts:
        what = said.criterion or "the score"
        told = f"{said.score}/100" if said.met is None else "yes" if said.met else "no"
        echo(f"verdict  {drawing.moment(said.at)}  {said.who}: {what}: {told}. {said.why}")
    for turn in call.segments:
        echo(f"{drawing.duration(turn.start):>8}  {turn.speaker or '-'}: {turn.text}")


@calls.command()
@_filtered
@click.option("--format", "kind", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
def export(kind: str, **wanted: Any) -> None:
    """All calls that the filters leave, to the standard output.

    csv: a line each. json: a document each, one per line, with transcripts, criteria and verdicts.
    """
    settings = load()
    with _opened(settings) as archive:
        found = _all(archive, Filters(**wanted))
        if kind == "csv":
            echo_lines(_csv(call_row(call, phone=_phone(call, settings)) for call in found))
            return
        for row in found:
            if (call := archive.call(row.id)) is not None:  # else it was erased meanwhile
                whole = to_reader(call_whole(call, phone=_phone(call, settings)), spoken=False)
                echo(json.dumps(whole, ensure_ascii=False))


@calls.command("import")
def import_() -> None:
    """Writes the archive anew from the records that still live; what it knows beyond them stays."""
    settings = load()
    if not settings.archive_days:
        raise BadRequest("nothing is archived: CALLSCRIBE_ARCHIVE_DAYS is 0", field="archive_days")
    with attached.opened_store(settings), contextlib.closing(open_tools(settings)) as tools:
        done, unreadable = archive_anew(tools)
    echo(f"{done} calls are archived")
    if unreadable:
        raise WorkFailed(f"{unreadable} records cannot be read by this version")


@calls.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--phone", help="All calls with this phone.")
@click.option(
    "--deal", "entity", metavar="ID|TYPE:ID", callback=entity_named, help="All of deal 123, lead:45."
)
@click.option("--yes", is_flag=True, help="Without asking.")
def erase(ids: tuple[str, ...], phone: str | None, entity: Entity | None, yes: bool) -> None:
    """Removes calls for good: rows, transcripts, recordings and records, by id, phone or deal."""
    settings = load()
    if sum(map(bool, (ids, phone, entity))) != 1:
        raise BadRequest("expected ids, --phone or --deal", field="ids")
    with attached.opened_store(settings) as store, contextlib.closing(open_tools(settings)) as tools:
        if phone:
            try:
                chosen = tools.archive.found_by_phone(phone)
            except ValueError as error:
                raise BadRequest(f"--phone: {error}", field="phone") from None
        else:
            chosen = tools.archive.found_by_entity(entity) if entity else [JobId(each) for each in ids]
        if not chosen:
            raise UnknownJob("no such call in the archive")
        if not yes:
            click.confirm(f"Remove {len(chosen)} calls for good?", abort=True, err=True)
        gone = [erase_job(tools, each, who=at_the_shell()) for each in chosen]
        settle(store)
    echo(f"{sum(gone)} calls are erased")
    if not all(gone):
        raise UnknownJob(f"{len(gone) - sum(gone)} of them were not there")


@contextlib.contextmanager
def _opened(settings: Settings) -> Iterator[Archive]:
    if settings.database_url is None and not _file(settings).exists():
        raise attached.NoStore(f"there is no archive in {attached.place(settings)} yet")
    with contextlib.closing(Archive.open(settings.archive_url)) as archive:
        yield archive


def _file(settings: Settings) -> Path:
    return Path(settings.archive_url.removeprefix("sqlite:///"))


def _place(settings: Settings) -> str:
    return "CALLSCRIBE_DATABASE_URL" if settings.database_url else str(settings.data_dir.resolve())


def _all(archive: Archive, filters: Filters) -> Iterator[Call]:
    cursor: str | None = None
    while True:
        page = archive.calls(filters, cursor=cursor, limit=PER_PAGE)
        yield from page.calls
        if (cursor := page.next) is None:
            return


def _phone(call: Call, settings: Settings) -> str | None:
    return mask_phone(call.phone) if settings.phones_for == "nobody" else call.phone


def _cells(call: Call) -> list[str]:
    return [
        call.id,
        drawing.moment(call.started_at),
        call.manager or "-",
        call.client or "-",
        f"{call.entity.type} {call.entity.id}" if call.entity else "-",
        drawing.duration(call.seconds) if call.seconds is not None else "-",
        f"{call.band} {call.score}" if call.score is not None else "-",
        ", ".join([call.state, *(gap.kind for gap in call.gaps if gap.kind != call.state)]),
    ]


def _csv(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Lines of CSV; nested names are dotted, lists are counted out by `; `."""
    head: list[str] = []
    for row in rows:
        flat: dict[str, object] = {}
        for name, value in row.items():
            if isinstance(value, dict):
                flat |= {f"{name}.{inner}": each for inner, each in value.items()}
            elif isinstance(value, list):
                flat[name] = "; ".join(map(_listed, value))
            else:
                flat[name] = value
        if not head:
            head = list(flat)
            yield _line(head)
        yield _line(to_cell(flat.get(name)) for name in head)


def _listed(item: Any) -> str:
    return ": ".join(str(part) for part in item.values() if part) if isinstance(item, dict) else str(item)


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(" ".join(cell.split("\n")) for cell in cells)
    return text.getvalue()
