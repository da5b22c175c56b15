"""`callscribe portals`: the portals in force, and new engine tokens beside the old."""

from __future__ import annotations

import secrets

import click

from pipeline.cli import drawing
from pipeline.cli.terminal import echo_json, echo_lines, json_option
from pipeline.settings.installation import Settings, load
from pipeline.settings.portals import load_portals


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def portals(ctx: click.Context, as_json: bool) -> None:
    """The portals in force: `callscribe portals` lists them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, as_json=as_json)


@portals.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Each portal: its address, how many tokens it has, where its scores go."""
    rows = [
        {
            "portal": portal.id,
            "address": portal.url,
            "tokens": len(portal.tokens),
            "language": portal.language,
            "timeline": portal.timeline,
        }
        for portal in load_portals(load()).values()
    ]
    if as_json:
        echo_json({"portals": rows})
    else:
        echo_lines(drawing.records(rows, ["portal", "address", "tokens", "language", "timeline"]))


@portals.command()
@click.argument("portal_id", metavar="[PORTAL]", required=False)
def rotate(portal_id: str | None) -> None:
    """Makes a new engine token and says how to bring it in beside the old.

    Settings are the operator's to write: nothing is changed here. While both stand, requests to the old
    address and to the new one are served.
    """
    settings = load()
    portal = load_portals(settings).one(portal_id)
    echo_lines(advice(settings, portal.id, secrets.token_urlsafe(24)))


def advice(settings: Settings, portal_id: str, token: str) -> list[str]:
    """What the operator does, in order, for the new token to take the old one's place."""
    if settings.portals_file:
        first = [
            f"1. In {settings.portals_file}, put it first in the tokens of {portal_id}; it is taken over",
            f'   without a restart:  tokens = ["{token}", ... the old one ...]',
        ]
    else:
        has_one = bool(settings.portal_token)
        first = [
            "1. Put it first in the list and start the service again:",
            f"   CALLSCRIBE_PORTAL_TOKEN={token}" + (",<the old one>" if has_one else ""),
        ]
    return [
        *first,
        "2. callscribe engines register   (moves our engines to the new address)",
        "3. After the portal's longest ttl, a day at most, take the old token out.",
    ]
