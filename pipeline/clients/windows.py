"""How much a model takes, in tokens or symbols, and messages fitted to it.

Older turns are dropped first, then the longest message loses its middle: instructions stand at the beginning
of a prompt, what was agreed and what is asked at its end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.clients.refusals import WINDOW_MARGIN, Refusal
from pipeline.domain.job import Message

FACT = "window"
GAP = "\n[...]\n"
HEAD_SHARE = 0.35
BYTES_PER_TOKEN = 3  # of UTF-8: careful for English (4) and for Russian (4 to 5)
PER_MESSAGE_TOKENS = 6
LEAST_REPLY_TOKENS = 1024

_TOO_LONG = re.compile(
    r"context[_ -]?(?:length|window|size)|context_length_exceeded"
    r"|(?:prompt|input|messages?|request|conversation) "
    r"(?:is|are|was) too (?:long|large)|too many (?:input )?tokens"
    r"|reduce (?:the|your) (?:length|prompt|messages|input)"
    r"|max_model_len|exceed_context|string_above_max_length|string too long|input tokens? exceed"
    r"|(?:prompt|input|tokens|text|message)\b.{0,60}\bexceeds?\b.{0,40}(?:limit|maximum|max|allowed)"
    r"|token limit exceeded|request_too_large",
    re.IGNORECASE,
)
_SYMBOLS = re.compile(r"characters|symbols|\bchars\b|string (?:with maximum|too long)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Window:
    """How much a model takes, question and answer together where it counts tokens."""

    size: int
    unit: Literal["token", "symbol"] = "token"

    def cost(self, text: str) -> int:
        """What a message of this text takes of it, by estimate."""
        if self.unit == "symbol":
            return len(text)
        return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN) + PER_MESSAGE_TOKENS

    def room(self, reply_tokens: int | None) -> int:
        """What is left for the messages."""
        if self.unit == "symbol":
            return self.size
        reply = min(max(reply_tokens or 0, LEAST_REPLY_TOKENS), self.size // 4)
        return max(1, self.size - reply - WINDOW_MARGIN)

    def characters(self, *, besides_tokens: int) -> int:
        """How many characters of any language fit, beside a question of so many tokens and its answer."""
        if self.unit == "symbol":
            return max(1, self.size - 4 * besides_tokens)
        return max(1, (self.room(None) - besides_tokens) * BYTES_PER_TOKEN // 2)


@dataclass(frozen=True, kw_only=True)
class TooLong:
    """A refusal for length. used: what the messages took, as the server counts."""

    window: Window | None
    used: int | None = None


def read(text: str | None) -> Window | None:
    """`16000`, `16000 tokens` or `16000 symbols`; None for anything else."""
    found = re.fullmatch(r"\s*(\d{3,9})\s*(tokens?|symbols?|characters?)?\s*", text or "")
    if not found:
        return None
    return Window(size=int(found[1]), unit="symbol" if (found[2] or "t")[0] in "sc" else "token")


def write(window: Window) -> str:
    """The inverse of `read`."""
    return f"{window.size} {window.unit}s"


def of_refusal(refusal: Refusal) -> TooLong | None:
    """What a refusal tells of the window; None where it is not about the messages' length."""
    text = refusal.text
    if refusal.answer.status not in (400, 413, 422, 500) or not _TOO_LONG.search(text):
        return None
    size, used = refusal.window, refusal.used
    if size and used and used + WINDOW_MARGIN < size:
        return None  # the messages fit: it is the room for the answer that does not
    unit: Literal["token", "symbol"] = "symbol" if _SYMBOLS.search(text) else "token"
    return TooLong(window=Window(size=size, unit=unit) if size else None, used=used if used != size else None)


def fit(
    messages: Sequence[Message], window: Window, *, reply_tokens: int | None = None, scale: float = 1.0
) -> list[Message]:
    """The messages in the room that the window leaves for them. scale: of our estimate to the true count."""
    room = int(window.room(reply_tokens) / scale)
    kept = list(messages)

    def over() -> int:
        return sum(window.cost(m.content) for m in kept) - room

    turns = [m for m in kept[:-1] if m.role != "system"]
    while over() > 0 and turns:
        kept.remove(turns.pop(0))
    for _ in range(2 * len(kept)):
        if (excess := over()) <= 0:
            break
        at = max(range(len(kept)), key=lambda index: len(kept[index].content))
        text = kept[at].content
        share = 1 - (excess + 8) / max(1, window.cost(text))
        kept[at] = replace(kept[at], content=without_middle(text, max(80, int(len(text) * max(share, 0.02)))))
        if len(kept[at].content) >= len(text):
            break
    return kept


def shorter(messages: Sequence[Message], told: TooLong, *, reply_tokens: int | None = None) -> list[Message]:
    """The messages after a refusal for length: fitted to what it told, else half as long."""
    window = told.window or Window(size=1 << 30, unit="symbol")
    estimate = sum(window.cost(m.content) for m in messages)
    if told.window:
        scale = max(1.0, 1.05 * told.used / max(1, estimate)) if told.used else 1.0
        fitted = fit(messages, window, reply_tokens=reply_tokens, scale=scale)
        if fitted != list(messages):
            return fitted
    return fit(messages, Window(size=sum(len(m.content) for m in messages) // 2, unit="symbol"))


def without_middle(text: str, characters: int) -> str:
    """Beginning and end of a text, at most so many characters, cut between words."""
    if len(text) <= characters:
        return text
    room = max(20, characters - len(GAP))
    head, tail = text[: int(room * HEAD_SHARE)], text[-(room - int(room * HEAD_SHARE)) :]
    head = re.sub(r"\S{1,40}\Z", "", head) if " " in head else head
    tail = re.sub(r"\A\S{1,40}", "", tail) if " " in tail else tail
    return head.rstrip() + GAP + tail.lstrip()
