"""Fitting a long transcript into a model's context without losing how the call ended."""

from __future__ import annotations

import re

MAX_CHARS = 120_000  # about 35,000 tokens: some four hours of Russian speech fit whole
HEAD_SHARE, TAIL_SHARE = 0.25, 0.5  # who calls and why; what was agreed. The rest goes to what is telling

_TELLING = re.compile(
    r"\d|%|\?|budget|price|cost|pay|discount|contract|invoice|decid|deadline|buy|order|need|demo|meeting"
    r"|бюджет|цен|стоим|оплат|плат|скидк|договор|счет|счёт|реш|срок|купи|заказ|нужн|надо|показ|встреч|тысяч|милли",
    re.IGNORECASE,
)


def fit(text: str, max_chars: int = MAX_CHARS) -> str:
    """The transcript in at most about `max_chars` characters, in its own order, by whole turns.

    Too long a transcript keeps its first quarter and its last half of the allowance, and from between the
    turns that name money, dates, numbers, decisions or questions, as many as fit (later ones first).
    Gaps are marked "[...]".
    """
    if len(text) <= max_chars:
        return text
    lines = _lines(text, longest=max(200, max_chars // 20))
    keep: set[int] = set()

    def take(order: list[int], allowance: float, *, gaps: bool) -> None:
        for number in order:
            allowance -= len(lines[number]) + 1
            if allowance < 0 and not gaps:
                return
            if allowance < 0:
                allowance += len(lines[number]) + 1
                continue
            keep.add(number)

    numbers = list(range(len(lines)))
    take(numbers, max_chars * HEAD_SHARE, gaps=False)
    take([n for n in reversed(numbers) if n not in keep], max_chars * TAIL_SHARE, gaps=False)
    telling = [n for n in reversed(numbers) if n not in keep and _TELLING.search(lines[n])]
    take(telling, max_chars * (1 - HEAD_SHARE - TAIL_SHARE), gaps=True)
    kept, last = [], -1
    for number in sorted(keep):
        if number != last + 1:
            kept.append("[...]")
        kept.append(lines[number])
        last = number
    return "\n".join(kept)


def _lines(text: str, *, longest: int) -> list[str]:
    """Turns; one that is longer than `longest` by sentences, or by words where it has none."""
    lines = []
    for turn in text.splitlines():
        piece = ""
        for part in re.findall(r"[^.!?…]+[.!?…]*\s*", turn) if len(turn) > longest else [turn]:
            for bit in re.findall(rf".{{1,{longest}}}(?:\s|$)|.{{1,{longest}}}", part, re.S):
                if piece and len(piece) + len(bit) > longest:
                    lines.append(piece.strip())
                    piece = ""
                piece += bit
        if piece.strip():
            lines.append(piece.strip())
    return lines
