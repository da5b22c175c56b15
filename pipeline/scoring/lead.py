"""What of a chat model's answer is believed: its verdict on the call, as far as it can be checked."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from pipeline.clients.insides import answer_only
from pipeline.domain.errors import BadAnswer
from pipeline.domain.lead import Criterion, Lead
from pipeline.domain.transcript import Transcript
from pipeline.scoring.quotes import find_quote
from pipeline.scoring.rubric import Rubric, Rule, band
from pipeline.scoring.wording import caveats, phrase

REASON_CHARS = 2000
TRIES = 4  # times the length of an answer that may be read in search of JSON
MAX_NESTING = 5_000  # letters that are read at the most before JSON nests too deep


def read_lead(
    text: str, transcript: Transcript, rubric: Rubric | None = None, *, language: str = "en"
) -> Lead:
    """A chat answer as a Lead. Pure; raises BadAnswer with a sentence that tells the model what is wrong.

    Without a rubric: the model's integer score 0-100; where its quality disagrees, the score decides. With
    one: the score is computed here from the weights of the criteria that are met, and a criterion counts
    as met only when its quote stands in the transcript. What makes the transcript doubtful is added to the
    reason, in `language` (ISO 639-1).
    """
    if rubric is None:
        answer = cut_json(text, {"score"})
        score = _score(answer.get("score"))
        return Lead(quality=band(score), score=score, reason=_reason(answer, transcript, language))
    answer = cut_json(text, {"criteria"})
    criteria = _criteria(answer.get("criteria"), transcript, rubric, language)
    score = weigh(criteria)
    return Lead(
        quality=rubric.band(score),
        score=score,
        reason=_reason(answer, transcript, language),
        criteria=criteria,
    )


def weigh(criteria: Collection[Criterion]) -> int:
    """The score: the met weights' share of all weights above zero, 0-100, rounded half up."""
    most = sum(criterion.weight for criterion in criteria if criterion.weight > 0)
    met = sum(criterion.weight for criterion in criteria if criterion.met)
    return max(0, min(100, math.floor(100 * met / most + 0.5))) if most > 0 else 0


def cut_json(text: str, wanted: Collection[str]) -> dict[str, Any]:
    """The last JSON object in the text that has one of the wanted keys, whatever stands around it.

    Raises BadAnswer. Objects inside of objects are not looked for.
    """
    text = answer_only(text)
    decoder = json.JSONDecoder()
    found, seen, at = None, False, text.find("{")
    effort = TRIES * max(len(text), MAX_NESTING)  # what begins like JSON and is none is read again and again
    while at >= 0 and effort > 0:
        try:
            value, after = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            after, effort = at + 1, effort - (error.pos - at) - 1
        except (ValueError, RecursionError):
            after, effort = at + 1, effort - MAX_NESTING
        else:
            seen = True
            if isinstance(value, dict) and value.keys() & set(wanted):
                found = value
        at = text.find("{", after)
    if found is None:
        names = ", ".join(f'"{name}"' for name in sorted(wanted))
        raise BadAnswer(f"It lacks {names}." if seen else "It holds no complete JSON object.")
    return found


def _score(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,3}\s*", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadAnswer('"score" is no integer.')
    if not 0 <= value <= 100:
        raise BadAnswer('"score" is not between 0 and 100.')
    return value


def _reason(answer: Mapping[str, Any], transcript: Transcript, language: str) -> str:
    reason = answer.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        raise BadAnswer('"reason" is missing or no text.')
    text = " ".join(reason.split())
    if len(text) > REASON_CHARS:
        text = text[: REASON_CHARS - 1].rstrip() + "…"
    return " ".join([text, *caveats(transcript, language)])


def _criteria(value: Any, transcript: Transcript, rubric: Rubric, language: str) -> tuple[Criterion, ...]:
    judged = {}
    for item in value if isinstance(value, list) else []:
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            judged[_key(item["name"])] = item
    missing = [rule.name for rule in rubric.rules if _key(rule.name) not in judged]
    if missing:
        raise BadAnswer(f'"criteria" lacks {", ".join(missing)}.')
    return tuple(_criterion(judged[_key(rule.name)], rule, transcript, language) for rule in rubric.rules)


def _criterion(item: Mapping[str, Any], rule: Rule, transcript: Transcript, language: str) -> Criterion:
    met = item.get("met")
    if not isinstance(met, bool):
        raise BadAnswer(f'"met" of {rule.name} is neither true nor false.')
    quote, explanation = item.get("quote"), item.get("explanation")
    explanation = " ".join(explanation.split())[:REASON_CHARS] if isinstance(explanation, str) else ""
    if not met:
        return Criterion(name=rule.name, met=False, weight=rule.weight, explanation=explanation)
    place = find_quote(quote, transcript, said_by=rule.said_by) if isinstance(quote, str) else None
    if place is None or not isinstance(quote, str):
        unproven = phrase("unproven", language)
        note = f"{explanation} ({unproven})" if explanation else unproven
        return Criterion(name=rule.name, met=False, weight=rule.weight, explanation=note)
    return Criterion(
        name=rule.name,
        met=True,
        weight=rule.weight,
        quote=" ".join(quote.split())[:500],
        at=place.at,
        explanation=explanation,
    )


def _key(name: str) -> str:
    return " ".join(name.split()).strip("-:. ").casefold()
