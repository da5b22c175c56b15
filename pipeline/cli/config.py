"""`callscribe config`: the settings in force."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import click
from pydantic import SecretStr

from pipeline.cli.terminal import echo, echo_json, json_option
from pipeline.settings.environment import mistakes, sources
from pipeline.settings.installation import Settings, load
from pipeline.steps.tools import checked_portals


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also what is at its default.")
@click.option("--explain", is_flag=True, help="Every setting with what it means; none is read.")
@json_option
def config(everything: bool, explain: bool, as_json: bool) -> None:
    """The settings in force with their source, secrets masked."""
    if explain:
        explained(as_json)
        return
    settings = load()
    checked_portals(settings)
    rows = [
        (name, shown(getattr(settings, name.removeprefix("CALLSCRIBE_").lower())), source)
        for name, source in sources().items()
        if everything or source != "default"
    ]
    for mistake in mistakes():
        echo(mistake, err=True)
    if as_json:
        echo_json({"settings": [dict(zip(("name", "value", "source"), row, strict=True)) for row in rows]})
        return
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, value, source in rows:
        echo(f"{name:<{width}}  {value}  ({source})")
    if not everything:
        echo(f"{len(Settings.model_fields) - len(rows)} settings are at their defaults (--all)")


def explained(as_json: bool) -> None:
    """What each setting means, and how it may look."""
    rows = []
    for name, field in Settings.model_fields.items():
        example = field.examples[0] if field.examples else field.get_default(call_default_factory=True)
        means = f"{field.description} (default {shown(field.default)})"
        rows.append({"name": f"CALLSCRIBE_{name.upper()}", "means": means, "example": shown(example)})
    if as_json:
        echo_json({"settings": rows})
        return
    for row in rows:
        echo(f"{row['name']}={row['example']}")
        echo(f"    {row['means']}")


def shown(value: Any) -> str:
    """A setting's value for people; of a secret only that it is set, of a URL nothing after its path."""
    if value is None:
        return "-"
    if isinstance(value, SecretStr):
        return f"set, {len(value.get_secret_value())} characters"
    if isinstance(value, tuple):
        return ",".join(shown(each) for each in value) or "-"
    text = str(value)
    parts = urlsplit(text)
    if parts.scheme and parts.netloc and (parts.query or parts.username):
        return f"{parts.scheme}://{parts.hostname}{parts.path} (masked)"
    return text
