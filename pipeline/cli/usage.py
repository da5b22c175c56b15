"""`callscribe usage`: jobs, paid seconds, tokens and cost per portal, and what the provider itself says."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import click

from pipeline.cli import attached, drawing
from pipeline.cli.terminal import echo, echo_json, echo_lines, json_option
from pipeline.clients.transport import Transport, Unreachable
from pipeline.domain.errors import CallscribeError
from pipeline.settings.installation import Settings, load
from pipeline.settings.portals import Portal, load_portals
from pipeline.settings.prices import Price, read_prices
from pipeline.store import Store

ASK_SECONDS = 10.0
AMOUNTS = ("paid_seconds", "prompt_tokens", "completion_tokens", "images")
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
            used = {portal.id: used_by(store, portal, days) for portal in chosen}
    except attached.NoStore as error:
        echo(f"{error.message}: {error.hint}", err=True)
    rows = [row for portal in chosen for row in rows_of(portal, used.get(portal.id, {}), prices)]
    said = provider_says(settings, chosen, days)
    if as_json:
        echo_json({"days": days, "usage": rows, "providers": said})
        return
    echo_lines(drawing.table(HEAD, map(_cells, rows)))
    echo_lines(said)


def used_by(store: Store, portal: Portal, days: int) -> dict[str, dict[str, float]]:
    """Model -> what -> amount over the last days; "" for what has no model."""
    used: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for day in last_days(days):
        for model, taken in store.usage.by_model(portal.id, day).items():
            for what, amount in taken.items():
                used[model][what] += amount
    return used


def rows_of(
    portal: Portal, used: Mapping[str, Mapping[str, float]], prices: Mapping[str, Price]
) -> list[dict[str, Any]]:
    """A row for each model, the last one for the portal as a whole, with its jobs."""
    whole: dict[str, float] = defaultdict(float)
    rows, cost = list[dict[str, Any]](), 0.0
    for model, taken in sorted(used.items()):
        for what, amount in taken.items():
            whole[what] += amount
        price = prices.get(model) or prices.get("default", Price())
        cost += price.of(taken)
        if taken.get("paid_calls"):
            rows.append(_row(portal, model or "(unnamed)", taken, price.of(taken) if prices else None))
    jobs = whole.get("jobs_done", 0) + whole.get("jobs_failed", 0)
    return [*rows, _row(portal, "all", whole, cost if prices else None, jobs=jobs)]


def _row(
    portal: Portal, model: str, used: Mapping[str, float], cost: float | None, *, jobs: float | None = None
) -> dict[str, Any]:
    amounts = {name: round(used.get(name, 0), 3) for name in AMOUNTS}
    return {"portal": portal.id, "model": model, "jobs": jobs, **amounts, "cost": cost}


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        row["portal"],
        row["model"],
        "-" if row["jobs"] is None else f"{row['jobs']:.0f}",
        *(f"{row[name]:.0f}" for name in AMOUNTS),
        "-" if row["cost"] is None else f"{row['cost']:.2f}",
    ]


def last_days(days: int) -> list[str]:
    """The last `days` days of UTC, today first, as YYYY-MM-DD."""
    today = dt.datetime.now(dt.UTC).date()
    return [str(today - dt.timedelta(days=back)) for back in range(days)]


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
