"""Phrases that recognisers make up, by language: `hallucinations.toml` beside this file."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from importlib.resources import files

WORD = re.compile(r"[^\W_]+")
END = re.compile(r"(?<=[.!?…])(?<!\b[A-ZА-ЯЁ]\.)\s+|\n+")  # not after an initial
ASIDE = re.compile(r"\s*(\[[^\]]*\]|\([^)]*\)|\*[^*]*\*|♪.*+)\W*+")  # [music], (applause), ♪


@dataclass(frozen=True)
class Phrases:
    """always: dropped wherever they match; alone: only as a whole segment without speech under it."""

    always: re.Pattern[str]
    alone: frozenset[str]


@cache
def phrases(language: str | None) -> Phrases:
    """The phrases of a language, ISO 639-1; of all languages where it is unknown or has none of its own."""
    tables = tomllib.loads(
        files("pipeline.audio").joinpath("hallucinations.toml").read_text(encoding="utf-8")
    )
    chosen = list(tables.values())  # subtitle credits come in any language, whatever is spoken
    alone = tables[language]["alone"] if language in tables else [p for t in chosen for p in t["alone"]]
    always = "|".join(translate(p) for table in chosen for p in table["always"])
    return Phrases(re.compile(always), frozenset(alone))


def plain(text: str) -> str:
    """Words alone: lower case, no punctuation, "ё" as "е"."""
    return " ".join(WORD.findall(text.lower().replace("ё", "е")))


def without_credits(text: str, language: str | None) -> str:
    """The text without the sentences that are subtitle credits and their like."""
    always = phrases(language).always
    if _credit(text, always):
        return ""
    return " ".join(part for part in END.split(text) if not _credit(part, always)).strip()


def ordinary(text: str, language: str | None) -> bool:
    """Whether the text is nothing but an ordinary phrase that is often made up."""
    return plain(text) in phrases(language).alone


def _credit(text: str, always: re.Pattern[str]) -> bool:
    words = plain(text)
    return bool(words) and (ASIDE.fullmatch(text) is not None or always.match(words) is not None)
