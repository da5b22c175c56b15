"""The commands. Exit codes: 0 done, 1 the work failed, 2 wrong usage or settings, 3 could not start."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from pipeline.domain.errors import BadRequest, CallscribeError, SettingsError, StoreUnavailable
from pipeline.run.garbage import loading

# Each with the first sentence of its help, so that the list of all can be shown without importing any: some
# bring Celery or an HTTP client. A command's module has its name.
COMMANDS = {
    "demo": "Starts everything, sends calls as Bitrix24 would, and shows what becomes of them.",
    "up": "The whole service on this machine in one command.",
    "api": "Takes requests; needs a store, and workers somewhere.",
    "worker": "Runs the steps of jobs: media in processes, upstream in threads.",
    "sandbox": "A stand-in Bitrix24 portal (files, callbacks, REST) and AI router.",
    "whisper": "A real Whisper on this machine, behind OpenAI's API: /v1/audio/transcriptions.",
    "replay": "Sends engine requests of fixtures/requests, by name or path; none: all of them.",
    "engines": "Our engines on a portal: register, list, unregister.",
    "transcribe": "Transcribes local FILEs, `-` is the standard input; a progress bar goes to stderr.",
    "jobs": "The operator's view of the job store.",
    "calls": "The archive of calls: found, shown, exported, rebuilt, erased.",
    "doctor": "Checks store, disk, media libraries, providers, portals and addresses; exit 1 when one fails.",
    "usage": "What each portal has used, by the days of UTC; the cost by CALLSCRIBE_PRICES_FILE.",
    "golden": "How far a chat model agrees with the golden set of calls.",
    "backup": "Copies store, archive, audio and key into FOLDER while the service runs, and checks it.",
    "portals": "The portals in force: `callscribe portals` lists them.",
    "config": "The settings in force with their source, secrets masked.",
}


class CannotStart(CallscribeError):
    """A part of the service could not be started."""

    slug = "cannot_start"
    hint = ""


class CannotListen(CannotStart):
    """Requests cannot be heard there."""

    hint = "End what listens there, or choose another --port."


class WorkFailed(CallscribeError):
    """What the command was asked for did not come out."""

    slug = "work_failed"
    hint = ""


class Commands(click.Group):
    """A group whose commands are found by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = f"{__name__}.{cmd_name}"
        with loading() if name not in sys.modules else contextlib.nullcontext():
            module = importlib.import_module(name)
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)
        ]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = formatter.width - 6 - max(map(len, COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, click.Command(name, help=text).get_short_help_str(width))
                    for name, text in COMMANDS.items()
                ]
            )


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="callscribe", prog_name="callscribe")
def callscribe() -> None:
    """The AI engine that Bitrix24 portals plug in for call recordings."""
    from pipeline.telemetry.logs import configure

    configure("text", level=logging.ERROR)  # commands speak for themselves; processes set up their own


def exit_code(error: CallscribeError) -> int:
    """2 wrong usage or settings, 3 could not start, 1 all else."""
    if isinstance(error, SettingsError | BadRequest):
        return 2
    if isinstance(error, CannotStart | StoreUnavailable):
        return 3
    return 1


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Runs one command and exits with its code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who has started us: `callscribe config >&-`
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 (for as long as we run)
    try:
        code = callscribe.main(args=args, prog_name="callscribe", standalone_mode=False)
    except click.ClickException as error:
        with contextlib.suppress(OSError):  # nobody reads it
            error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _tell("callscribe: interrupted")
        code = 130
    except CallscribeError as error:
        if not _told_machines(error):
            _tell(f"callscribe: {error.message}")
            if error.hint and not isinstance(error, BadRequest):  # its hint is meant for who sent a request
                _tell(f"  {error.hint}")
            unknown = isinstance(error, CannotStart) and not error.hint
            if (unknown or isinstance(error, StoreUnavailable)) and _command(args) != "doctor":
                _tell("  `callscribe doctor` checks every part.")
        code = exit_code(error)
    except OSError as error:
        code = _unwritten(error)
    sys.exit(code if isinstance(code, int) else 0)


def _tell(text: str) -> None:
    from pipeline.cli.terminal import echo

    echo(text, err=True)


def _told_machines(error: CallscribeError) -> bool:
    """A process of the service that has begun ends with a line of its log, where machines read that."""
    import structlog

    from pipeline.telemetry.logs import tells_machines

    if tells_machines():
        structlog.get_logger().critical("process_ended", error=error.slug, why=error.message, hint=error.hint)
        return True
    return False


def _command(args: Sequence[str] | None) -> str:
    given = sys.argv[1:] if args is None else args
    return next((word for word in given if not word.startswith("-")), "")


def _unwritten(error: OSError) -> int:
    """What became of an error of the system, in a sentence; of a reader that has left (`| head`) nothing."""
    if not isinstance(error, BrokenPipeError):
        where = f": {error.filename}" if error.filename else ""
        _tell(f"callscribe: {error.strerror or type(error).__name__}{where}")
    with contextlib.suppress(OSError, ValueError):  # what is still in the buffer would fail again at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
