"""`callscribe jobs`: the operator's view of the job store."""

from __future__ import annotations

import contextlib
import getpass
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, get_args

import click

from pipeline.cli import attached, drawing
from pipeline.cli.terminal import echo, echo_json, echo_lines, json_option
from pipeline.domain.errors import UnknownJob
from pipeline.domain.job import Category, Entity, JobId
from pipeline.domain.lead import Quality
from pipeline.run.operate import erase_job, retry_job
from pipeline.run.views import JobRow, Lack, Row, Status, job_row, view_of, words_of
from pipeline.settings.installation import Settings, load
from pipeline.steps import flow, scores
from pipeline.steps.tools import open_tools
from pipeline.store import Store
from pipeline.store.records import read_job

HEAD = ["id", "accepted", "portal", "category", "status", "score", "entry in"]
ENTITIES = ("deal", "lead", "contact", "company")


def entity_named(ctx: click.Context, param: click.Parameter, value: str | None) -> Entity | None:
    """The option of a deal, by its number, or of another entity as lead:45."""
    if value is None:
        return None
    kind, _, number = (value if ":" in value else f"deal:{value}").partition(":")
    if kind not in ENTITIES or not re.fullmatch(r"[1-9][0-9]{0,14}", number):
        raise click.BadParameter(
            f"expected a number, of a deal, or one of {', '.join(ENTITIES)} and its number, as lead:45"
        )
    return Entity(type=kind, id=int(number))


@click.group()
def jobs() -> None:
    """The operator's view of the job store."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which jobs a list shows; what is None, or False, does not matter."""

    status: str | None = None
    portal: str | None = None
    category: str | None = None
    reason: str | None = None
    quality: str | None = None
    least: int | None = None
    most: int | None = None
    entity: Entity | None = None
    lacks: str | None = None
    held: bool = False

    def __call__(self, row: JobRow) -> bool:
        lead = row.lead
        return (
            self.status in (None, row.status)
            and self.portal in (None, row.portal)
            and self.category in (None, row.category.value)
            and self.reason in (None, row.error.slug if row.error else None)
            and self.quality in (None, lead.quality if lead else None)
            and (self.least is None or (lead is not None and lead.score >= self.least))
            and (self.most is None or (lead is not None and lead.score <= self.most))
            and self.entity in (None, row.timeline.entity)
            and (self.lacks is None or self.lacks in row.lacks)
            and (row.held_since is not None or not self.held)
        )


_score = click.IntRange(0, 100)


