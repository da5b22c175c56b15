"""Where settings come from: the environment, then `.env`; and what stands there to no effect."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from pipeline.settings.installation import Settings


def sources() -> dict[str, str]:
    """Variable -> where its value comes from: environment, .env or default; the first wins."""
    environment = {name.upper() for name, value in os.environ.items() if value}
    file = {name.upper() for name, value in dotenv_values(".env").items() if value} if _has_file() else set()
    names = [f"CALLSCRIBE_{name.upper()}" for name in Settings.model_fields]
    return {
        name: "environment" if name in environment else ".env" if name in file else "default"
        for name in names
    }


def mistakes() -> list[str]:
    """A sentence on each variable with our prefix, and each line of `.env`, that has no effect."""
    unread = (f".env: line {number} is not NAME=value, and is not read" for number in _unread())
    return [*_mistyped(), *unread]


def _mistyped() -> list[str]:
    known = {f"CALLSCRIBE_{name.upper()}" for name in Settings.model_fields} | {"CALLSCRIBE_NODE"}
    given = {name.upper() for name in (*os.environ, *(dotenv_values(".env") if _has_file() else ()))}
    found = []
    for name in sorted(name for name in given - known if name.startswith("CALLSCRIBE_")):
        near = difflib.get_close_matches(name, known, 1, 0.8)
        found.append(f"{name}: no such setting" + (f", did you mean {near[0]}?" if near else ""))
    return found


def _unread() -> list[int]:
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
