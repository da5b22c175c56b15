"""`callscribe up`: the whole service on this machine."""

from __future__ import annotations

import click

from pipeline.cli import parts
from pipeline.cli.supervise import Supervisor
from pipeline.run.garbage import loading


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the api listens.")
@parts.at_port
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Processes of the api behind one socket.",
)
def up(host: str, port: int, workers: int) -> None:
    """The whole service on this machine in one command.

    Supervises the api, the workers and, when CALLSCRIBE_REDIS_URL is unset, a store of its own. SIGTERM
    drains and exits 0.
    """
    with parts.unbound(host, port) as listener:
        supervisor = Supervisor(parts.api(listener, workers))
        try:
            supervisor.prepare()
            with loading():
                from pipeline.cli.service import serve  # the api loads its code at the same time

            serve(supervisor, listener, host, port)
        finally:
            supervisor.kill()
