"""`callscribe sandbox`: the stand-in portal and AI router, for development."""

from __future__ import annotations

import secrets
import signal
import socket
import sys

import click
import uvicorn

from pipeline.cli import parts
from pipeline.cli.supervise import Child, Leaves
from pipeline.cli.terminal import echo
from pipeline.sandbox.app import KEY, WEBHOOK, create_app


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=8100, show_default=True, type=click.IntRange(0, 65535), help="0: any free.")
@click.option("--public-url", help="How callscribe reaches the sandbox, where that differs.")
@click.option("--fd", type=int, hidden=True, help="An open listening socket of the supervisor.")
def sandbox(host: str, port: int, public_url: str | None, fd: int | None) -> None:
    """A stand-in Bitrix24 portal (files, callbacks, REST) and AI router.

    Its recogniser hears English; its chat is rules and says so in its model's name. Tell it what to send
    by POST /_send, and what to do wrong by POST /_script.
    """
    listener = parts.listen(host, port) if fd is None else socket.socket(fileno=fd)
    address = (public_url or parts.address_of(listener)).rstrip("/")
    if fd is None:
        echo(f"the sandbox listens at {address}; settings for callscribe that fit it:")
        own = f"http://127.0.0.1:{parts.PORT}"
        fitting = settings_for(address) | {
            "CALLSCRIBE_PORTAL_TOKEN": secrets.token_urlsafe(24),
            "CALLSCRIBE_PUBLIC_URL": own,
            "CALLSCRIBE_TRUSTED_HOSTS": ",".join(url.partition("://")[2] for url in (address, own)),
        }
        for name, value in fitting.items():
            echo(f"  {name}={value}")
    config = uvicorn.Config(
        create_app(public_url=address),
        log_config=None,
        access_log=False,
        loop="asyncio",  # uvloop's children and the recogniser's processes do not go together everywhere
        ws="none",
        timeout_graceful_shutdown=2,
    )
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises what it caught once more when it is done
        signal.signal(number, lambda *_: sys.exit(0))
    uvicorn.Server(config).run(sockets=[listener])


def child(listener: socket.socket, *, name: str = "sandbox") -> Child:
    """The sandbox on an open socket."""
    return Child(
        name=name,
        command=(sys.executable, "-m", "pipeline", "sandbox", "--fd", str(listener.fileno())),
        leaves=Leaves.THIRD,
        grace_seconds=5.0,
        pass_fds=(listener.fileno(),),
    )


def settings_for(address: str) -> dict[str, str]:
    """What makes callscribe work for, and with, the sandbox at that address."""
    return {
        "CALLSCRIBE_PORTAL_URL": address,
        "CALLSCRIBE_TRUSTED_HOSTS": address.partition("://")[2],
        "CALLSCRIBE_ROUTER_URL": f"{address}/v1",
        "CALLSCRIBE_ROUTER_KEY": KEY,
        "CALLSCRIBE_CHAT_MODEL": "sandbox-rules",
        "CALLSCRIBE_IMAGE_MODEL": "sandbox-squares",
        "CALLSCRIBE_BITRIX24_WEBHOOK": f"{address}/rest/1/{WEBHOOK}/",
        "CALLSCRIBE_TIMELINE": "vibecode",
    }
