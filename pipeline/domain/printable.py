"""Outsiders' text as plain text: what models answer and servers send may hold what nobody sees."""

from __future__ import annotations

import re
import unicodedata

from pipeline.domain.labels import SPEAKERS

# letters by their category, or none yet, and nothing to see: what Unicode calls default ignorable
# (DerivedCoreProperties.txt), an empty Braille cell, what is no character; the selector after an emoji stays
_FILLERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufdd0-\ufdef\ufe00-\ufe0e\uffa0\ufff0-\ufff8"
    "\U000e0000-\U000e0fff]"
    "|(?<![#*0-9\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff])\ufe0f"
)
_BREAKS = {"\n": "\n", "\t": " ", "\r": "", "\v": "\n", "\f": "\n", "\x85": "\n"}
_WHO = "|".join(name for names in SPEAKERS.values() for name in names.values())
# each alternative begins with a letter of its own, for which alone a text is searched: a tenth of the time
_MARKS = rf"""
    \[(?P<ours>(?:(?:{_WHO})(?:\ \d{{1,3}})?|phone|card|email)\])?  # [Manager], [Speaker 2]; what was masked
    | @(?<![\w.]@)(?=\w)  # a mention
    | &(?=\#?\w{{1,31}};)  # an entity
    | --> | \] | < | >
    """
# schemes of links, by what follows their colon
_SCHEMES = {r"\S": "mailto javascript vbscript http https ftp", r"[\w+]": "tel sms callto", r"\w+/": "data"}
_NAMED = "|".join(rf"\b(?:{'|'.join(names.split())}):(?={next_})" for next_, names in _SCHEMES.items())
_LINKS = rf"""
    (?P<link>(?:\b[a-z][a-z0-9+.-]{{1,15}}://|\bwww\.(?=\w)|(?<![\w/])//(?=\w)|{_NAMED})[^\s<>\[\]"]*)
    """
_UNLINKED = re.compile(_MARKS, re.IGNORECASE | re.VERBOSE)
_MARKUP = re.compile(f"{_LINKS}|{_MARKS}", re.IGNORECASE | re.VERBOSE)
_HARMLESS = {"-->": "→", "[": "(", "]": ")", "<": "‹", ">": "›"}


def printable(text: str) -> str:
    """The text without control, bidirectional, zero-width and other invisible letters; lines stay lines."""
    if not text.replace("\n", "").isprintable():
        text = "".join(
            letter if letter.isprintable() else _shown(letter) for letter in text.replace("\r\n", "\n")
        )
    return _FILLERS.sub("", text)


def unmarked(text: str) -> str:
    """Printable text in which nothing is markup: no BBCode, HTML, mention or link; our own labels stay."""
    text = printable(text)
    return (_MARKUP if _may_link(text) else _UNLINKED).sub(_harmless, text)


def _may_link(text: str) -> bool:
    """Whether any of the letters of a link are there; few calls have them."""
    folded = text.casefold()
    named = ":" in folded and any(f"{name}:" in folded for name in " ".join(_SCHEMES.values()).split())
    return named or "//" in folded or "www." in folded


def _shown(letter: str) -> str:
    if letter in _BREAKS:
        return _BREAKS[letter]
    category = unicodedata.category(letter)
    if category in ("Zl", "Zp"):
        return "\n"
    if category == "Zs":
        return " "
    if category in ("Cc", "Cf", "Cs") or ord(letter) & 0xFFFE == 0xFFFE:  # the last two of a plane are none
        return ""
    return letter  # unassigned ones may be of a newer Unicode


def _harmless(match: re.Match[str]) -> str:
    found = match[0]
    if match["ours"]:
        return found
    if found[0] in "@&":
        return found + " "
    return _HARMLESS.get(found, "(link)")
