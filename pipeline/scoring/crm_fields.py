"""Answers to `extract_form_fields`: the fields of the markers, values of their types, and the comment."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pipeline.clients.insides import answer_only
from pipeline.domain.errors import BadAnswer
from pipeline.scoring.answers import WORDS, lowered
from pipeline.scoring.crm_step import CrmStep
from pipeline.scoring.crm_values import VALUE_KEYS, Unfit, fitted, is_nothing, plain

MOST_ITEMS = 400
_COMMENTS = frozenset(WORDS["names"]["comment"])
_NAME_KEYS = ("name", "field", "key", "поле", "название")


def read_fields(found: Any, step: CrmStep, last: bool, language: str) -> dict[str, Any]:
    """What the CRM gets of an object, or of a list of pairs; see `crm_answers.read_answer`."""
    if isinstance(found, list):  # of pairs
        found = _paired(found)
    names = {_key(name): name for name in step.fields if _key(name) not in _COMMENTS}
    given, comment, unknown = _sorted(found, names, any_name=not names)
    if not given and not comment and not (found.keys() & _COMMENTS):
        raise BadAnswer(f"It has none of the names {quoted(names.values())}.")
    lacking = [name for name in names.values() if name not in given]
    if unknown and lacking and not last:
        raise BadAnswer(
            f"{quoted(unknown)} is no field, and {quoted(lacking)} is missing: use exactly these names."
        )
    values: dict[str, Any] = dict.fromkeys(names.values())
    choices = {_key(name): each for name, each in step.choices.items()}
    unfit = []
    for name, value in given.items():
        kind = step.fields.get(name, "string or null") if names else "any"
        try:
            values[name] = fitted(value, kind, choices.get(_key(name), ()), step.today) if names else value
        except Unfit:
            unfit.append(name)
            comment.append(f"{name}: {plain(value)}")
    if unfit and not last:
        wanted = "; ".join(
            f'"{name}" is {json.dumps(given[name], ensure_ascii=False)[:80]}, expected '
            + (f"one of {quoted(choices[_key(name)])}" if _key(name) in choices else step.fields[name])
            for name in unfit[:10]
        )
        raise BadAnswer(f"Values are not of their fields' types: {wanted}.")
    cleaned = {name: _cleaned(value) for name, value in values.items()}
    return {**cleaned, "comment": [each for item in comment if (each := worded(item))]}


def _sorted(
    found: Mapping[str, Any], names: Mapping[str, str], *, any_name: bool, depth: int = 3
) -> tuple[dict[str, Any], list[str], list[str]]:
    """What an object holds: known fields, comments, names that are unknown."""
    given: dict[str, Any] = {}
    comment: list[str] = []
    unknown: list[str] = []
    for raw, value in found.items():
        key = _key(raw)
        if key in names:
            given.setdefault(names[key], value)
        elif key in _COMMENTS:
            comment += comments(value)
        elif depth and not any_name and isinstance(value := _only(value), dict):
            inner, more, others = _sorted(value, names, any_name=any_name, depth=depth - 1)
            if not inner and not more:
                unknown.append(raw)
            given, comment = {**inner, **given}, comment + more
            unknown += others if inner else []
        elif isinstance(value, list) and depth and (pairs := _paired(value)) and not any_name:
            inner, more, others = _sorted(pairs, names, any_name=any_name, depth=0)
            given, comment, unknown = {**inner, **given}, comment + more, unknown + others
        elif any_name:
            given[raw] = value
        elif not is_nothing(value):
            unknown.append(raw)
    return given, comment, unknown


def _only(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) else value


def _paired(items: list[Any]) -> dict[str, Any]:
    """`[{"name": ..., "value": ...}, ...]` as an object."""
    found = {}
    for item in items[:MOST_ITEMS]:
        if isinstance(item, dict):
            inner = lowered(item)
            name = next((inner[key] for key in _NAME_KEYS if key in inner), None)
            value = next((key for key in VALUE_KEYS if key in inner), None)
            if isinstance(name, str) and value:
                found[name] = inner[value]
            elif len(inner) == 1:
                found.update(item)
    return found


def comments(value: Any) -> list[str]:
    """A comment in any form as a list of texts."""
    if isinstance(value, str):
        lines = value.splitlines() or [value]
        value = [re.sub(r"^\s*(?:[-*•–—]|\d{1,2}[.)])\s+", "", line) for line in lines]
    if isinstance(value, dict):
        value = [item if isinstance(item, str) else {key: item} for key, item in value.items()]
    value = value if isinstance(value, list) else [value]
    return [plain(item) for item in value[:MOST_ITEMS] if not is_nothing(item)]


def worded(value: Any) -> str:
    """A text for people, in one string, without a model's insides."""
    if isinstance(value, list):
        value = "\n".join(filter(None, map(plain, value)))
    return answer_only(value if isinstance(value, str) else plain(value))


def _cleaned(value: Any) -> Any:
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return worded(value) if isinstance(value, str) else value


def _key(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.casefold().replace("ё", "е")).strip(".:\"'«»")


def quoted(names: Any) -> str:
    """Names, as a model is told of them."""
    return ", ".join(f'"{name}"' for name in list(names)[:30])
