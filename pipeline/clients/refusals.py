"""What a refusal names: the field that a server does not take, whether it is the name or the value, and
bounds.

Servers name fields in many places: `error.param`, `detail[].loc` (FastAPI), a sentence, a JSON text inside of
a sentence (LiteLLM and other proxies, whose own `param` is null), both error shapes of the AI Router. Here
all of them are read the same way. A refusal may echo what was sent, so places are trusted in this order:
structured names, then quoted words, then plain words of the sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.clients.transport import Answer

MAX_CHARS = 8000  # of a refusal that are looked at
MAX_DEPTH = 6

_ECHO = frozenset({"input", "body", "request", "messages", "headers", "ctx", "url", "traceback"})
_PLACES = frozenset({"param", "params", "parameter", "field", "loc", "path", "argument", "arg"})
_QUOTED = re.compile(r"""\\?["'`‘“«]([A-Za-z_][\w.\[\]]{0,60}?)(?:=[\w.]*)?\\?["'`’”»]""")
_NUMBER = re.compile(r"(?<![\w.\-/])-?\d[\d,_]*(?:\.\d+)?(?![\w\-/])")

_NAME = re.compile(
    r"(?:unknown|unrecogni[sz]ed|unexpected|unsupported|unsupport|invalid|extra|additional|not (?:a )?valid)"
    r"[\s:_-]*(?:request[\s_-]*)?(?:parameter|argument|field|keyword|key|propert|input|option)"
    r"|extra[_ ]forbidden|not permitted|does not support parameters|only the default",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"(?:valid|supported|allowed) range|\binvalid \w{1,40} value|less than|greater than|at most"
    r"|at least|no more than|maximum|minimum|between|out of range|exceed"
    r"|too (?:large|long|small|high|low|short|many|big)|must be|should be|has to be|expected|one of"
    r"|(?:invalid|unsupported|bad|illegal)[\s_]+(?:value|language|size|format)|does not support .{1,40} with"
    r"|above_max|below_min|not a valid|<=|>=|≤|≥|supported values|supported languages|not compatible",
    re.IGNORECASE,
)
_TOO_LARGE = re.compile(r"at most|less than|maximum|too (?:large|high|long)", re.IGNORECASE)
_REFUSES = re.compile(
    r"unsupport|not support|not allowed|not permitted|not implemented|unknown|unrecogni[sz]ed"
    r"|unexpected|invalid"
    r"|extra_forbidden|must be|not accept|not available|not compatible|is required",
    re.IGNORECASE,
)
_LENGTH = re.compile(
    r"too (?:long|many|large)|exceed|at most|no more than|maximum|\blength\b|characters|\btokens\b|above_max",
    re.IGNORECASE,
)
_REQUIRED = re.compile(
    r"\b(?:is|are) required|required (?:for|when)|must (?:be )?(?:set|specif|provid)", re.IGNORECASE
)


_N = r"(?<!\d)(\d[\d,]{0,14})"
_WINDOW = re.compile(
    rf"(?:maximum|max\.?) (?:context|sequence|model|input|prompt|total)["
    rf" _]?(?:length|size|window|tokens?)[^\d.]{{0,40}}{_N}"
    rf"|context (?:length|window|size)[^\d.]{{0,40}}{_N}"
    rf"|(?:n_ctx|num_ctx|max_model_len|context_limit)\D{{0,6}}{_N}"
    rf"|tokens? > {_N} max|with maximum length {_N}|limit (?:of|is) {_N} (?:tokens|characters|symbols)"
    rf"|at most {_N} (?:input )?(?:tokens|characters|symbols)"
    rf"|exceeds? (?:the )?(?:limit|maximum)\D{{0,40}}{_N}",
    re.IGNORECASE,
)
_USED = re.compile(
    rf"{_N} (?:tokens )?in (?:the|your) (?:messages|prompt|input)|messages resulted in {_N}|{_N} input tokens"
    rf"|(?:prompt|input|request) (?:contains|has|is)(?: at least)? {_N}|too long: {_N} tokens"
    rf"|n_prompt_tokens {_N}"
    rf"|but got {_N}|requested {_N} tokens|length of {_N}",
    re.IGNORECASE,
)
WINDOW_MARGIN = 16


def _first(pattern: re.Pattern[str], text: str) -> int | None:
    for match in pattern.finditer(text):
        digits = next((group for group in match.groups() if group), "").replace(",", "")
        if digits and int(digits[:12]) >= 256:
            return int(digits[:12])
    return None


@dataclass(frozen=True, kw_only=True)
class Names:
    """By what a refusal may mean a field. words: a pattern for sentences; unset: the names as words."""

    fields: tuple[str, ...]
    words: str | None = None

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        if self.words:
            return re.compile(self.words, re.IGNORECASE)
        names = (re.escape(name).replace("_", "[ _-]?") for name in self.fields)
        return re.compile(rf"(?<![\w-])(?:{'|'.join(names)})(?![\w-])", re.IGNORECASE)


@dataclass(frozen=True)
class Refusal:
    """An unsuccessful answer, as far as it can be read; `text` is all its sentences, `params` what it
    names."""

    answer: Answer

    @cached_property
    def _found(self) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        sentences: list[str] = []
        params: list[str] = []
        codes: list[str] = []
        _collect(_parsed(self.answer.body), sentences, params, codes, MAX_DEPTH)
        return " ".join(sentences)[:MAX_CHARS], tuple(params), tuple(codes)

    @property
    def text(self) -> str:
        return self._found[0]

    @property
    def params(self) -> tuple[str, ...]:
        return self._found[1]

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes and types, of the outer error and of errors inside of it."""
        return self._found[2]

    def named(self, known: Sequence[tuple[str, Names]]) -> list[str]:
        """Which of the known fields it names, in the order in which they are known; empty when it names
        none."""
        return self._structured(known) or self._quoted(known) or self._worded(known)

    def surely_names(self, known: Sequence[tuple[str, Names]]) -> bool:
        """Whether it names one as a field, not as a word that may be there by chance, and refuses it."""
        return bool(self._structured(known) or self._quoted(known)) and bool(_REFUSES.search(self.text))

    def _structured(self, known: Sequence[tuple[str, Names]]) -> list[str]:
        tokens = [token for param in self.params for token in re.split(r"[.\[\]/\s,]+", param) if token]
        return _of(tokens, known)

    def _quoted(self, known: Sequence[tuple[str, Names]]) -> list[str]:
        quoted = _QUOTED.findall(self.text)
        return _of([token for word in quoted for token in re.split(r"[.\[\]]+", word) if token], known)

    def _worded(self, known: Sequence[tuple[str, Names]]) -> list[str]:
        return [key for key, names in known if names.pattern.search(self.text)]

    def is_about_value(self, value: Any) -> bool:
        """Whether it is the value that is refused; else the field itself."""
        said = self.text
        for code in self.codes:
            said = said.replace(code, "")  # INVALID_ARGUMENT is Google's word for any 400
        if _NAME.search(said) or {"unsupported_parameter", "unknown_parameter", "extra_forbidden"} & set(
            self.codes
        ):
            return False
        if isinstance(value, str) and value and re.search(rf"(?<!\w){re.escape(value)}(?!\w)", self.text):
            return True
        return bool(_VALUE.search(self.text) or any(_VALUE.search(code) for code in self.codes))

    @property
    def is_about_length(self) -> bool:
        """Whether a text is too long for it."""
        return bool(_LENGTH.search(self.text))

    @property
    def requires(self) -> bool:
        """Whether it asks for a field rather than refusing one."""
        return bool(_REQUIRED.search(self.text))

    def bounded(self, value: float) -> float | None:
        """The nearest value that the refusal says it takes; None when it names no bound."""
        if self.window and self.used and self.used < self.window:  # what the messages leave of a window
            left = float(self.window - self.used - WINDOW_MARGIN)
            return left if 1 <= left < value else None
        numbers = sorted({n for n in _numbers(self.text) if n != value and n >= 0})
        if pair := re.search(
            r"(?:between|range\D{0,20}from)\D{0,12}(-?[\d.]+)\D{1,12}?(-?[\d.]+)|\[\s*(-?[\d.]+)\s*,\s*(-?[\d.]+)\s*\]",
            self.text,
        ):
            with suppress(ValueError):
                low, high = (float(group.rstrip(".")) for group in pair.groups() if group is not None)
                if low <= high and not low <= value <= high:
                    return min(max(value, low), high)
        too_small = re.search(
            r"at least|greater than|minimum|below_min|too (?:small|low|short)|>=|≥", self.text, re.I
        )
        below, above = [n for n in numbers if n < value], [n for n in numbers if n > value]
        if too_small and above and not _TOO_LARGE.search(self.text):
            return above[0]
        if not below or not _VALUE.search(self.text + " " + " ".join(self.codes)):
            return None
        bound = f"{below[-1]:.10g}"
        if re.search(rf"(?:less than|below|<) [`'\"]*{bound}\b|{bound}\W*exclusive", self.text):
            return below[-1] - (1 if below[-1] > 2 else 0.01)
        return below[-1]

    @cached_property
    def window(self) -> int | None:
        """How much the model takes in all, where the refusal tells it."""
        return _first(_WINDOW, self.text)

    @cached_property
    def used(self) -> int | None:
        """How much the messages took as the server counts, where it tells."""
        return _first(_USED, self.text)

    def sizes(self) -> list[str]:
        """Sizes like 1024x1536 that it lists."""
        return list(dict.fromkeys(re.findall(r"(?<!\d)\d{2,4}x\d{2,4}(?!\d)", self.text)))


def _of(tokens: Sequence[str], known: Sequence[tuple[str, Names]]) -> list[str]:
    said = {token.casefold() for token in tokens}
    return [
        key for key, names in known if said & {name.casefold().removesuffix("[]") for name in names.fields}
    ]


def _numbers(text: str) -> Iterator[float]:
    for match in _NUMBER.finditer(text):
        with suppress(ValueError):
            yield float(match[0].replace(",", "").replace("_", ""))


def _parsed(body: bytes) -> Any:
    text = body[: 1 << 16].decode("utf-8", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text[:MAX_CHARS]


def _collect(value: Any, sentences: list[str], params: list[str], codes: list[str], depth: int) -> None:
    if depth == 0:
        return
    if isinstance(value, str):
        sentences.append(value[:MAX_CHARS])
        start, end = value.find("{"), value.rfind("}")
        if 0 <= start < end and (":" in value[start:end]):
            with suppress(ValueError, RecursionError):  # an error that a proxy wrapped into its sentence
                _collect(json.loads(value[start : end + 1]), [], params, codes, depth - 1)
    elif isinstance(value, list):
        for item in value[:50]:
            _collect(item, sentences, params, codes, depth - 1)
    elif isinstance(value, dict):
        for name, item in list(value.items())[:50]:
            key = str(name).casefold()
            if key in _ECHO:
                continue
            if key in _PLACES:
                params += [
                    str(part) for part in (item if isinstance(item, list) else [item]) if part is not None
                ]
            elif key in ("code", "type", "status", "reason") and isinstance(item, str | int):
                codes.append(str(item))
                sentences.append(str(item))
            elif isinstance(item, int) and not isinstance(item, bool):
                sentences.append(f"{name} {item}")
            else:
                _collect(item, sentences, params, codes, depth - 1)
