"""`callscribe config`: the settings in force."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import click
from pydantic import SecretStr

from pipeline.cli.terminal import echo
from pipeline.settings.environment import mistakes, sources
from pipeline.settings.installation import Settings, load
from pipeline.steps.tools import checked_portals


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also what is at its default.")
def config(everything: bool) -> None:
    """The settings in force with their source, secrets masked."""
    settings = load()
    checked_portals(settings)
    rows = [
        (name, shown(getattr(settings, name.removeprefix("CALLSCRIBE_").lower())), source)
        for name, source in sources().items()
        if everything or source != "default"
    ]
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, value, source in rows:
        echo(f"{name:<{width}}  {value}  ({source})")
    for mistake in mistakes():
        echo(mistake, err=True)
    if not everything:
        echo(f"{len(Settings.model_fields) - len(rows)} settings are at their defaults (--all)")


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
