"""The one way to print: what outsiders wrote reaches no terminal but as plain text."""

from __future__ import annotations

import click

from pipeline.contract.sinks import to_terminal


def echo(
    message: object = "", *, mark: str = "", bold: bool = False, err: bool = False, nl: bool = True
) -> None:
    """As click.echo, for text. mark: our own, before it, which may be coloured."""
    text = to_terminal(message)
    click.echo(mark + (click.style(text, bold=True) if bold else text), err=err, nl=nl)
