"""Prints docs/settings.md from the settings themselves: `python docs/generate.py > docs/settings.md`."""

from __future__ import annotations

from pipeline.settings.installation import Settings


def settings_page() -> str:
    """The page as Markdown."""
    lines = [
        "# Settings",
        "",
        "Environment variables or `.env`, each with the prefix `CALLSCRIBE_`. This page is made by",
        "`docs/generate.py`; `callscribe config` shows what is in force and where it comes from.",
        "",
        "| name | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = field.default
        if default is None or default == ():
            shown = "unset"
        elif isinstance(default, tuple):
            shown = f"`{','.join(default)}`"
        else:
            shown = f"`{str(default).lower() if isinstance(default, bool) else default}`"
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{name.upper()}` | {shown} | {meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(settings_page(), end="")
