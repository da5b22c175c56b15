"""The console's words in English and Russian, and how moments and numbers are told."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import datetime, tzinfo
from functools import cache
from importlib.resources import files
from typing import Any, Literal
from zoneinfo import ZoneInfo

_NUMBER = re.compile(r"[0-9]+")

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
        """A reason as a step or the portal gave it: those of ours in this language, their numbers kept."""
        known = self._table.get(_NUMBER.sub("#", reason))
        if known is None:
            return reason
        numbers = iter(_NUMBER.findall(reason))
        return re.sub("#", lambda _: next(numbers, "#"), known)

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
    read = tomllib.loads(files(__package__).joinpath(f"{language}.toml").read_text(encoding="utf-8"))
    return {text: other for part in read.values() for text, other in part.items()}


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
