"""The one way to print: what outsiders wrote reaches no terminal but as plain text."""

from __future__ import annotations

from collections.abc import Iterable

import click

from pipeline.contract.sinks import to_terminal


def echo_lines(lines: Iterable[str]) -> None:
    """Prints each as a line."""
    for line in lines:
        echo(line)


def echo(message: object = "", *, mark: str = "", bold: bool = False, err: bool = False) -> None:
    """As click.echo, for text: one line, since a line of its own might pass for one of ours.

    mark: our own, before it, which may be coloured.
    """
    text = " ".join(to_terminal(message).split("\n"))
    click.echo(mark + (click.style(text, bold=True) if bold else text), err=err)
