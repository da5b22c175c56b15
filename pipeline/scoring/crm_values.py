"""Values of CRM fields, as their declared types want them and as models write them.

What the CRM takes: dates as DD.MM.YYYY, deadlines as YYYY-MM-DDTHH:MM:SS, a choice in any case of its
letters, numbers as numbers (its `ExtractFormFields::prepareValue` and `AnalyzeCommunication::parseDeadline`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

from pipeline.scoring.answers import WORDS, truth

Value = str | int | float | bool | list[Any] | None

_NOTHING = frozenset(WORDS["nothing"])
VALUE_KEYS = ("value", "values", "значение")
_KIND = re.compile(r"(list|array)\s*[\[<(]\s*([\w-]+)|([\w-]+)(\s*\[\s*\])?")
_NUMBER = re.compile(r"[-−+]?\d[\d\s\u00a0\u202f'’_]*(?:[.,]\d+)*")
_TIMES = ((r"(?:тыс|k\b|к\b|thousand)", 1_000), (r"(?:млн|миллион|mln|million|m\b)", 1_000_000),
          (r"(?:млрд|миллиард|billion|bn\b)", 1_000_000_000))  # fmt: skip
_MONTHS = {
    name: at // 2 + 1
    for at, name in enumerate(
        ["jan", "янв", "feb", "фев", "mar", "мар", "apr", "апр", "may", "мая", "jun", "июн", "jul", "июл",
         "aug", "авг", "sep", "сен", "oct", "окт", "nov", "ноя", "dec", "дек"]
    )
} | {"май": 5}  # fmt: skip
_ISO = re.compile(r"(\d{4})[-./](\d{1,2})[-./](\d{1,2})(?!\d)")
_DAY_FIRST = re.compile(r"(?<!\d)(\d{1,2})[-./](\d{1,2})[-./](\d{4}|\d\d)(?!\d)")
_WORDS = re.compile(r"(\d{1,2})(?:st|nd|rd|th|-?го|-?е)?\s+(?:of\s+)?([^\W\d]{3,12})\.?,?\s*(\d{4})?")
_WORDS_US = re.compile(r"([^\W\d]{3,12})\.?\s+(\d{1,2})(?:st|nd|rd|th)?(?:,?\s+(\d{4}))?(?!\d)")
_CLOCK = re.compile(
    r"(?<![\d:])([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?(?:\.\d{1,9})?\s*(Z|[+-]\d\d:?\d\d)?(?![\d:])"
)
_DAYS = {"сегодня": 0, "today": 0, "завтра": 1, "tomorrow": 1, "послезавтра": 2, "day after tomorrow": 2}
_MONEY = re.compile(r"-?\d+(?:\.\d+)?\|[A-Z]{3}")


class Unfit(Exception):
    """The value is none of its type."""


def fitted(value: Any, kind: str, choices: Sequence[str], today: date | None) -> Value:
    """A field's value in its type, as `double or null` or `list[string]`. Raises Unfit."""
    found = _KIND.search(kind.strip().casefold())
    name = ((found[2] or found[3]) if found else "string").replace("-", "_")
    is_list = bool(found and (found[1] or found[4]))
    if isinstance(value, dict):
        value = _unpacked(value, name)
    if not is_list:
        if isinstance(value, list):
            kept = [item for item in value if not is_nothing(item)]
            if name not in ("string", "text") and len(kept) > 1:
                raise Unfit
            value = ", ".join(map(plain, kept)) if len(kept) > 1 else kept[0] if kept else None
        return None if is_nothing(value, kind) else _one(value, name, choices, today)
    if isinstance(value, str) and not is_nothing(value, kind):
        value = _split(value, name, choices)
    if not isinstance(value, list):
        value = [value]
    kept = [item for item in value if not is_nothing(item, kind)]
    return [_one(_unpacked(item, name) if isinstance(item, dict) else item, name, choices, today)
            for item in kept] or None  # fmt: skip


def is_nothing(value: Any, kind: str = "") -> bool:
    """Whether a value says that there is none."""
    if value is None or value == [] or value == {}:
        return True
    text = _key(value) if isinstance(value, str) else "x"
    return not text or text in _NOTHING or (bool(kind) and " or null" in text and text == _key(kind))


