"""What a call can be found by: full-text search by each database's own means, phones and deals by number."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import snowballstemmer
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    exists,
    func,
    literal_column,
    or_,
    select,
    table,
    text,
    true,
)

from pipeline.archive.schema import calls

_WORD = re.compile(r"[^\W_]+")
_DEAL = re.compile(r"(?:(deal|lead|contact|company|сделка|лид)\s*[:#№]?\s*|[#№]\s*)(\d{1,18})", re.IGNORECASE)
_PHONE = re.compile(r"\+?[\d\s().-]{3,32}")
_ENTITIES = {"сделка": "deal", "лид": "lead"}
NATIONAL_DIGITS = 10  # of a phone, behind the country's code or the prefix for calls within it
MOST_WORDS = 12  # of a question
MANY = 3_000  # calls that one word is in


def digits_of(phone: str | None) -> str | None:
    """A phone's digits alone, as phones are compared; None without any."""
    return re.sub(r"\D", "", phone or "")[:32] or None


def index(connection: Connection, number: int, said: str) -> None:
    """Puts what a call can be found by into the index, in place of what stood there."""
    unindex(connection, [number])
    if connection.dialect.name == "sqlite":
        connection.execute(
            text("INSERT INTO calls_words (rowid, words) VALUES (:number, :words)"),
            {"number": number, "words": " ".join(_stems(said))},
        )
    else:
        connection.execute(
            text("INSERT INTO calls_words (number, words) VALUES (:number, to_tsvector('russian', :words))"),
            {"number": number, "words": said.replace("\x00", " ")},
        )


def unindex(connection: Connection, numbers: list[int]) -> None:
    """Takes calls out of the index."""
    key = "rowid" if connection.dialect.name == "sqlite" else "number"
    for number in numbers:
        connection.execute(text(f"DELETE FROM calls_words WHERE {key} = :number"), {"number": number})  # noqa: S608


def found_by(q: str, connection: Connection, *, phones: bool = True) -> ColumnElement[bool]:
    """The calls that a person means by `q`: a deal, a phone or a part of one, else all words of it."""
    q = q.strip()
    if match := _DEAL.fullmatch(q):
        kind = (match[1] or "").lower()
        named = calls.c.entity_id == int(match[2])
        return named & (calls.c.entity_type == _ENTITIES.get(kind, kind)) if kind else named
    digits = digits_of(q) if _PHONE.fullmatch(q) else None
    if digits and len(digits) >= 3:
        return _named(digits, phones, connection)
    stems = _stems(q)[:MOST_WORDS]
    if not stems:
        return true()
    if connection.dialect.name == "sqlite":
        return _found_in_sqlite(stems, connection)
    query = func.plainto_tsquery("russian", " ".join(_WORD.findall(q)[:MOST_WORDS]))
    hits: Select[Any] = select(literal_column("number")).select_from(table("calls_words"))
    hits = hits.where(literal_column("words").op("@@")(query))
    few = connection.scalars(hits.limit(MANY + 1)).all()  # its guess at how many there are may be far off
    return calls.c.number.in_(few if len(few) <= MANY else hits)


def _named(digits: str, phones: bool, connection: Connection) -> ColumnElement[bool]:
    """Calls with these digits in their phone, or as the number of what they belong to.

    Each is asked for apart, by its own index: a list in the order of time would look through all calls. Of a
    whole phone the last ten digits count: +7 912 ... and 8 912 ... are one.
    """
    asked = [calls.c.entity_id == int(digits)] if len(digits) <= 18 else []
    if phones:
        asked.append(calls.c.phone_digits.contains(digits[-NATIONAL_DIGITS:], autoescape=True))
    held = [select(calls.c.number).where(each) for each in asked]
    few = [number for each in held for number in connection.scalars(each.limit(MANY + 1))]
    if len(few) <= MANY:
        return calls.c.number.in_(few)
    return or_(*(calls.c.number.in_(each) for each in held))


def _found_in_sqlite(stems: list[str], connection: Connection) -> ColumnElement[bool]:
    """SQLite plans nothing by how often a word is said: a rare one is looked up first, calls are looked
    through, by the order of the list, for one that many have."""
    said = text("calls_words MATCH :asked").bindparams(asked=" ".join(f'"{stem}"' for stem in stems))
    hits: Select[Any] = select(literal_column("rowid")).select_from(table("calls_words")).where(said)
    many = connection.scalar(select(func.count()).select_from(hits.limit(MANY + 1).subquery())) or 0
    if many <= MANY:
        return calls.c.number.in_(hits)
    return exists(hits.where(literal_column("calls_words.rowid") == calls.c.number))


@cache
def _stemmers() -> tuple[snowballstemmer.stemmer, snowballstemmer.stemmer]:
    return snowballstemmer.stemmer("russian"), snowballstemmer.stemmer("english")


@cache
def _stem(word: str) -> str:
    russian, english = _stemmers()
    return str((russian if "а" <= word[0] <= "я" else english).stemWord(word))


def _stems(said: str) -> list[str]:
    return [_stem(word[:64]) for word in _WORD.findall(said.lower().replace("ё", "е"))]
