"""The console speaks English and Russian, all of it, as the browser wishes."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from jinja2 import Environment
from jinja2.ext import extract_from_ast

from pipeline.archive.calls import Direction, Lack, State
from pipeline.domain.job import Category
from pipeline.domain.lead import Quality
from pipeline.run.views import Lack as JobLack
from pipeline.run.views import Status
from pipeline.web import console
from pipeline.web.auth import Role
from pipeline.web.console.pages import PAGES
from pipeline.web.console.words import Words, wished, zone_of
from tests.web.conftest import Client
from tests.web.console.conftest import HTML, Browser

ROOM = Path(console.__file__).parent


def literal() -> Iterator[str]:
    """What templates and code ask for literally."""
    for template in (ROOM / "templates").glob("*.html"):
        parsed = Environment(autoescape=True).parse(template.read_text(encoding="utf-8"))
        for _, _, message in extract_from_ast(parsed, gettext_functions=("_",)):
            texts = message if isinstance(message, tuple) else (message,)  # the values' expressions beside it
            if texts[0] is not None:
                yield texts[0]
    for module in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield from said_by(node)
    yield from (page.title for page in PAGES if page.title)


def said_by(call: ast.Call) -> Iterator[str]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    place = {"words": 0, "_": 0, "back": 1}.get(name)
    if place is not None and len(call.args) > place:
        given = call.args[place]
        for node in ast.walk(given):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and isinstance(given, ast.Constant)
            ):
                yield node.value


def tables(language: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = tomllib.loads((ROOM / f"{language}.toml").read_text(encoding="utf-8"))
    return found


def test_each_text_has_its_russian_and_none_is_left_over() -> None:
    """`ru.toml` has just what templates and code say; what they look up by value apart."""
    texts, values = tables("ru")["texts"], tables("ru")["values"]
    asked = set(literal())
    assert asked - texts.keys() - values.keys() == set()
    assert texts.keys() - asked == set()
    assert not texts.keys() & values.keys()


def test_what_is_looked_up_by_value_has_words_in_both_languages() -> None:
    """Each state, status, band and so on; and no English value without its Russian."""
    wanted = {f"state: {state}" for state in (*get_args(State), *get_args(Lack))}
    wanted |= {f"status: {status}" for status in get_args(Status)}
    wanted |= {f"category: {category.value}" for category in Category}
    wanted |= {f"direction: {way}" for way in get_args(Direction)}
    wanted |= {f"lacks: {lack}" for lack in get_args(JobLack)}
    happens = (
        "accepted",
        "done",
        "failed",
        "deferred",
        "lost",
        "released",
        "retried",
        "corrected",
        "unreadable",
    )
    wanted |= {f"event: {what}" for what in happens}
    english, russian = tables("en")["values"], tables("ru")["values"]
    assert wanted - english.keys() == set()
    assert english.keys() - russian.keys() == set()
    assert {*get_args(Quality)} - russian.keys() == set()


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_same_values_stand_in_both_languages(language: str) -> None:
    """A translation names just the values that its original names."""
    for part in tables(language).values():
        for text, other in part.items():
            assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", other)), text


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("en;q=0.5, RU;q=0.7", "ru"),
        ("de, en;q=0.3", "en"),
        ("fr", "en"),
        ("ru;q=0", "en"),
        ("ru;q=x, en;q=0.1", "en"),
        ("ru," * 100_000, "ru"),
    ],
)
def test_the_browser_chooses_the_language(header: str, language: str) -> None:
    """By Accept-Language and its weights, else the installation's."""
    assert wished(header, "en") == language


def test_pages_are_in_the_language_that_the_browser_wishes(client: Client, reader: Browser) -> None:
    """Signed in or not; and each says which language it is in."""
    for path, headers in (("/", HTML), ("/calls", reader.headers)):
        russian = client.get(path, headers=headers | {"Accept-Language": "ru"}).text
        assert '<html lang="ru">' in russian
        assert ("Вход" if path == "/" else "Звонки") in russian
        assert '<html lang="en">' in client.get(path, headers=headers | {"Accept-Language": "de"}).text


def test_our_own_reasons_are_told_in_the_readers_language() -> None:
    """With their numbers; another one's words stay as they came."""
    told = Words("ru").why("12 calls have this transcript, and which is ours is not certain")
    assert told == "с такой расшифровкой звонков: 12, который наш — неясно"
    assert Words("ru").why("access denied # {x}") == "access denied # {x}"
    assert Words("en").why("more than 500 calls to compare") == "more than 500 calls to compare"


def test_moments_are_told_in_the_readers_time() -> None:
    """Of this day, the day before, this year or another one, where the reader is."""
    moscow = ZoneInfo("Europe/Moscow")
    now = datetime(2026, 3, 2, 22, 30, tzinfo=UTC).timestamp()  # the third already in Moscow
    told = [(0, UTC, "Today, 22:30"), (0, moscow, "Today, 01:30"), (5400, moscow, "Today, 00:00")]
    told += [(5401, moscow, "Yesterday, 23:59"), (86_400 * 40, UTC, "21 Jan, 22:30")]
    told += [(86_400 * 100, UTC, "22 Nov 2025, 22:30")]
    for ago, zone, text in told:
        assert Words("en").moment(now - ago, zone, now=now) == text
    assert Words("ru").moment(now - 86_400 * 40, UTC, now=now) == "21 янв, 22:30"


@pytest.mark.parametrize("name", ["", "Nowhere", "../../etc/passwd", "Europe/\x00", "x" * 5000, "Europe"])
def test_a_time_zone_that_is_none_is_utc(name: str) -> None:
    """Whatever a cookie says."""
    assert str(zone_of(name)) == "UTC"


def test_numbers_are_written_as_in_the_language() -> None:
    """Thousands and fractions."""
    assert Words("en").number(12345.678, 1) == "12,345.7"
    assert Words("ru").number(12345.678, 1) == "12 345,7"


def test_each_role_has_a_word() -> None:
    """For who gave no name."""
    assert {"reader", "reviewer", "operator"} <= tables("ru")["values"].keys()
    assert len(Role) == 3
