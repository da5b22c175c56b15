"""The objects in a chat model's answer, as models write them: JSON, or what a person reads as nothing else.

Read are, besides JSON: line breaks inside strings, single and typographic quotes, quotes inside quotes, names
without quotes, commas too many or at the end, lists that nobody closed before the next name, comments, True,
False and None. What is cut off is not guessed.
Linear in the answer's length: each object is read once by the strict reader and once by the tolerant one.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Iterator
from importlib.resources import files
from typing import Any

from pipeline.clients.insides import answer_only
from pipeline.domain.errors import BadAnswer

MOST_LETTERS = 200_000  # of an answer; more is no answer to our questions
TRIES = 4  # times the length of an answer that may be read in search of objects
MAX_NESTING = 40
WITHIN = 3  # how deep in a wrapping object the wanted one may lie

_SPACE = re.compile(r"(?:[\s\ufeff\u200b]+|//[^\n]*|/\*[\s\S]{0,2000}?\*/|#[^\n]*)*")
_NUMBER = re.compile(r"[-+]?\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d{1,3})?(?=[\s,}\]/#]|$)")
_BARE = re.compile(r"[^\W\d][\w.$-]{0,63}")
_QUOTES = {'"': '"', "'": "'", "“": "”", "„": "“”", "«": "»", "‘": "’", "`": "`"}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_WORDS = {"true": True, "false": False, "null": None, "none": None, "nan": None, "undefined": None}
# the words that stand for values and names are data: `words.toml` beside this file
WORDS: dict[str, Any] = tomllib.loads(
    files("pipeline.scoring").joinpath("words.toml").read_text(encoding="utf-8")
)
_EXPLAINED = re.compile(r"([^\W\d]+)\s?[,(:;—–]")
_TRUE, _FALSE = frozenset(WORDS["true"]), frozenset(WORDS["false"])


class _Unread(Exception):
    """It is nothing that a person would read as one object."""


def cut_json(text: str, wanted: Collection[str]) -> dict[str, Any]:
    """The last object in the answer that has one of the wanted keys, its keys in lower case.

    One that lies alone inside another object, or in a list, is found where no outer one has the keys.
    Raises BadAnswer.
    """
    found: list[dict[str, Any]] = list(objects(text))
    names = {name.casefold() for name in wanted}
    for each in reversed(found):
        if each.keys() & names:
            return dict(each)
    for each in reversed(found):
        inner: list[dict[str, Any]] = list(_within(each, names, WITHIN))
        if len(inner) == 1:
            return inner[0]
    listed = ", ".join(f'"{name}"' for name in sorted(wanted))
    raise BadAnswer(f"It lacks {listed}." if found else "It holds no complete JSON object.")


def truth(value: Any) -> bool | None:
    """What a model means by true and false, in the words it has for them; None for anything else."""
    if isinstance(value, dict):
        value = next((value[name] for name in ("value", "status", "met") if name in value), None)
    if isinstance(value, bool):
        return value
    text = " ".join(str(value).casefold().replace("ё", "е").split()).strip("\"'`.!*() ")
    if explained := _EXPLAINED.match(text):  # "yes, he did", "false (not met)"
        text = explained[1]
    return True if text in _TRUE else False if text in _FALSE else None


def objects(text: str, *, unclosed: bool = False) -> Iterator[dict[str, Any]]:
    """The objects that stand in an answer, in order, keys in lower case; thoughts do not count.

    unclosed: brackets that only lack their closing signs at the very end count as closed. Only for answers
    that a model says it has finished.
    """
    text = answer_only(text[:MOST_LETTERS])
    decoder = json.JSONDecoder(strict=False)
    effort, at = TRIES * max(len(text), 1_000), text.find("{")
    while at >= 0 and effort > 0:
        after = at + 1
        try:
            value, after = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            if isinstance(error, RecursionError):
                effort -= 5_000
            reader = _Reader(text, at, unclosed=unclosed)
            try:
                value, after = reader.value(0), reader.at
            except (_Unread, ValueError):
                value = None
            effort -= 2 * (reader.at - at) + 1
        if isinstance(value, dict):
            yield lowered(value)
        at = text.find("{", after)


def lowered(value: dict[str, Any]) -> dict[str, Any]:
    """An object with its keys in lower case."""
    return {str(key).strip().casefold(): item for key, item in value.items()}


def _within(value: Any, names: set[str], depth: int) -> Iterator[dict[str, Any]]:
    if depth == 0:
        return
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict):
            inner = lowered(item)
            if inner.keys() & names:
                yield inner
            else:
                yield from _within(item, names, depth - 1)
        elif isinstance(item, list):
            yield from _within([each for each in item if isinstance(each, dict | list)], names, depth - 1)


class _Reader:
    """Reads one value from `at` on; raises _Unread."""

    def __init__(self, text: str, at: int, *, unclosed: bool = False) -> None:
        self.text = text
        self.at = at
        self.unclosed = unclosed

    def value(self, depth: int) -> Any:
        self._skip()
        sign = self._sign()
        if depth > MAX_NESTING:
            raise _Unread
        if sign == "{":
            return self._object(depth)
        if sign == "[":
            return self._array(depth)
        if sign in _QUOTES:
            return self._string()
        if number := _NUMBER.match(self.text, self.at):
            self.at = number.end()
            return json.loads(number[0].lstrip("+").replace("_", ""))
        if word := _BARE.match(self.text, self.at):
            self.at = word.end()
            return _WORDS.get(word[0].lower(), word[0])
        raise _Unread

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.at += 1
        while not self._closed("}"):
            if self._sign() in _QUOTES:
                key = self._string()
            elif word := _BARE.match(self.text, self.at):
                key, self.at = word[0], word.end()
            else:
                raise _Unread
            self._skip()
            if self._sign() not in (":", "="):
                raise _Unread
            self.at += 1
            found[key] = self.value(depth + 1)
        return found

    def _array(self, depth: int) -> list[Any]:
        found: list[Any] = []
        self.at += 1
        while not self._closed("]"):
            begun = self.at
            if self._sign() == "}":  # of what the list stands in
                return found
            item = self.value(depth + 1)
            self._skip()
            if isinstance(item, str) and self._sign() == ":":  # the next name of what the list stands in
                self.at = begun
                return found
            found.append(item)
        return found

    def _closed(self, sign: str) -> bool:
        """Whether the bracket closes here; commas on the way are passed over."""
        while True:
            self._skip()
            if self._sign() not in (",", ";"):
                break
            self.at += 1
        if not self._sign():
            if self.unclosed:
                return True
            raise _Unread
        if self._sign() != sign:
            return False
        self.at += 1
        return True

    def _string(self) -> str:
        ends, parts = _QUOTES[self._sign()], []
        self.at += 1
        while sign := self._sign():
            self.at += 1
            if sign == "\\" and (escaped := self._sign()):
                self.at += 1
                parts.append(self._unicode() if escaped == "u" else _ESCAPES.get(escaped, escaped))
            elif sign in ends and self._ends_here():
                return "".join(parts)
            else:
                parts.append(sign)
        raise _Unread

    def _unicode(self) -> str:
        digits = self.text[self.at : self.at + 4]
        if not re.fullmatch(r"[0-9a-fA-F]{4}", digits):
            raise _Unread
        self.at += 4
        letter = chr(int(digits, 16))
        return letter if not "\ud800" <= letter <= "\udfff" else "\ufffd"

    def _ends_here(self) -> bool:
        """Whether a quote closes: what follows it goes on with the object, and is no more of the sentence."""
        after = self.text[self.at : self.at + 40].lstrip()
        if after[:1] == ",":
            rest = after[1:].lstrip()
            return (
                not rest
                or rest[0] in "}]{["
                or rest[0] in _QUOTES
                or bool(_KEY.match(rest))
                or bool(_NUMBER.match(rest))
            )
        return not after or after[0] in "}]:=/#"

    def _skip(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def _sign(self) -> str:
        return self.text[self.at : self.at + 1]


_KEY = re.compile(r"[^\W\d][\w.$-]{0,63}\s*[:=]")
