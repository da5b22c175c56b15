"""The commands. Exit codes: 0 done, 1 the work failed, 2 wrong usage or settings, 3 could not start."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from pipeline.cli.terminal import echo
from pipeline.domain.errors import BadRequest, CallscribeError, SettingsError, StoreUnavailable
from pipeline.telemetry.logs import configure

# name -> module; each is imported only when it is asked for, since some bring Celery or an HTTP client
COMMANDS = {
    "demo": "demo",
    "up": "up",
    "api": "api",
    "worker": "worker",
    "sandbox": "sandbox",
    "whisper": "whisper",
    "replay": "replay",
    "engines": "engines",
    "transcribe": "transcribe",
    "jobs": "jobs",
    "doctor": "doctor",
    "usage": "usage",
    "golden": "golden",
    "portals": "portals",
    "config": "config",
}


class CannotStart(CallscribeError):
    """A part of the service could not be started."""

    slug = "cannot_start"
    hint = "`callscribe doctor` checks every part; lines above, where there are any, say more."


class WorkFailed(CallscribeError):
    """What the command was asked for did not come out."""

    slug = "work_failed"
    hint = ""


class Commands(click.Group):
    """A group whose commands are found by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, module in COMMANDS.items() if importlib.util.find_spec(f"{__name__}.{module}")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{__name__}.{COMMANDS[cmd_name]}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="callscribe", prog_name="callscribe")
def callscribe() -> None:
    """The AI engine that Bitrix24 portals plug in for call recordings."""


def exit_code(error: CallscribeError) -> int:
    """2 wrong usage or settings, 3 could not start, 1 all else."""
    if isinstance(error, SettingsError | BadRequest):
        return 2
    if isinstance(error, CannotStart | StoreUnavailable):
        return 3
    return 1


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Runs one command and exits with its code."""
    configure("text", level=logging.ERROR)  # commands speak for themselves; processes set up their own
    try:
        code = callscribe.main(args=args, prog_name="callscribe", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        echo("callscribe: interrupted", err=True)
        code = 130
    except CallscribeError as error:
        echo(f"callscribe: {error.message}", err=True)
        if error.hint and not isinstance(error, BadRequest):  # its hint is meant for who sent a request
            echo(f"  {error.hint}", err=True)
        code = exit_code(error)
    except BrokenPipeError:  # the reader of our output has left: `callscribe jobs list | head`
        sys.stderr.close()
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
