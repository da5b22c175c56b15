"""`callscribe config`: the settings in force."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import SecretStr

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
        click.echo(f"{name:<{width}}  {value}  ({source})")
    for name in unknown():
        click.echo(f"{name}: no such setting, is it mistyped?", err=True)
    for number in unread():
        click.echo(f".env: line {number} is not NAME=value, and is not read", err=True)
    if not everything:
        click.echo(f"{len(Settings.model_fields) - len(rows)} settings are at their defaults (--all)")


def sources() -> dict[str, str]:
    """Variable -> where its value comes from: environment, .env or default; the first wins."""
    environment = {name.upper() for name, value in os.environ.items() if value}
    file = {name.upper() for name, value in dotenv_values(".env").items() if value} if _has_file() else set()
    names = [f"CALLSCRIBE_{name.upper()}" for name in Settings.model_fields]
    return {
        name: "environment" if name in environment else ".env" if name in file else "default"
        for name in names
    }


def unknown() -> list[str]:
    """Variables with our prefix that no setting reads."""
    known = {f"CALLSCRIBE_{name.upper()}" for name in Settings.model_fields} | {"CALLSCRIBE_NODE"}
    given = {name.upper() for name in (*os.environ, *(dotenv_values(".env") if _has_file() else ()))}
    return sorted(name for name in given - known if name.startswith("CALLSCRIBE_"))


def unread() -> list[int]:
    """Numbers of the lines of `.env` that set nothing."""
    if not _has_file():
        return []
    with Path(".env").open(encoding="utf-8") as file:
        lines = [line for line in parse_stream(file) if line.error or (line.key and line.value is None)]
    found = []
    for line in lines:
        text = line.original.string
        blank = text[: len(text) - len(text.lstrip())]  # lines before it that the parser counts to it
        found.append(line.original.line + blank.count("\n"))
    return found


def _has_file() -> bool:
    return Path(".env").is_file()


def shown(value: Any) -> str:
    """A setting's value for people; of a secret only that it is set, of a URL nothing after its path."""
    if value is None:
        return "-"
    if isinstance(value, SecretStr):
        return f"set, {len(value.get_secret_value())} characters"
    if isinstance(value, tuple):
        return ",".join(value) or "-"
    text = str(value)
    parts = urlsplit(text)
    if parts.scheme and parts.netloc and (parts.query or parts.username):
        return f"{parts.scheme}://{parts.hostname}{parts.path} (masked)"
    return text
