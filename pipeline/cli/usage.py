"""`callscribe usage`: jobs, paid seconds, tokens and cost per portal, and what the provider itself says."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import click

from pipeline.cli import attached, drawing
from pipeline.clients.transport import Transport, Unreachable
from pipeline.errors import CallscribeError
from pipeline.portals import Portal, load_portals
from pipeline.settings import Settings, load

ASK_SECONDS = 10.0


@click.command()
@click.option("--days", default=7, show_default=True, type=click.IntRange(1, 400), help="Today and before.")
@click.option("--portal", "only", help="Only this portal.")
@click.option(
    "--price-per-minute", type=float, default=0.0, help="Of recognition, to work out the cost; any currency."
)
@click.option("--price-per-million-tokens", type=float, default=0.0, help="Of chat, prompt and answer alike.")
def usage(days: int, only: str | None, price_per_minute: float, price_per_million_tokens: float) -> None:
    """What each portal has used, by the days of UTC."""
    settings = load()
    portals = load_portals(settings)
    if only is not None and only not in portals:
        raise click.BadParameter(f"no such portal: {only}", param_hint="--portal")
    chosen = [portal for portal in portals.values() if only in (None, portal.id)]
    rows = []
    with attached.opened_store(settings) as store:
        for portal in chosen:
            used: Counter[str] = Counter()
            for day in last_days(days):
                used.update(store.usage(portal.id, day))
            tokens = used["prompt_tokens"] + used["completion_tokens"]
            paid = used["paid_seconds"]
            cost = paid / 60 * price_per_minute + tokens / 1e6 * price_per_million_tokens
            rows.append(
                [
                    portal.id,
                    f"{used['jobs_done'] + used['jobs_failed']:.0f}",
                    f"{paid:.0f}",
                    f"{used['prompt_tokens']:.0f}",
                    f"{used['completion_tokens']:.0f}",
                    f"{cost:.2f}" if price_per_minute or price_per_million_tokens else "-",
                ]
            )
    head = ["portal", "jobs", "paid seconds", "prompt tokens", "answer tokens", "cost"]
    click.echo("\n".join(drawing.table(head, rows)))
    for line in provider_says(settings, chosen, days):
        click.echo(line)


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
