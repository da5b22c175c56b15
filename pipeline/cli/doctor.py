"""`callscribe doctor`: every part that calls depend on, one line each with what to do."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NoReturn

import click

from pipeline.bitrix24.checks import Check
from pipeline.cli import WorkFailed, attached, drawing
from pipeline.cli.store_checks import store_checks
from pipeline.cli.terminal import echo, echo_json, json_option
from pipeline.clients.transport import Transport
from pipeline.health.checks import other_checks
from pipeline.settings.installation import Settings, load
from pipeline.settings.portals import Portal
from pipeline.steps.tools import checked_portals

MARKS = {"ok": click.style("ok  ", fg="green"), "failed": click.style("FAIL", fg="red"), "unknown": "?   "}


@click.command()
@click.option("--watch", is_flag=False, flag_value=10.0, default=None, metavar="[SECONDS]",
              type=click.FloatRange(min=2), help="Again every 10 seconds, until Ctrl-C.")  # fmt: skip
@json_option
def doctor(watch: float | None, as_json: bool) -> None:
    """Checks store, disk, media libraries, providers, portals and addresses; exit 1 when one fails.

    What could not be checked has a `?`. With --watch on a terminal the page is drawn anew; elsewhere, after
    the first round, only what has changed is told, with its time.
    """
    settings = load()
    portals = list(checked_portals(settings).values())
    with contextlib.closing(Transport.of(settings)) as inside:
        if watch is not None:
            if as_json:
                raise click.UsageError("--watch and --json do not go together")
            _watch(settings, portals, inside, seconds=watch)
        found = []
        for check in checks(settings, portals, inside):
            found.append(check)
            if not as_json:
                _tell(check)
        if as_json:
            echo_json({"checks": [vars(check) for check in found]})
    if failed := sum(check.state == "failed" for check in found):
        raise WorkFailed(f"{failed} {'checks' if failed > 1 else 'check'} failed")


def _watch(settings: Settings, portals: Sequence[Portal], inside: Transport, *, seconds: float) -> NoReturn:
    known: set[Check] = set()
    while True:
        found = list(checks(settings, portals, inside))
        at = drawing.moment(time.time())
        if sys.stdout.isatty():
            click.clear()
            echo(f"{at}, every {seconds:g} s, Ctrl-C ends it", bold=True)
            known.clear()
        for check in found:
            if check not in known:
                _tell(check, at="" if sys.stdout.isatty() else f"{at} ")
        known = set(found)
        time.sleep(seconds)


def _tell(check: Check, *, at: str = "") -> None:
    echo(f"  {at}{check.name}: {check.says}", mark=MARKS[check.state])
    if check.hint:
        echo(f"      -> {check.hint}")


def checks(settings: Settings, portals: Sequence[Portal], inside: Transport) -> Iterator[Check]:
    """All checks, in the order of a call's way; none raises."""
    yield from store_checks(settings, portals)
    yield from other_checks(settings, portals, inside, partial(attached.opened_store, settings))
