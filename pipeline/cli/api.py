"""`callscribe api`: intake and /v1 alone, for more machines."""

from __future__ import annotations

import signal
import socket
import sys

import click
import uvicorn

from pipeline.cli import parts
from pipeline.cli.terminal import echo
from pipeline.confinement.privileges import give_up
from pipeline.settings.installation import load
from pipeline.web.server import Bounded

GRACEFUL_SECONDS = 5  # requests of portals take milliseconds; nothing else may hold the door open


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@parts.at_port
@click.option("--fd", type=int, hidden=True, help="An open listening socket of the supervisor.")
def api(host: str, port: int, fd: int | None) -> None:
    """Takes requests; needs a store, and workers somewhere."""
    settings = load()
    parts.begin(settings, parts.checked(settings))  # wrong settings end here, with a sentence
    listener = parts.listen(host, port) if fd is None else socket.socket(fileno=fd)
    give_up()
    config = uvicorn.Config(
        "pipeline.web.app:create_app",
        factory=True,
        http=Bounded,
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # CALLSCRIBE_TRUSTED_PROXIES says whose count, see pipeline/web/app.py
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )
    if fd is None:
        echo(f"the api listens at {parts.address_of(listener)}")
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises what it caught once more when it is done
        signal.signal(number, lambda *_: sys.exit(0))
    uvicorn.Server(config).run(sockets=[listener])
