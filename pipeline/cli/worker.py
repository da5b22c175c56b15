"""`callscribe worker`: the workers alone, for more machines."""

from __future__ import annotations

import os

import click
import structlog

from pipeline.cli import attached, parts
from pipeline.cli.supervise import Leaving, Supervisor
from pipeline.run import systemd
from pipeline.settings.installation import load

log = structlog.get_logger()


def _queues(ctx: click.Context, param: click.Parameter, value: str) -> list[str]:
    chosen = [queue.strip() for queue in value.split(",") if queue.strip()]
    if unknown := set(chosen) - set(parts.WORKERS):
        raise click.BadParameter(f"no such queue: {', '.join(sorted(unknown))}")
    if not chosen:
        raise click.BadParameter(f"name one of {', '.join(parts.WORKERS)}")
    return list(dict.fromkeys(chosen))


@click.command()
@click.option("--queue", default="media,upstream", show_default=True, callback=_queues, help="Which work.")
def worker(queue: list[str]) -> None:
    """Runs the steps of jobs: media in processes, upstream in threads.

    One queue becomes Celery itself; two are supervised, since each needs its own kind of pool.
    """
    settings = load()
    parts.begin(settings, parts.checked(settings))
    if len(queue) == 1 and not systemd.listens():  # which hears of a supervisor that it lives
        command = parts.worker_command(settings, queue[0])
        os.execv(command[0], command)  # noqa: S606 (our own interpreter)
    leave = Leaving()
    supervisor = Supervisor(
        parts.workers(settings, queue),
        lost=attached.free_leases(settings),
        say=lambda line: log.warning("supervisor", says=line),
    )
    try:
        supervisor.start()
        systemd.tell("READY=1")
        while not leave.rest(supervisor.patience()):
            supervisor.tend()
            systemd.alive()
        systemd.tell("STOPPING=1")
        supervisor.stop()
    finally:
        supervisor.kill()
