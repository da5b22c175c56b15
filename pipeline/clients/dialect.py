"""Optional fields as independent rungs: what a server does not take is renamed, clamped or left out.

A request is a base that every server takes, and rungs: each an optional wish in several variants, from the
wanted one to none. A refusal that names a rung moves that rung alone; one that names none moves all of them
to their last variant, once. A refused request was not served, so not paid.

What was given up is remembered for FORGET_SECONDS, per server, model and kind of work: when the refusal named
the field, or when an unnamed refusal repeated with other content. A value that was refused is remembered for
that value alone, and a number outside of its bounds not at all.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pipeline.clients.refusals import Names, Refusal
from pipeline.clients.transport import Answer

FORGET_SECONDS = 900.0
MOST_TRIES = 14
LEAST_PROMPT = 40  # characters below which a shortened hint is left out
ALL = "all that is optional"
SUSPECT = "?"

Variant = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One optional wish.

    variants: fields to send, the wanted ones first, {} to leave it out. names: by which a refusal means it.
    by_value: refused for its value, it is given up for this value alone (a language, a size). number: its
    value is clamped where a refusal tells a bound. text: its value is shortened where it is too long.
    only_with: a field and its value without which it makes no sense. required: sent where a server asks for
    it. optional: moved when a refusal names nothing. other: a value that the refusal itself proposes.
    """

    name: str
    variants: tuple[Variant, ...]
    names: Names
    by_value: bool = False
    number: bool = False
    text: bool = False
    only_with: tuple[str, Any] | None = None
    required: Variant | None = None
    optional: bool = True
    other: Callable[[Refusal, Any], Variant | None] | None = None


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A fact about a server and model: what is given up, since when, and how it was learned."""

    name: str
    sends: str  # the fields that are sent instead, "" for none
    at: float  # unix seconds
    how: str  # "named" by a refusal, or "repeated"
    index: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return not self.at <= time.time() < self.at + FORGET_SECONDS


def read_learned(text: str | None) -> dict[str, Learned]:
    """What stands in the store for one server, model and kind of work, by rung; what is over apart."""
    found: dict[str, Learned] = {}
    with suppress(ValueError, TypeError, AttributeError):
        for name, row in json.loads(text or "{}").items():
            fact = Learned(name=name, **row)
            if not fact.is_over:
                found[name] = fact
    return found


def write_learned(facts: Mapping[str, Learned]) -> str:
    """The inverse of `read_learned`."""
    return json.dumps(
        {
            name: {"sends": f.sends, "at": f.at, "how": f.how, "index": f.index, "fields": dict(f.fields)}
            for name, f in facts.items()
        },
        ensure_ascii=False,
    )


class Request:
    """One request on its way down the rungs."""

    def __init__(self, rungs: Sequence[Rung], known: Mapping[str, Learned], *, content: str) -> None:
        self._rungs = [rung for rung in rungs if rung.variants]
        self._known = known
        self._content = content
        self._fields: dict[str, Variant] = {}
        self._index: dict[str, int] = {}
        self.moved: dict[str, str] = {}  # what was given up by name: key of the fact -> rung
        self._all = False
        plain = ALL in known
        for rung in self._rungs:
            self._index[rung.name] = 0
            self._fields[rung.name] = rung.variants[0]
            fact = known.get(self._key(rung, by_value=True)) or known.get(rung.name)
            if plain and rung.optional:
                self._to(rung, len(rung.variants) - 1)
            elif fact is not None:
                self._index[rung.name] = fact.index
                self._fields[rung.name] = fact.fields if fact.index < 0 else self._variant(rung, fact.index)

    def body(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """Everything that is sent."""
        body = dict(base)
        for rung in self._rungs:
            body |= self._fields[rung.name]
        for rung in self._rungs:
            if rung.only_with and body.get(rung.only_with[0]) != rung.only_with[1]:
                for name in self._fields[rung.name]:
                    body.pop(name, None)
        return body

    def fields(self, name: str) -> Variant:
        """What is sent of one rung."""
        return self._fields.get(name, {})

    def gives_way(self, refusal: Refusal) -> bool:
        """Moves what the refusal names, else all that is optional; False when nothing is left to give."""
        for name in refusal.named([(rung.name, rung.names) for rung in self._rungs]):
            if self._moves(next(rung for rung in self._rungs if rung.name == name), refusal):
                return True
        return self._drops_all()

    def names_field(self, refusal: Refusal) -> bool:
        """Whether the refusal surely is about a field of ours, whatever its status."""
        sent = [rung for rung in self._rungs if self._fields[rung.name]]
        return refusal.surely_names([(rung.name, rung.names) for rung in sent])

    def learned(self) -> dict[str, Learned] | None:
        """What is to be remembered now that the request was served; None when there is nothing new."""
        now = time.time()
        facts = dict(self._known)
        for key, name in self.moved.items():
            index, fields = self._index[name], self._fields[name]
            facts[key] = Learned(
                name=key, sends=_shown(fields), at=now, how="named", index=index,
                fields=fields if index < 0 else {},  # else it may be a customer's words
            )  # fmt: skip
        if self._all:
            before = self._known.get(SUSPECT)
            if before is not None and before.sends != self._content:
                facts.pop(SUSPECT, None)
                facts[ALL] = Learned(name=ALL, sends="", at=now, how="repeated")
            else:
                facts[SUSPECT] = Learned(name=SUSPECT, sends=self._content, at=now, how="once")
        return facts if self.moved or self._all else None

    def _key(self, rung: Rung, *, by_value: bool) -> str:
        value = next(iter(rung.variants[0].values()), "")
        return f"{rung.name}={value}" if by_value and rung.by_value else rung.name

    def _variant(self, rung: Rung, index: int) -> Variant:
        return rung.variants[min(index, len(rung.variants) - 1)]

    def _to(self, rung: Rung, index: int) -> None:
        self._index[rung.name] = index
        self._fields[rung.name] = rung.variants[index]

    def _moves(self, rung: Rung, refusal: Refusal) -> bool:
        sent = self._fields[rung.name]
        if not sent:
            if rung.required is None or not refusal.requires or self._index[rung.name] < 0:
                return False
            self._index[rung.name], self._fields[rung.name] = -1, rung.required
            self.moved[rung.name] = rung.name
            return True
        value = next(iter(sent.values()))
        about_value = refusal.is_about_length if rung.text else refusal.is_about_value(value)
        if about_value and self._clamps(rung, refusal, value):
            return True  # for this request alone
        if about_value and rung.other and (proposed := rung.other(refusal, sent)):
            self._index[rung.name], self._fields[rung.name] = -1, proposed
            self.moved[self._key(rung, by_value=True)] = rung.name
            return True
        index = self._index[rung.name]
        if index < 0 or index >= len(rung.variants) - 1:
            if not rung.optional or index == len(rung.variants) - 1:
                return False
            index = len(rung.variants) - 2
        index += 1
        if about_value and (rung.by_value or rung.number or rung.text):  # under another name it is the same
            index = len(rung.variants) - 1
        self._to(rung, index)
        key = self._key(rung, by_value=about_value)
        if not (about_value and (rung.number or rung.text)):
            self.moved[key] = rung.name
        return True

    def _clamps(self, rung: Rung, refusal: Refusal, value: Any) -> bool:
        name = next(iter(self._fields[rung.name]))
        if rung.number and isinstance(value, int | float):
            bound = refusal.bounded(value)
            if bound is None or (bound < 1 and isinstance(value, int)):
                return False
            self._fields[rung.name] = {name: int(bound) if isinstance(value, int) else bound}
            return True
        if rung.text and isinstance(value, str) and len(value) > 2 * LEAST_PROMPT:
            self._fields[rung.name] = {name: value[: len(value) // 2].rsplit(" ", 1)[0]}
            return True
        return False

    def _drops_all(self) -> bool:
        if self._all:
            return False
        left = [r for r in self._rungs if r.optional and self._fields[r.name] != r.variants[-1]]
        for rung in left:
            self._to(rung, len(rung.variants) - 1)
        self._all = bool(left)
        return self._all


def _shown(fields: Variant) -> str:
    """Fields for operators: values that are words of a protocol, and of others the names alone."""
    shown = []
    for name, value in fields.items():
        word = value.get("type") if isinstance(value, dict) else value
        is_word = isinstance(word, str) and re.fullmatch(r"[a-z0-9_]{1,16}", word) and name != "prompt"
        shown.append(f"{name}={word}" if is_word else name)
    return ", ".join(shown)


def ladder(
    request: Request,
    base: Callable[[], Mapping[str, Any]],
    send: Callable[[Mapping[str, Any], float], Answer],
    *,
    timeout_seconds: float,
    is_refusal: Callable[[Answer], bool],
    refit: Callable[[Refusal], bool] = lambda refusal: False,
) -> Answer:
    """Sends until an answer is no refusal, or nothing is left to give; returns that answer.

    send(body, seconds left) makes one request. refit(refusal): whether the base was changed so that it is
    worth asking again. is_refusal(answer): whether other fields may help.
    """
    ends_at = time.monotonic() + timeout_seconds
    for _ in range(MOST_TRIES):
        answer = send(request.body(base()), max(1.0, ends_at - time.monotonic()))
        if 200 <= answer.status < 300:
            return answer
        refusal = Refusal(answer)
        if not refit(refusal):
            if not (is_refusal(answer) or request.names_field(refusal)):
                return answer
            if not request.gives_way(refusal):
                return answer
        if time.monotonic() >= ends_at:
            return answer
    return answer
