"""What `sandbox-rules` says: a chat "model" of a few rules, which reads the text that it is sent.

It is honest about itself: its name says that it is rules, its summaries are sentences of the text, its
quotes are words of the transcript, and of what it does not understand it says nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MODEL = "sandbox-rules"

_NUMBER = (
    r"(?:\d[\d ,.]*|(?:two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty|thirty|forty|"
    r"fifty|sixty|seventy|eighty|ninety|hundred|thousand|десять|двадцать|тридцать|сорок|пятьдесят|сто)\b"
    r"[\w ]{0,12}?)"
)


@dataclass(frozen=True, kw_only=True)
class Sign:
    """Something said that tells what a call is worth."""

    name: str
    pattern: re.Pattern[str]
    points: int
    criterion: re.Pattern[str]  # which criterion of a rubric it proves, by the criterion's name
    english: str
    russian: str


def _sign(name: str, pattern: str, points: int, criterion: str, english: str, russian: str) -> Sign:
    flags = re.IGNORECASE
    return Sign(
        name=name,
        pattern=re.compile(pattern, flags),
        points=points,
        criterion=re.compile(criterion, flags),
        english=english,
        russian=russian,
    )


START = 12  # points before anything was said
SIGNS = (
    _sign(
        "refusal",
        r"not interested|no budget|no money|do(?:n't| not) call|wrong number|не интересно|не звоните",
        -70, "refus|отказ", "a refusal", "отказ",
    ),
    _sign(
        "need", r"looking for|we need|we want|interested in|нужн[аоы]?\b|ищем|хотим",
        20, "need|потребност", "a need", "потребность",
    ),
    _sign(
        "budget",
        r"budget (?:is|of)|" + _NUMBER + r"\s*(?:dollars|euros?|roubles|тысяч|рубл\w+|долларов|евро)",
        20, "budget|money|бюджет", "a budget", "бюджет",
    ),
    _sign(
        "size", _NUMBER + r"\s*(?:users|people|seats|licen[cs]es|employees|сотрудник\w*|пользовател\w*)",
        15, "size|users|объ[её]м", "the number of users", "число пользователей",
    ),
    _sign(
        "time", r"urgent|this (?:week|month)|as soon as possible|срочно|в этом месяце|на этой неделе",
        15, "time|date|срок", "urgency", "срочность",
    ),
    _sign(
        "step", r"contract|meet on|price list|a demo\b|договор|встреч\w+|предложение",
        15, "step|шаг", "a next step", "следующий шаг",
    ),
)  # fmt: skip


def reply(messages: Sequence[dict[str, Any]], response_format: dict[str, Any] | None = None) -> str:
    """The answer to a conversation; JSON where JSON is asked for."""
    system = "\n".join(_content(m) for m in messages if m.get("role") in ("system", "developer"))
    user = next((_content(m) for m in reversed(messages) if m.get("role") == "user" and _material(m)), "")
    material = _unmarked(user)
    asked = f"{system}\n{user[:4000]}"
    as_json = (response_format or {}).get("type") in ("json_object", "json_schema")
    if '"quality"' in asked and '"score"' in asked:
        return _lead(material, asked)
    if '"call_review"' in asked:
        return _review(material, asked)
    if '"criteria"' in asked and '"met"' in asked:
        return _criteria(material, asked)
    if as_json or '"comment"' in asked:
        return json.dumps({"comment": _sentences(material, 3)}, ensure_ascii=False)
    return _extract(material)


def tokens(text: str) -> int:
    """How many tokens a text is billed as: about four bytes of UTF-8 each."""
    return -(-len(text.encode()) // 4)


def _content(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _material(message: dict[str, Any]) -> bool:
    """Whether the message brings something to read, unlike a request to mend the last answer."""
    return not _content(message).startswith("This answer cannot be used")


def _unmarked(text: str) -> str:
    """What stands between marker lines (`<mark>` ... `</mark>`, `<<<mark` ... `mark>>>`), else all of it."""
    for pattern in (r"<([\w-]+)>\n(.*?)\n</\1>", r"<<<(\w+)\n(.*?)\n\1>>>"):
        found = re.search(pattern, text, re.DOTALL)
        if found:
            return found[2]
    return text


def _signs(material: str) -> dict[str, str]:
    """The signs that the text shows, each with the words that show it."""
    shown = {}
    for sign in SIGNS:
        for line in material.splitlines():
            spoken = re.sub(r"^\s*\[[^\]]*\]\s*", "", line)
            found = sign.pattern.search(spoken)
            if found:
                shown[sign.name] = _around(spoken, found.start(), found.end())
                break
    if "refusal" in shown and "budget" in shown and "no budget" in shown["refusal"]:
        del shown["budget"]
    return shown


def _around(text: str, start: int, end: int) -> str:
    """The match with up to four words on either side."""
    before = (
        text[:start].split()[-4:] if start == 0 or text[start - 1].isspace() else [text[:start].split()[-1]]
    )
    head = " ".join(before)
    first = text.rfind(head, 0, start) if head else start
    after = re.match(r"\S*(?:\s+\S+){0,4}", text[end:])
    return text[first : end + (after.end() if after else 0)].strip()


def _lead(material: str, asked: str) -> str:
    shown = _signs(material)
    score = max(0, min(97, START + sum(sign.points for sign in SIGNS if sign.name in shown)))
    quality = "high" if score >= 70 else "medium" if score >= 40 else "low"
    return json.dumps(
        {"quality": quality, "score": score, "reason": _reason(shown, asked)}, ensure_ascii=False
    )


def _reason(shown: dict[str, str], asked: str) -> str:
    russian = "in Russian" in asked
    parts = [
        f'{sign.russian if russian else sign.english} ("{shown[sign.name]}")'
        for sign in SIGNS
        if sign.name in shown
    ]
    if not parts:
        return (
            "В разговоре нет признаков покупки." if russian else "Nothing in the call points to a purchase."
        )
    return ("В разговоре есть " if russian else "The call shows ") + ", ".join(parts) + "."


def _criteria(material: str, asked: str) -> str:
    shown = _signs(material)
    judged = []
    for name in re.findall(r"^- ([^:\n]{1,80}):", asked, re.MULTILINE):
        quote = next((shown[s.name] for s in SIGNS if s.criterion.search(name) and s.name in shown), None)
        why = "These words show it." if quote else "Nothing in the call shows it."
        judged.append({"name": name, "met": quote is not None, "quote": quote, "explanation": why})
    return json.dumps({"criteria": judged, "reason": _reason(shown, asked)}, ensure_ascii=False)


def _review(material: str, asked: str) -> str:
    shown = _signs(material)
    listed = re.search(r"Criteria, one per line:\n(.*?)\n\s*\n?", asked + "\n", re.DOTALL)
    judged = []
    for line in (listed[1] if listed else "").splitlines():
        met = any(sign.criterion.search(line) and sign.name in shown for sign in SIGNS)
        why = "The call shows it." if met else "Nothing in the call shows it."
        judged.append({"criterion": line.strip(), "status": met, "explanation": why})
    return json.dumps(
        {
            "call_review": {"criteria": judged},
            "overall_summary": _extract(material),
            "recommendations": "Rules give no recommendations.",
        },
        ensure_ascii=False,
    )


def _sentences(material: str, number: int) -> list[str]:
    found = [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", material) if part.strip()]
    return found[:number]


def _extract(material: str) -> str:
    """The first sentences, said to be no more than that."""
    words = " ".join(_sentences(material, 3)).split()
    text = " ".join(words[:60]) + (" ..." if len(words) > 60 else "")
    return f"From the text, word for word: {text}" if text else "There is no text to read."
