"""`callscribe usage`: jobs, paid seconds, tokens and cost per portal, and what the provider itself says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from pipeline.cli import attached, drawing
from pipeline.cli.terminal import echo, echo_json, echo_lines, json_option
from pipeline.clients.transport import Transport, Unreachable
from pipeline.domain.errors import CallscribeError
from pipeline.run.spending import AMOUNTS, added, rows_of, used_on
from pipeline.settings.installation import Settings, load
from pipeline.settings.portals import Portal, load_portals
from pipeline.settings.prices import read_prices

ASK_SECONDS = 10.0
HEAD = ["portal", "model", "jobs", "paid seconds", "prompt tokens", "answer tokens", "images", "cost"]


@click.command()
@click.option("--days", default=7, show_default=True, type=click.IntRange(1, 400), help="Today and before.")
@click.option("--portal", "only", help="Only this portal.")
@json_option
def usage(days: int, only: str | None, as_json: bool) -> None:
    """What each portal has used, by the days of UTC; the cost by CALLSCRIBE_PRICES_FILE."""
    settings = load()
    prices = read_prices(settings.prices_file) if settings.prices_file else {}
    portals = load_portals(settings)
    chosen = [portals.one(only)] if only else list(portals.values())
    used: dict[str, Mapping[str, Mapping[str, float]]] = {}
    try:
        with attached.opened_store(settings) as store:
            used = {portal.id: added(used_on(store, portal, days)) for portal in chosen}
    except attached.NoStore as error:
        echo(f"{error.message}: {error.hint}", err=True)
    rows = [row for portal in chosen for row in rows_of(portal, used.get(portal.id, {}), prices)]
    said = provider_says(settings, chosen, days)
    if as_json:
        echo_json({"days": days, "usage": rows, "providers": said})
        return
    echo_lines(drawing.table(HEAD, map(_cells, rows)))
    echo_lines(said)


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        row["portal"],
        row["model"],
        "-" if row["jobs"] is None else f"{row['jobs']:.0f}",
        *(f"{row[name]:.0f}" for name in AMOUNTS),
        "-" if row["cost"] is None else f"{row['cost']:.2f}",
    ]


def provider_says(settings: Settings, portals: list[Portal], days: int) -> list[str]:
    """The provider's own GET /ai/usage, one line per address and key; silent where there is none."""
    lines = []
    transport = Transport.of(settings)
    try:
        for url, key in {(p.transcription.url, p.transcription.key) for p in portals if p.transcription.key}:
            try:
                answer = transport.request(
                    "GET",
                    f"{url}/ai/usage?days={days}",
                    headers={"Authorization": f"Bearer {key}"},
                    timeout_seconds=ASK_SECONDS,
                    operator=True,
                )
                if answer.status == 200:
                    said = answer.json()
                    data = said.get("data", said) if isinstance(said, dict) else {}
                    facts = [f"{name} {value}" for name, value in data.items() if not isinstance(value, dict)]
                    lines.append(f"{url} says: " + ", ".join(facts))
                elif answer.status != 404:
                    lines.append(f"{url}/ai/usage answers {answer.status}")
            except (Unreachable, CallscribeError) as error:
                lines.append(f"{url} is not asked: {error}")
    finally:
        transport.close()
    return lines