@jobs.command("list")
@click.option("--status", type=click.Choice(get_args(Status)))
@click.option("--portal", help="Only this portal's.")
@click.option("--category", type=click.Choice([category.value for category in Category]))
@click.option("--reason", metavar="SLUG", help="Failed for this reason, as not_audio.")
@click.option("--quality", type=click.Choice(get_args(Quality)), help="The band of the score.")
@click.option("--least", type=_score, metavar="SCORE", help="A score of so much, or more.")
@click.option("--most", type=_score, metavar="SCORE", help="A score of so much, or less.")
@click.option(
    "--deal", "entity", metavar="ID|TYPE:ID", callback=entity_named, help="Of deal 123, of lead:45."
)
@click.option("--lacks", type=click.Choice(get_args(Lack)), help="Done, and without this.")
@click.option("--held", is_flag=True, help="Waiting until the provider takes the account again.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def list_(limit: int, as_json: bool, **wanted: Any) -> None:
    """The newest jobs first: how each stands and why, its score, where its entry is."""
    settings, rows = load(), list[JobRow]()
    try:
        with attached.opened_store(settings) as store:
            rows = list(islice(filter(Wanted(**wanted), map(job_row, _all(store))), limit))
    except attached.NoStore as error:
        echo(f"{error.message}: {error.hint}", err=True)
    else:
        if not rows:
            echo(f"no such job in the store of {attached.place(settings)}", err=True)
    if as_json:
        echo_json({"jobs": [row.model_dump(mode="json") for row in rows]})
    else:
        echo_lines(drawing.table(HEAD, map(_cells, rows)))


def _all(store: Store) -> Iterator[Row]:
    before: float | None = None
    while page := store.page(before=before, limit=200):
        yield from page
        before = page[-1][1]


def _cells(row: JobRow) -> list[str]:
    lead, entity = row.lead, row.timeline.entity
    return [
        row.id,
        f"{row.accepted_at[:19]}Z",
        row.portal,
        row.category.value,
        ", ".join(filter(None, (row.status, words_of(row)))),
        f"{lead.quality} {lead.score}" if lead else "-",
        f"{entity.type} {entity.id}" if entity else "-",
    ]


@contextlib.contextmanager
def _store(settings: Settings) -> Iterator[Store]:
    """The store; where it does not know a job, it is told which store that was."""
    with attached.opened_store(settings) as store:
        try:
            yield store
        except UnknownJob as error:
            raise UnknownJob(f"{error.message} (in {attached.place(settings)})") from None


@jobs.command()
@click.argument("job_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="As /v1/jobs/{id} shows it.")
def show(job_id: str, as_json: bool) -> None:
    """One job: how it stands, and a drawn timeline of what happened."""
    with _store(load()) as store:
        raw = store.raw(JobId(job_id))
        events, deliveries = store.events(JobId(job_id)), store.deliveries(JobId(job_id))
        waiting = store.waiting(JobId(job_id))
    view = view_of(JobId(job_id), raw, events, deliveries, waiting)
    if as_json:
        echo_lines(view.model_dump_json(indent=1).splitlines())
        return
    if not view.is_readable:
        echo(f"{job_id} cannot be read by this version; as it is stored:", err=True)
        echo_lines(json.dumps(view.stored, ensure_ascii=False, indent=1, sort_keys=True).splitlines())
        return
    job = read_job(JobId(job_id), raw)
    failure, lead = view.error, scores.lead(job)
    done, parts = flow.progress(job)
    echo(f"{job.id}  {job.portal}  {job.category.value} by {job.source.value}  {job.status}")
    echo(f"accepted {drawing.moment(job.accepted_at)}, deadline {drawing.moment(job.deadline)}")
    if call := flow.call(job):
        echo(f"about    the call {call}")
    if parts:
        echo(f"parts    {done} of {parts} recognised")
    for line in drawing.timeline(events):
        echo(f"  {line}")
    for sent in deliveries:
        said = "taken" if sent.accepted else "not taken"
        came = sent.status or sent.answer or "no answer"  # without a status it says why none came
        echo(f"callback {drawing.moment(sent.at)}  {sent.kind}: {came}, {said}")
    if lead:
        echo(f"lead     {lead.quality} ({lead.score}/100): {lead.reason}")
    for each in scores.verdicts(job):
        of_what = (
            f"{each.criterion}: {'yes' if each.met else 'no'}" if each.criterion else f"score {each.score}"
        )
        echo(f"verdict  {of_what}, by {each.who} {drawing.moment(each.at)}: {each.why}")
    if job.category.spoken:
        stands = flow.timeline(job)
        echo(f"timeline {stands.state}" + (f": {stands.why}" if stands.why else ""))
    for step, at in sorted(waiting.items()):
        if at and step != "expire":
            echo(f"next     {step} at {drawing.moment(at)}")
    if view.lacks:
        echo(f"lacks    {', '.join(view.lacks)}: `callscribe jobs retry {job.id}` does it again")
    if failure:
        echo(f"failed   {failure.slug} ({failure.code}) in {failure.step}: {failure.message}")
        if failure.hint:
            echo(f"         {failure.hint}")


@jobs.command()
@click.argument("job_id", metavar="ID")
@click.option(
    "--link", metavar="TYPE:ID", callback=entity_named, help="Where its score belongs, as deal:123."
)
def retry(job_id: str, link: Entity | None) -> None:
    """Does now what failed, what is lacking, or what was put off.

    A failed job runs again from where it failed; its portal may have stopped listening. A job that is done
    gets the score, deal or entry that it lacks.
    """
    settings = load()
    with _store(settings), contextlib.closing(open_tools(settings)) as tools:
        _, steps = retry_job(tools, JobId(job_id), entity=link)
    echo(f"{job_id}: {', '.join(steps)} at once where the service is up, else with its next start")


@jobs.command()
@click.argument("job_id", metavar="ID")
@click.confirmation_option(prompt="Remove its record, transcript and audio for good?")
def erase(job_id: str) -> None:
    """Removes a job: record, events, paid answers and audio, also from the store's files."""
    settings = load()
    with _store(settings) as store, contextlib.closing(open_tools(settings)) as tools:
        if not erase_job(tools, JobId(job_id), who=at_the_shell()):
            raise UnknownJob(f"no job {job_id}")
        settle(store)
    echo(f"{job_id} is erased")


def at_the_shell() -> str:
    """Who uses a command, for the audit log."""
    return f"{getpass.getuser()} at the shell"


def settle(store: Store, *, seconds: float = 10.0) -> None:
    """Waits a while for the store's file to be written anew, should we be the ones to stop the store."""
    end = time.monotonic() + seconds
    while store.disk.rewriting() and time.monotonic() < end:
        time.sleep(0.05)
