"""The one way to print: what outsiders wrote reaches no terminal but as plain text."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

import click

from pipeline.contract.sinks import to_terminal

json_option = click.option("--json", "as_json", is_flag=True, help="As one JSON document.")


def echo_json(document: Any) -> None:
    """Prints plain values as one JSON document; errors and remarks go to stderr, as ever."""
    echo_lines(json.dumps(document, ensure_ascii=False, indent=1, default=str).split("\n"))


def echo_lines(lines: Iterable[str], *, err: bool = False) -> None:
    """Prints each as a line."""
    for line in lines:
        echo(line, err=err)


def echo(message: object = "", *, mark: str = "", bold: bool = False, err: bool = False) -> None:
    """As click.echo, for text: one line, since a line of its own might pass for one of ours.

    mark: our own, before it, which may be coloured; NO_COLOR (https://no-color.org) switches colours off.
    Raises OSError where the output cannot be written; what goes to stderr is a remark, and the work goes on
    where nobody can read it.
    """
    text = " ".join(to_terminal(message).split("\n"))
    try:
        click.echo(
            mark + (click.style(text, bold=True) if bold else text),
            err=err,
            color=False if os.environ.get("NO_COLOR") else None,
        )
    except OSError:
        if not err:
            raise