def plain(value: Any) -> str:
    """Any value as a text for people."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, dict):
        parts = {str(key): plain(item) for key, item in value.items() if not is_nothing(item)}
        if len(parts) == 1 or parts.keys() & {"text", "comment", "value"}:
            named = next((parts[key] for key in ("text", "comment", "value") if key in parts), None)
            return named if named is not None else next(iter(parts.values()))
        return "; ".join(f"{key}: {item}" for key, item in parts.items())
    if isinstance(value, list):
        return ", ".join(plain(item) for item in value if not is_nothing(item))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def choice(value: Any, choices: Sequence[str]) -> str | None:
    """The one of the choices that is meant."""
    wanted = _key(plain(value))
    keys = {_key(each): each for each in choices}
    if wanted in keys:
        return keys[wanted]
    held = [each for key, each in keys.items() if _holds(wanted, key) or _holds(key, wanted)]
    return held[0] if len(held) == 1 else None


def day_of(text: str, today: date | None) -> date | None:
    """A day as people and machines write it; "tomorrow" from today on."""
    text = _key(text)
    for form, order in ((_ISO, (1, 2, 3)), (_DAY_FIRST, (3, 2, 1))):
        if found := form.search(text):
            year, month, day = (int(found[n]) for n in order)
            return _date(year + 2000 if year < 100 else year, month, day)
    for form, number, name in ((_WORDS, 1, 2), (_WORDS_US, 2, 1)):
        found = form.search(text)
        month = _MONTHS.get(found[name][:3], 0) if found else 0
        if found and month:
            if found[3]:
                return _date(int(found[3]), month, int(found[number]))
            if today and (there := _date(today.year, month, int(found[number]))):
                return there if there >= today else _date(today.year + 1, month, int(found[number]))
    later = _DAYS.get(text.split(" в ")[0].split(" at ")[0].strip(" ,"))
    return today + timedelta(days=later) if today and later is not None else None


def deadline(value: Any, today: date | None) -> str | None:
    """A deadline as the CRM reads it; a day alone is meant to its end. None where none can be read."""
    text = plain(value)
    day = day_of(re.sub(r"\b\d{1,2}:\d\d\S*|(?<=\d)T.*", " ", text).replace("в ", " ").strip(" ,"), today)
    if day is None:
        return None
    clock = _CLOCK.search(text)
    if clock is None:
        return f"{day.isoformat()}T23:59:59"
    zone = (clock[4] or "").replace("Z", "+00:00")
    zone = zone if len(zone) != 5 else f"{zone[:3]}:{zone[3:]}"
    return f"{day.isoformat()}T{int(clock[1]):02d}:{clock[2]}:{clock[3] or '00'}{zone}"


def number(value: Any) -> float | None:
    """The one number that a value is or names: 1 500,50 руб., 1,5 млн, 20k."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) and abs(value) < 1e15 else None
    text = plain(value).casefold()[:200]
    found = _NUMBER.findall(text)
    if len(found) != 1 or len(found[0]) > 24:
        return None
    amount = _amount(found[0])
    if amount is None:
        return None
    rest = text[text.index(found[0]) + len(found[0]) :].lstrip()
    times = next((times for words, times in _TIMES if re.match(words, rest)), 1)
    return amount * times


def _amount(text: str) -> float | None:
    digits = re.sub(r"[\s\u00a0\u202f'’_]", "", text).replace("−", "-")
    marks = re.findall(r"[.,]", digits)
    if len(set(marks)) == 2:  # 1,500.50 and 1.500,50: the last is the decimal one
        digits = digits.replace("." if marks[-1] == "," else ",", "").replace(",", ".")
    elif marks and (len(marks) > 1 or re.fullmatch(r"[-+]?[1-9]\d{0,2},\d{3}", digits)):
        digits = digits.replace(marks[0], "")
    with suppress(ValueError):
        return float(digits.replace(",", "."))
    return None


def _one(value: Any, name: str, choices: Sequence[str], today: date | None) -> str | int | float | bool:
    text = plain(value)
    if choices or name.startswith("enum"):
        picked = choice(value, choices) if choices else text
        if picked is None:
            raise Unfit
        return picked
    if name in ("integer", "int", "double", "float", "number", "decimal"):
        amount = number(value)
        if amount is None or (name.startswith("int") and not amount.is_integer()):
            raise Unfit
        return int(amount) if amount.is_integer() else amount
    if name == "money":
        if _MONEY.fullmatch(text):
            return text
        return _one(value, "double", (), today)
    if name in ("boolean", "bool"):
        if (found := truth(value)) is None:
            raise Unfit
        return found
    if name in ("date", "datetime"):
        if (day := day_of(text if name == "date" else text.split("T")[0], today)) is None:
            raise Unfit
        clock = _CLOCK.search(text) if name == "datetime" else None
        at = f" {int(clock[1]):02d}:{clock[2]}:{clock[3] or '00'}" if clock else ""
        return f"{day:%d.%m.%Y}{at}"
    return text


def _unpacked(value: dict[str, Any], name: str) -> Any:
    lower = {str(key).casefold(): item for key, item in value.items()}
    if name == "money" and "amount" in lower and isinstance(lower.get("currency"), str):
        amount, currency = number(lower["amount"]), lower["currency"].strip().upper()
        if amount is not None and re.fullmatch(r"[A-Z]{3}", currency):
            return f"{plain(amount)}|{currency}"
    return next((lower[key] for key in (*VALUE_KEYS, "amount", "text") if key in lower), value)


def _split(text: str, name: str, choices: Sequence[str]) -> list[str]:
    if choices and choice(text, choices) and _key(text) in map(_key, choices):
        return [text]
    text = text.strip().removeprefix("[").removesuffix("]")
    parts = re.split(r"[\n;]" if "\n" in text or ";" in text else r",(?!\d)", text)
    return [
        part for each in parts if (part := re.sub(r"^\s*(?:[-*•–]|\d{1,2}[.)])\s+", "", each).strip(" \t'\""))
    ]


def _holds(whole: str, part: str) -> bool:
    return bool(part) and f" {part} " in f" {whole} "


def _key(text: str) -> str:
    return " ".join(text.casefold().replace("ё", "е").split()).strip(" .,;:!\"'«»“”`*()")


def _date(year: int, month: int, day: int) -> date | None:
    with suppress(ValueError):
        return date(year, month, day)
    return None
