"""The tree of errors is the one that is drawn."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from pipeline.domain import errors

PIPELINE = Path(__file__).parent.parent / "pipeline"


def drawn() -> set[tuple[str, str]]:
    """(class, parent) of each line of the drawing."""
    found, parents = set(), ["CallscribeError"]
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"    ((?:│   |    )*)[├└]── (\w+)", line):
            depth = len(match[1]) // 4
            parents[depth + 1 :] = [match[2]]
            found.add((match[2], parents[depth]))
    return found


def defined() -> set[tuple[str, str]]:
    """(class, parent) of each error in the code, whichever room it stands in."""
    classes = [
        (node.name, base.id)
        for path in PIPELINE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Name)
    ]
    found: set[tuple[str, str]] = set()
    known = {"CallscribeError"}
    while more := {pair for pair in classes if pair[1] in known} - found:
        found |= more
        known |= {name for name, _ in more}
    return found


def test_the_tree_is_drawn_as_it_stands() -> None:
    """Each error of the service has its place in the drawing, under its parent, and none is made up."""
    assert drawn() == defined()


def test_no_two_errors_have_one_name() -> None:
    """A name means one error, whoever reads it in a log or in the code."""
    names = [name for name, _ in defined()]
    assert len(names) == len(set(names))
