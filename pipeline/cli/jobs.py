"""`callscribe jobs`: the operator's view of the job store."""

from __future__ import annotations

import contextlib
import json
import re
import time
from typing import get_args

import click

from pipeline.cli import attached, drawing
from pipeline.cli.terminal import echo, echo_lines
from pipeline.domain.job import Entity, JobId
from pipeline.run.operate import erase_job, retry_job
from pipeline.run.views import Status, job_row, job_view, words_of
from pipeline.settings.installation import load
from pipeline.steps import flow
from pipeline.steps.tools import open_tools
from pipeline.store import Store
from pipeline.store.records import read_job
from pipeline.telemetry.logs import REDACTOR

ENTITIES = ("deal", "lead", "contact", "company")


def _entity(ctx: click.Context, param: click.Parameter, value: str | None) -> Entity | None:
    if value is None:
        return None
    kind, _, number = value.partition(":")
    if kind not in ENTITIES or not re.fullmatch(r"[1-9][0-9]{0,14}", number):
        raise click.BadParameter(f"expected one of {', '.join(ENTITIES)} and its number, as deal:123")
    return Entity(type=kind, id=int(number))


@click.group()
def jobs() -> None:
    """The operator's view of the job store."""


@jobs.command("list")
@click.option("--status", type=click.Choice(get_args(Status)))
@click.option("--portal", help="Only this portal's.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
def list_(status: str | None, portal: str | None, limit: int) -> None:
    """The newest jobs first."""
    rows: list[list[str]] = []
    with attached.opened_store(load()) as store:
        before: float | None = None
        while len(rows) < limit and (page := store.page(before=before, limit=200)):
            for job_id, at, fields in page:
                before = at
                row = job_row((job_id, at, fields))
                if status in (None, row.status) and portal in (None, row.portal):
                    said = ", ".join(filter(None, (row.status, words_of(row))))
                    rows.append([job_id, drawing.moment(at), row.portal, row.category.value, said])
    echo_lines(drawing.table(["id", "accepted", "portal", "category", "status"], rows[:limit]))


@jobs.command()
@click.argument("job_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="As /v1/jobs/{id} shows it.")
def show(job_id: str, as_json: bool) -> None:
    """One job: how it stands, and a drawn timeline of what happened."""
    with attached.opened_store(load()) as store:
        raw = store.raw(JobId(job_id))
        events, deliveries = store.events(JobId(job_id)), store.deliveries(JobId(job_id))
        waiting = store.waiting(JobId(job_id))
    try:
        job = read_job(JobId(job_id), raw)
        view = job_view(job, events, deliveries, waiting)
    except Exception:  # from another version, or damaged: as it is stored, without secrets
        echo(f"{job_id} cannot be read by this version; as it is stored:", err=True)
        echo_lines(json.dumps(REDACTOR.any(raw), ensure_ascii=False, indent=1, sort_keys=True).splitlines())
        return
    if as_json:
        echo_lines(view.model_dump_json(indent=1).splitlines())
        return
    failure, lead = view.error, flow.lead(job)
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
@click.option("--link", metavar="TYPE:ID", callback=_entity, help="Where its score belongs, as deal:123.")
def retry(job_id: str, link: Entity | None) -> None:
    """Does now what failed, what is lacking, or what was put off.

    A failed job runs again from where it failed; its portal may have stopped listening. A job that is done
    gets the score, deal or entry that it lacks.
    """
    settings = load()
    with attached.opened_store(settings), contextlib.closing(open_tools(settings)) as tools:
        _, steps = retry_job(tools, JobId(job_id), entity=link)
    echo(f"{job_id}: {', '.join(steps)} at once where the service is up, else with its next start")


@jobs.command()
@click.argument("job_id", metavar="ID")
@click.confirmation_option(prompt="Remove its record, transcript and audio for good?")
def erase(job_id: str) -> None:
    """Removes a job: record, events, paid answers and audio, also from the store's files."""
    settings = load()
    with attached.opened_store(settings) as store, contextlib.closing(open_tools(settings)) as tools:
        store.raw(JobId(job_id))
        erase_job(tools, JobId(job_id))
        settle(store)
    echo(f"{job_id} is erased")


def settle(store: Store, *, seconds: float = 10.0) -> None:
    """Waits a while for the store's file to be written anew, should we be the ones to stop the store."""
    end = time.monotonic() + seconds
    while store.rewriting() and time.monotonic() < end:
        time.sleep(0.05)
