"""`callscribe engines`: our engines on a real portal, through its incoming webhook."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import click

from pipeline.bitrix24 import engines as logic
from pipeline.bitrix24.rest import Bitrix24
from pipeline.cli import drawing
from pipeline.cli.terminal import echo, echo_json, echo_lines, json_option
from pipeline.clients.transport import Transport
from pipeline.domain.errors import SettingsError
from pipeline.domain.job import Category
from pipeline.settings.installation import Settings, load
from pipeline.settings.portals import Portal, load_portals
from pipeline.steps.served import is_served

CATEGORIES = [category.value for category in Category]


@click.group()
def engines() -> None:
    """Our engines on a portal: register, list, unregister."""


portal_option = click.option("--portal", "portal_id", metavar="P", help="Which portal, where there are many.")


@engines.command()
@portal_option
@click.option("--category", "categories", multiple=True, type=click.Choice(CATEGORIES), help="Only these.")
@click.option("--name", default="Callscribe", show_default=True, help="As people see it on the portal.")
@click.option("--alias", help="The model's alias; the portal assumes ChatGPT.")
@click.option("--context-type", type=click.Choice(["token", "symbol"]), help="How context is counted.")
@click.option("--context-limit", type=click.IntRange(1), help="How much context the model takes.")
def register(
    portal_id: str | None,
    categories: tuple[str, ...],
    name: str,
    alias: str | None,
    context_type: Literal["token", "symbol"] | None,
    context_limit: int | None,
) -> None:
    """Registers one engine per category, or moves it to the present address and token."""
    settings = load()
    portal = load_portals(settings).one(portal_id)
    if not settings.public_url:
        raise SettingsError("CALLSCRIBE_PUBLIC_URL: say how the portal reaches this service")
    if not portal.token:
        raise SettingsError(f"portal {portal.id} has no engine token: see `callscribe portals rotate`")
    chosen = [Category(c) for c in categories] or [c for c in Category if is_served(portal, c, settings)]
    for category in chosen:
        if not is_served(portal, category, settings):
            raise SettingsError(f"{category} is not served: set CALLSCRIBE_IMAGE_MODEL")
    wishes = [
        logic.Wish(
            category=category,
            completions_url=logic.completions_url(settings.public_url, portal.token, category),
            name=name,
            alias=alias,
            context_type=context_type,
            context_limit=context_limit,
        )
        for category in chosen
    ]
    with _rest(settings, portal) as (rest, transport):
        outside = Transport(ca_file=settings.ca_file)
        try:
            for wish in wishes:
                if warning := logic.check(wish.completions_url, outside=outside, inside=transport):
                    echo(f"warning: {warning}", err=True)
                    break  # the same for all
        finally:
            outside.close()
        outcomes = logic.register(rest, wishes, required=bool(categories), sleep=_wait)
        _show(outcomes)
        standing = {engine.category for engine in logic.listing(rest, sleep=_wait)}
    echo()
    echo(logic.REMINDERS["select"])
    if Category.AUDIO in chosen and Category.TEXT not in standing:
        echo(logic.REMINDERS["audio"])
    echo(logic.REMINDERS["auth"])


@engines.command("list")
@portal_option
@click.option(
    "--filter", "filters", multiple=True, nargs=2, metavar="KEY VALUE",
    help="As >=ID 5, CATEGORY audio, %NAME scribe, @CODE a,b.",
)  # fmt: skip
@click.option("--limit", type=click.IntRange(1), help="At most so many.")
@json_option
def list_(
    portal_id: str | None, filters: tuple[tuple[str, str], ...], limit: int | None, as_json: bool
) -> None:
    """The engines that the portal knows of this webhook's owner."""
    wanted: dict[str, Any] = {}
    for key, value in filters:
        try:
            name, meant = logic.read_filter(key, value)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--filter") from None
        wanted[name] = meant
    settings = load()
    with _rest(settings, load_portals(settings).one(portal_id)) as (rest, _):
        found = logic.listing(rest, wanted, limit, sleep=_wait)
    rows = [
        {
            "id": engine.id,
            "code": engine.code,
            "category": engine.category,
            "name": engine.name,
            "address": engine.masked_url,
            "since": _day(engine.created_at),
        }
        for engine in found
    ]
    if as_json:
        echo_json({"engines": rows})
    else:
        echo_lines(drawing.records(rows, ["id", "code", "category", "name", "address", "since"]))


@engines.command()
@portal_option
@click.argument("codes", metavar="[CODE]...", nargs=-1)
def unregister(portal_id: str | None, codes: tuple[str, ...]) -> None:
    """Takes engines back; none named: ours. Jobs in flight lose their engine."""
    settings = load()
    with _rest(settings, load_portals(settings).one(portal_id)) as (rest, _):
        outcomes = logic.unregister(rest, codes, sleep=_wait)
    _show(outcomes)
    if not outcomes:
        echo("none of ours is registered")


def _wait(seconds: float) -> None:
    echo(f"the portal is not ready: trying again in {seconds:.0f} s", err=True)
    time.sleep(seconds)


def _show(outcomes: list[logic.Outcome]) -> None:
    for outcome in outcomes:
        echo(f"{outcome.code}: {outcome.what}" + (f" ({outcome.note})" if outcome.note else ""))


@contextmanager
def _rest(settings: Settings, portal: Portal) -> Iterator[tuple[Bitrix24, Transport]]:
    if not portal.webhook:
        raise SettingsError("CALLSCRIBE_BITRIX24_WEBHOOK: make an incoming webhook with the scope ai_admin")
    transport = Transport.of(settings)
    try:
        yield Bitrix24(portal.webhook, transport=transport), transport
    finally:
        transport.close()


def _day(at: int | None) -> str | None:
    return dt.datetime.fromtimestamp(at, dt.UTC).date().isoformat() if at else None
