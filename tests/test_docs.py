"""What the documents say is true of the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest

from docs.generate import PAGES as PAGES_OF_SETTINGS
from docs.generate import page
from pipeline.cli import callscribe
from pipeline.domain import kinds
from pipeline.domain.kinds import KINDS
from pipeline.settings.installation import Settings
from pipeline.settings.options import PortalOptions, in_file
from pipeline.settings.portals import load_portals

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
]
PAGES += sorted((ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize("name", PAGES_OF_SETTINGS)
def test_what_documents_the_settings_is_made_by_the_code(name: str) -> None:
    """The page of settings and both examples are current; `make docs` renews them."""
    assert (ROOT / name).read_text() == page(name)


def test_the_example_of_many_portals_is_read_as_it_stands(tmp_path: Path) -> None:
    """The committed example names every key that a portal may have, and loads."""
    path = ROOT / "docs/portals.example.toml"
    portals = load_portals(Settings(portals_file=path, _env_file=None))  # type: ignore[call-arg]
    assert list(portals) == ["acme", "romashka"]
    assert portals["romashka"].channels == ("client", "manager")  # type: ignore[index]
    table = tomllib.loads(path.read_text())["acme"]
    keys = set()
    for key, value in table.items():
        keys |= {f"{key}.{option}" for option in value} if isinstance(value, dict) else {key}
    assert keys == {in_file(name) for name in PortalOptions.model_fields}


def test_the_example_of_settings_is_read_as_it_stands(tmp_path: Path) -> None:
    """Each variable is there once; all of an installation with one portal may be set as shown."""
    lines = re.findall(r"^#(CALLSCRIBE_\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert [name for name, _ in lines] == [f"CALLSCRIBE_{name.upper()}" for name in Settings.model_fields]
    file = tmp_path / ".env"
    file.write_text("".join(f"{name}={value}\n" for name, value in lines))
    settings = Settings(_env_file=file)  # type: ignore[call-arg]
    assert settings.portal_hosts == ("files.acme.example",)
    assert settings.speech_language == "ru"


def test_the_readme_is_short_and_names_every_command() -> None:
    """At most 150 lines, and no command is left out or made up."""
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    named = set(re.findall(r"`(?:\.venv/bin/)?callscribe ([a-z]+)", text))
    assert named == set(callscribe.list_commands(click.Context(callscribe)))


def test_the_picture_of_steps_is_that_of_the_table() -> None:
    """ARCHITECTURE.md draws each kind of step, the starred ones with their star, as the table's page does."""
    drawn = (ROOT / "ARCHITECTURE.md").read_text().split("```")[1].strip()
    assert drawn in str(kinds.__doc__).replace("\n    ", "\n")
    named = dict(re.findall(r"(?<![\w-])([a-z]+)(\*?)(?=$| ->| x n|[;)\n]| first)", drawn, re.M))
    assert {name: "*" * kind.starred for name, kind in KINDS.items()}.items() <= named.items()


def test_the_table_of_pieces_names_every_module() -> None:
    """Each module and package of pipeline/ has its place in ARCHITECTURE.md."""
    rows = [line for line in (ROOT / "ARCHITECTURE.md").read_text().splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(?:pipeline/)?([a-z0-9]+(?:\.py|/))`", row)}
    modules = {path.name for path in (ROOT / "pipeline").glob("*.py") if not path.name.startswith("__")}
    packages = {f"{path.parent.name}/" for path in (ROOT / "pipeline").glob("*/__init__.py")}
    assert (modules | packages) - named == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file that is there."""
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_each_promise_names_a_test_that_there_is() -> None:
    """A test that is called something else now holds no promise that a reader could look up."""
    files = list((ROOT / "tests").rglob("test_*.py"))
    there = {path.stem for path in files}
    for path in files:
        there |= set(re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.M))
    named = set(re.findall(r"`(test_\w+)", (ROOT / "docs/behaviour.md").read_text(encoding="utf-8")))
    assert named
    assert named - there == set()
