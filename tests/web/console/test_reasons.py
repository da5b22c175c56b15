"""Reasons and what to do about them are told in the reader's language, whoever of ours worded them."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pipeline
from pipeline.bitrix24.rest_errors import MEANINGS
from pipeline.clients.failures import MEANING, MEANING_BY_STATUS, failure
from pipeline.clients.transport import Answer
from pipeline.domain.errors import CallscribeError
from pipeline.web.console.words import Words

ROOT = Path(pipeline.__file__).parent
# where reasons of jobs come from; doctor and the engines' commands are the operator's terminal
ROOMS = ("audio", "bitrix24", "clients", "scoring", "steps", "storage", "contract", "domain")
APART = {"engines.py", "checks.py", "golden.py", "rubric.py", "scratch.py"}
# what is told to whoever asks at once, or to no reader of a page
ELSEWHERE = {"BadRequest", "SettingsError", "UnknownJob", "LeaseLost", "UnfitURL", "Conflict"}
RUSSIAN = re.compile("[а-яё]", re.IGNORECASE)


def kinds(cls: type[CallscribeError]) -> Iterator[type[CallscribeError]]:
    yield cls
    for below in cls.__subclasses__():
        yield from kinds(below)


def all_kinds() -> set[type[CallscribeError]]:
    """Every error of the service, wherever it stands."""
    for module in pkgutil.walk_packages(pipeline.__path__, "pipeline."):
        if (
            module.name.split(".")[1] in (*ROOMS, "run", "archive", "store")
            and "migrations" not in module.name
        ):
            importlib.import_module(module.name)
    return set(kinds(CallscribeError))


def example(node: ast.expr) -> str | None:
    """The text as it may come out: 7 for what is put in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "7" for part in node.values)
    return None


def reasons() -> Iterator[tuple[str, str]]:
    """Where each stands, and an example."""
    names = {cls.__name__ for cls in all_kinds()} - ELSEWHERE | {"Snooze"}
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if path.name not in APART else ():
            if not isinstance(node, ast.Call):
                continue
            given = [keyword.value for keyword in node.keywords if keyword.arg == "why"]
            if ast.unparse(node.func).rpartition(".")[2] in names:
                given += node.args[:2]
            for each in given:
                if (text := example(each)) and " " in text:
                    yield f"{path.relative_to(ROOT)}:{each.lineno}", text


def test_every_reason_that_we_word_is_told_in_russian() -> None:
    """Whatever step, provider's or portal's failure it is of; none may be added without its Russian."""
    found = list(reasons())
    assert len(found) > 120
    assert [each for each in found if not RUSSIAN.search(Words("ru").why(each[1]))] == []


def test_what_to_do_is_told_in_russian() -> None:
    """The hint of each error that a job may end with, and what the portal's codes mean."""
    spared = {"SettingsError", "UnfitURL", "QueueFull"}  # of the operator's terminal, of refused requests
    hints = {
        cls.hint
        for cls in all_kinds()
        if cls.__name__ not in spared and cls.__module__.split(".")[1] not in ("cli", "whisper")
        if isinstance(cls.hint, str)
    }
    codes = [meaning for code, meaning in MEANINGS.items() if "ENGINE" not in code]
    hints |= {meaning.hint for meaning in codes} | {meaning.means for meaning in codes}
    assert {hint for hint in hints if not RUSSIAN.search(Words("ru").why(hint))} == set()


def test_what_a_provider_answered_is_told_in_russian() -> None:
    """Status, code and meaning; its host and code stay as they are."""
    told = Words("ru").why
    for status in (400, *MEANING_BY_STATUS, 500):
        for code in (None, *MEANING):
            body = b'{"error": {"code": "%s"}}' % code.encode() if code else b"{}"
            said = failure(Answer(status=status, headers={}, body=body), host="api.example").message
            text = told(said)
            assert text.startswith("Провайдер api.example "), said
            assert not re.search("[a-z]{2}", re.sub(r"api\.example|\(.*?\)|API", "", text)), text


@pytest.mark.parametrize(
    ("reason", "russian"),
    [
        ("No recording came: nobody answered the call.", "Запись так и не появилась: на звонок не ответили."),
        (
            "The portal's 600 s ran out while scoring the call. api.example did not answer in time.",
            "Время портала (600 с) вышло, пока шло: оцениваем звонок. api.example не ответил вовремя.",
        ),
        ("crm.a: the portal answers 503.", "crm.a: портал отвечает 503."),
        ("the portal said: {0} {why} #", "the portal said: {0} {why} #"),
        ("Nope. Never.", "Nope. Never."),
        ("failed", "failed"),
        ("", ""),
    ],
)
def test_reasons_within_reasons(reason: str, russian: str) -> None:
    """What is ours of it is Russian, and what others said stays as they said it; in English all stays."""
    assert Words("ru").why(reason) == russian
    assert Words("en").why(reason) == reason
