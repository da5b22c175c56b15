"""Writes what documents the settings from the settings themselves: `make docs`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from pipeline.settings.installation import Settings
from pipeline.settings.options import SERVERS, PortalOptions, in_file

INTRODUCTION = """\
# Settings

Environment variables or `.env`, each with the prefix `CALLSCRIBE_`; `callscribe config` shows what is in
force and where it comes from. This page, [.env.example](../.env.example) and
[portals.example.toml](portals.example.toml) are made from the code: `make docs`.

## Of all portals, or of one

Set here they hold for every portal; a portal of `PORTALS_FILE` may have its own, by the same name or by that
in the second column (`a.b`: `b` in the table `[PORTAL.a]`). The first three are one portal's alone, and a
webhook is used for the portal on whose host it is.

"""
ROOT = Path(__file__).parent.parent
PAGES = ("docs/settings.md", ".env.example", "docs/portals.example.toml")
INSTALLATION = {
    name: field for name, field in Settings.model_fields.items() if name not in PortalOptions.model_fields
}


def page(name: str) -> str:
    """One of PAGES as it has to stand."""
    return {
        "docs/settings.md": settings_page,
        ".env.example": env_example,
        "docs/portals.example.toml": portals_example,
    }[name]()


def settings_page() -> str:
    """All settings as Markdown."""
    return "\n".join(
        [
            *INTRODUCTION.splitlines(),
            "| name | in `PORTALS_FILE` | default | meaning |",
            "|---|---|---|---|",
            *(
                f"| `{name.upper()}` | `{in_file(name)}` | {_default(field)} | {_meaning(field)} |"
                for name, field in PortalOptions.model_fields.items()
            ),
            "",
            "## Of the installation",
            "",
            "| name | default | meaning |",
            "|---|---|---|",
            *(
                f"| `{name.upper()}` | {_default(field)} | {_meaning(field)} |"
                for name, field in INSTALLATION.items()
            ),
            "",
        ]
    )


def env_example() -> str:
    """Every variable with an example, or else its default, none of them set."""
    lines = [
        "# Copy to .env and take the `#` off what you set; `callscribe config` shows what is in force.",
        "# This file is made from the code: `make docs`.",
    ]
    for title, fields in (
        ("Of all portals, or of one in CALLSCRIBE_PORTALS_FILE", PortalOptions.model_fields),
        ("Of the installation", INSTALLATION),
    ):
        lines += ["", f"# -- {title}", ""]
        for name, field in fields.items():
            value = _example(field)
            text = (
                ",".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
            )
            shown = text.lower() if isinstance(value, bool) else text
            lines += [f"# {field.description}", f"#CALLSCRIBE_{name.upper()}={shown}"]
    return "\n".join(lines) + "\n"


def portals_example() -> str:
    """A file of two portals: one with every key, one with few."""
    lines = [
        "# Many portals: set CALLSCRIBE_PORTALS_FILE to a copy of this file. It is read again when it",
        "# changes; a file that has become wrong is reported in the log and changes nothing. What a portal",
        "# leaves out comes from the settings. This file is made from the code: `make docs`.",
        "",
        "[acme] # the portal's id, as logs, jobs and usage name it: letters, digits, _ . -",
    ]
    tables: dict[str, list[str]] = {server: [] for server in SERVERS}
    for name, field in PortalOptions.model_fields.items():
        table, dot, option = in_file(name).partition(".")
        line = f"{option if dot else table} = {_toml(_example(field))} # {field.description}"
        (tables[table] if dot else lines).append(line)
    for server, options in tables.items():
        lines += ["", f"[acme.{server}]", *options]
    return "\n".join(
        [
            *lines,
            "",
            "[romashka]",
            'url = "https://romashka.bitrix24.ru"',
            'tokens = ["another-32-random-characters-here"]',
            'language = "ru"',
            'speech_language = "ru"',
            'channels = ["client", "manager"]',
            "",
        ]
    )


def _example(field: FieldInfo) -> Any:
    return field.examples[0] if field.examples else field.default


def _default(field: FieldInfo) -> str:
    default = field.default
    if default is None or default == ():
        return "unset"
    if isinstance(default, tuple):
        return f"`{','.join(default)}`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _meaning(field: FieldInfo) -> str:
    return (field.description or "").replace("|", "\\|")


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(value.get_secret_value() if isinstance(value, SecretStr) else str(value))


if __name__ == "__main__":
    for name in PAGES:
        (ROOT / name).write_text(page(name), encoding="utf-8")
