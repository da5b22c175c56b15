"""The console's words in English and Russian, and how moments and numbers are told."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Literal
from zoneinfo import ZoneInfo

MOST_REASON = 2000  # letters of one
_PLACE = re.compile(r"\\{(\w+)\\}|\\#")
MOST_NESTED = 5  # reasons in reasons
_ANY = ("why", "said")  # places that hold any text, the others a word

Language = Literal["en", "ru"]

_MONTHS = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "ru": ("янв", "фев", "мар", "апр", "мая", "июн", "июл", "авг", "сен", "окт", "ноя", "дек"),
}


class Words:
    """One language: `words("in {n} calls", n=3)`."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._table = table(language)

    def __call__(self, text: str, **values: object) -> str:
        """The text in this language, values filled in; English where there is no other."""
        found = self._table.get(text, text)
        return found.format(**values) if values else found

    def why(self, reason: str) -> str:
        """A reason as a step, a provider or the portal gave it: what is ours of it in this language."""
        if self.language == "en" or len(reason) > MOST_REASON:
            return reason
        return _reason(self.language, reason)

    def moment(self, at: float, zone: tzinfo, *, now: float) -> str:
        """A moment for people: "Today, 14:05", "3 Oct, 14:05", with the year where it is another one."""
        when, today = datetime.fromtimestamp(at, zone), datetime.fromtimestamp(now, zone)
        days = (today.date() - when.date()).days
        if days in (0, 1):
            day = self(("Today", "Yesterday")[days])
        else:
            day = f"{when.day} {_MONTHS[self.language][when.month - 1]}"
            day += "" if when.year == today.year else f" {when.year}"
        return f"{day}, {when:%H:%M}"

    def number(self, value: float, digits: int = 0) -> str:
        """A number with its thousands apart, and a comma for the fraction in Russian."""
        text = f"{value:,.{digits}f}"
        return text if self.language == "en" else text.replace(",", " ").replace(".", ",")


@cache
def table(language: Language) -> Mapping[str, str]:
    """A text as it stands in templates and code, or a value with what it is a value of -> this language."""
    return {text: other for part in _parts(language).values() for text, other in part.items()}


@cache
def _parts(language: Language) -> dict[str, dict[str, str]]:
    return tomllib.loads(files(__package__).joinpath(f"{language}.toml").read_text(encoding="utf-8"))


@cache
def _reasons(language: Language) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Patterns of reasons and what they are in this language, those that leave least open first."""
    found = []
    for text, told in _parts(language).get("reasons", {}).items():
        places = itertools.count()

        def place(match: re.Match[str], places: Iterator[int] = places) -> str:
            if match[1] is None:
                return f"(?P<number_{next(places)}>[0-9]+)"
            return f"(?P<{match[1]}>{'.+' if match[1] in _ANY else '[^ ]+'})"

        open_ = sum(1000 if match[1] in _ANY else 1 for match in _PLACE.finditer(re.escape(text)))
        pattern = re.compile(_PLACE.sub(place, re.escape(text)), re.DOTALL)
        found.append((open_, -len(text), pattern, told))
    return tuple((pattern, told) for *_, pattern, told in sorted(found, key=lambda each: each[:2]))


@lru_cache(maxsize=4096)
def _reason(language: Language, reason: str, depth: int = MOST_NESTED) -> str:
    """By the first pattern that fits, else sentence by sentence; what is nobody's of ours stays as it is."""
    if not depth:
        return reason
    for pattern, told in _reasons(language):
        if match := pattern.fullmatch(reason):
            given = match.groupdict()
            numbers = [value for name, value in given.items() if name.startswith("number_")]
            values = {name: _reason(language, value, depth - 1) for name, value in given.items()}
            return told.replace("#", "{}").format(*numbers, **values)
    if depth < MOST_NESTED and reason in table(language):  # what it was about: "scoring the call"
        return table(language)[reason]
    first, _, rest = reason.partition(". ")
    if rest:
        return f"{_reason(language, first + '.', depth - 1)} {_reason(language, rest, depth - 1)}"
    if depth < MOST_NESTED:  # a sentence within another one, or the other way round
        other = reason[:-1] if reason.endswith(".") else f"{reason}."
        if (found := _reason(language, other, depth - 1)) != other:
            return f"{found}." if reason.endswith(".") else found.removesuffix(".")
    return reason


def wished(header: str, otherwise: Language) -> Language:
    """The language of an Accept-Language header (RFC 9110, 12.5.4) that the console speaks best."""
    best: tuple[float, Language] | None = None
    for part in header[:500].split(","):
        name, _, rest = part.strip().partition(";")
        code = name.strip().lower()[:2]
        if code in ("en", "ru"):
            weight = _weight(rest)
            if weight > 0 and (best is None or weight > best[0]):
                best = (weight, "ru" if code == "ru" else "en")
    return best[1] if best else otherwise


def _weight(rest: str) -> float:
    name, _, value = rest.strip().partition("=")
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0


def zone_of(name: Any) -> tzinfo:
    """The time zone by its name in the IANA data base; UTC where it is none."""
    try:
        return ZoneInfo(str(name)[:64])
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return ZoneInfo("UTC")
