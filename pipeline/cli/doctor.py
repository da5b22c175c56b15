"""`callscribe doctor`: every part that calls depend on, one line each with what to do."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import NoReturn

import click

from pipeline.bitrix24 import engines
from pipeline.bitrix24.checks import Check, arrival_checks
from pipeline.bitrix24.rest import Bitrix24
from pipeline.cli import WorkFailed, drawing
from pipeline.cli.machine import machine_checks
from pipeline.cli.providers import provider_checks
from pipeline.cli.terminal import echo, echo_json, json_option
from pipeline.clients.transport import Transport
from pipeline.domain.errors import CallscribeError, SettingsError
from pipeline.domain.job import Category
from pipeline.settings.environment import mistakes
from pipeline.settings.installation import Settings, load
from pipeline.settings.portals import Portal
from pipeline.steps.pictures import is_served
from pipeline.steps.tools import checked_portals

MARKS = {"ok": click.style("ok  ", fg="green"), "failed": click.style("FAIL", fg="red"), "unknown": "?   "}
ASK_SECONDS = 10.0


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
    for mistake in mistakes():
        hint = "`callscribe config --explain` names all of them."
        yield Check(name="settings", state="failed", says=mistake, hint=hint)
    yield from machine_checks(settings, portals)
    yield from provider_checks(settings, portals, inside)
    for portal in portals:
        yield from _portal(settings, portal, inside)


def _portal(settings: Settings, portal: Portal, inside: Transport) -> Iterator[Check]:
    yield _callbacks(portal, inside)
    if portal.token is None:
        yield Check(
            name=f"{portal.id}: engine token",
            state="failed",
            says="is not set",
            hint="Set CALLSCRIBE_PORTAL_TOKEN; `callscribe portals rotate` makes one.",
        )
    urls = _urls(settings, portal)
    if urls:
        yield _address(settings, portal, urls[Category.AUDIO], inside)
    elif portal.token:
        yield Check(
            name=f"{portal.id}: our address",
            state="failed",
            says="is not set",
            hint="Set CALLSCRIBE_PUBLIC_URL to how the portal reaches this service.",
        )
    if portal.webhook is None:
        needs = "engines are registered by hand and scores are not linked to deals"
        if portal.timeline == "bitrix24":
            yield Check(
                name=f"{portal.id}: webhook",
                state="failed",
                says="is not set, and CALLSCRIBE_TIMELINE=bitrix24 cannot write without it",
                hint="Set CALLSCRIBE_BITRIX24_WEBHOOK, or the portal's `webhook` in the file of portals.",
            )
            return
        yield Check(name=f"{portal.id}: webhook", state="unknown", says=f"is not set: {needs}")
        return
    try:
        rest = Bitrix24(portal.webhook, transport=inside)
    except SettingsError as error:
        yield Check(name=f"{portal.id}: webhook", state="failed", says=error.message, hint=error.hint)
        return
    for check in arrival_checks(rest, urls):
        yield Check(name=f"{portal.id}: {check.name}", state=check.state, says=check.says, hint=check.hint)


def _urls(settings: Settings, portal: Portal) -> dict[Category, str]:
    if not settings.public_url or not portal.token:
        return {}
    return {
        category: engines.completions_url(settings.public_url, portal.token, category)
        for category in Category
        if is_served(portal, category, settings)
    }


def _address(settings: Settings, portal: Portal, url: str, inside: Transport) -> Check:
    name = f"{portal.id}: our address"
    with contextlib.closing(Transport(ca_file=settings.ca_file)) as outside:
        try:
            warning = engines.check(url, outside=outside, inside=inside)
        except CallscribeError as error:
            return Check(name=name, state="failed", says=error.message, hint=error.hint)
    if warning:
        return Check(name=name, state="unknown", says=warning)
    says = f"{settings.public_url} answers this machine as portals want; the portal asks it once more itself"
    return Check(name=name, state="ok", says=says)


def _callbacks(portal: Portal, inside: Transport) -> Check:
    """Whether an outcome could be sent there: by the same guard, and with any answer of any status."""
    name = f"{portal.id}: address"
    if portal.url is None:
        hint = "Set CALLSCRIBE_PORTAL_URL, or the portal's `url` in the file of portals."
        return Check(name=name, state="failed", says="is not set, so its callbacks are refused", hint=hint)
    try:
        answer = inside.request("HEAD", portal.url, timeout_seconds=ASK_SECONDS, same_host=portal.url)
    except CallscribeError as error:
        says = f"{portal.url} cannot take callbacks from here: {error.message}"
        return Check(name=name, state="failed", says=says, hint=error.hint)
    return Check(name=name, state="ok", says=f"{portal.url} can be reached, and answers {answer.status}")
