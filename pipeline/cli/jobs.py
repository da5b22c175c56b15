"""`callscribe jobs`: the operator's view of the job store."""

from __future__ import annotations

import contextlib
import time
from typing import get_args

import click

from pipeline.cli import attached, drawing
from pipeline.cli.terminal import echo
from pipeline.domain.job import JobId
from pipeline.run.operate import erase_job, retry_job
from pipeline.run.views import Status, job_view
from pipeline.settings.installation import load
from pipeline.steps import flow
from pipeline.steps.tools import open_tools
from pipeline.store import Governor


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
                if status in (None, fields["status"]) and portal in (None, fields["portal"]):
                    rows.append(
                        [job_id, drawing.moment(at), fields["portal"], fields["category"], fields["status"]]
                    )
    echo("\n".join(drawing.table(["id", "accepted", "portal", "category", "status"], rows[:limit])))


@jobs.command()
@click.argument("job_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="As /v1/jobs/{id} shows it.")
def show(job_id: str, as_json: bool) -> None:
    """One job: how it stands, and a drawn timeline of what happened."""
    with attached.opened_store(load()) as store:
        job = store.load(JobId(job_id))
        events, deliveries = store.events(job.id), store.deliveries(job.id)
    if as_json:
        echo(job_view(job, events, deliveries).model_dump_json(indent=1))
        return
    failure, lead = flow.failure(job), flow.lead(job)
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
    if failure:
        echo(f"failed   {failure.slug} ({failure.code}) in {failure.step}: {failure.message}")
        if failure.hint:
            echo(f"         {failure.hint}")


@jobs.command()
@click.argument("job_id", metavar="ID")
def retry(job_id: str) -> None:
    """Runs a failed job again from where it failed; its portal may have stopped listening."""
    settings = load()
    with attached.opened_store(settings), contextlib.closing(open_tools(settings)) as tools:
        retry_job(tools, JobId(job_id))
    echo(f"{job_id} runs again where the service is up, else with its next start")


@jobs.command()
@click.argument("job_id", metavar="ID")
@click.confirmation_option(prompt="Remove its record, transcript and audio for good?")
def erase(job_id: str) -> None:
    """Removes a job: record, events, paid answers and audio, also from the store's files."""
    settings = load()
    with attached.opened_store(settings) as store, contextlib.closing(open_tools(settings)) as tools:
        store.load(JobId(job_id))
        erase_job(tools, JobId(job_id))
        settle(store)
    echo(f"{job_id} is erased")


def settle(store: Governor, *, seconds: float = 10.0) -> None:
    """Waits a while for the store's file to be written anew, should we be the ones to stop the store."""
    end = time.monotonic() + seconds
    while store.rewriting() and time.monotonic() < end:
        time.sleep(0.05)
