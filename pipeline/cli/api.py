"""`callscribe api`: intake and /v1 alone, for more machines."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType

import click
import uvicorn

from pipeline.cli import parts
from pipeline.cli.terminal import echo
from pipeline.confinement.privileges import give_up
from pipeline.run.garbage import loading
from pipeline.settings.installation import load
from pipeline.web.server import Bounded

GRACEFUL_SECONDS = 5  # requests of portals take milliseconds; nothing else may hold the door open


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@parts.at_port
@click.option("--fd", type=int, hidden=True, help="An open listening socket of the supervisor.")
@click.option("--held", is_flag=True, hidden=True, help="Begins when the supervisor says so on stdin.")
def api(host: str, port: int, fd: int | None, held: bool) -> None:
    """Takes requests; needs a store, and workers somewhere."""
    if held:
        _await_word()
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
    _Server(config).run(sockets=[listener])


def _await_word() -> None:
    """Loads the code, and waits until the supervisor says that the service may start; ends if it may not."""
    give_up()
    with loading():
        import pipeline.web.app  # noqa: F401 (not at the top: wrong settings are told before it is loaded)

    if not os.read(sys.stdin.fileno(), 1):
        sys.exit(0)


class _Server(uvicorn.Server):
    """Looks around once a second, and at once when it is told to leave; uvicorn's looks ten times."""

    async def main_loop(self) -> None:
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        ticks = 0  # of a tenth of a second, as `on_tick` counts
        while not await self.on_tick(ticks):
            ticks += 10
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), 1.0)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if hasattr(self, "_told"):
            self._loop.call_soon_threadsafe(self._told.set)
