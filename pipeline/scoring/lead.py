"""What of a chat model's answer is believed: its verdict on the call, as far as it can be checked."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Any

from pipeline.domain.errors import BadAnswer
from pipeline.domain.lead import Criterion, Lead, Quality
from pipeline.domain.transcript import Transcript
from pipeline.scoring.answers import cut_json, truth
from pipeline.scoring.quotes import find_quote, words
from pipeline.scoring.rubric import HIGH, Rubric, Rule, band
from pipeline.scoring.talk_of_scores import is_about_scores, talk_of_scores
from pipeline.scoring.wording import caveats, phrase, spoke_about_the_score, summary

REASON_CHARS = 2000
ALIKE_WORDS = 0.6  # of the shorter of two quotes: so much in common, and they are the same evidence
QUOTE_WORDS = 60

_FRACTION = re.compile(
    r"(\d{1,3}(?:[.,]\d{1,2})?)\s*(?:points?\s*|балл\w*\s*)?"
    r"(?:/|out of|of|from|из|von|de|sur|su|z|з|на)\s*(\d{1,3})(?:\s*[^\W\d]*\.?)?"
)
_NUMBER = re.compile(r"(\d{1,3}(?:[.,]\d{1,2})?)\s*(?:%|points?|pts\.?|балл\w*|процент\w*|п\.)?")
# what stands around a number and leaves it what it is
_AROUND = re.compile(
    r"^(?:(?:lead\s*)?score|rating|оценка(?:\s+лида)?|балл\w*|скор|high|medium|low|высок\w*|средн\w*|низк\w*)"
    r"\s*[:=(]*\s*|^\+|\s*\([^()\d]{0,40}\)$|\)$|[*_`\"']"
)
_SLASHES = str.maketrans("⁄／∕", "///")
_STRONGLY = re.compile(r"^(?:very|extremely|quite|fairly|очень|крайне|довольно|достаточно)\s+")
_BANDS: dict[str, Quality] = {
    "high": "high", "hot": "high", "medium": "medium", "middle": "medium", "mid": "medium",
    "moderate": "medium",
    "average": "medium", "warm": "medium", "low": "low", "cold": "low", "высок": "high", "горяч": "high",
    "средн": "medium", "тепл": "medium", "тёпл": "medium", "низк": "low", "холодн": "low",
    "нецелев": "low", "unqualified": "low", "disqualified": "low", "not qualified": "low", "junk": "low",
    "spam": "low", "спам": "low", "🔥": "high", "❄": "low", "🧊": "low",
}  # fmt: skip
# how models call what they were asked for
_NAMES = {
    "score": ("score", "lead_score", "leadscore", "lead score", "lead-score", "оценка", "балл", "баллы",
              "скор", "оценка_лида", "оценка лида"),
    "quality": ("quality", "lead_quality", "leadquality", "lead quality", "lead-quality", "quality_label",
                "level", "rating", "band", "grade", "temperature", "качество", "качество лида", "класс",
                "категория", "уровень", "температура"),
    "reason": ("reason", "reasoning", "explanation", "rationale", "justification", "причина", "обоснование",
               "пояснение", "комментарий"),
    "criteria": ("criteria", "criterions", "критерии"),
    "name": ("name", "criterion", "критерий", "название"),
    "met": ("met", "is_met", "fulfilled", "satisfied", "status", "выполнен", "выполнено"),
    "quote": ("quote", "quotation", "evidence", "цитата"),
}  # fmt: skip
_ORDER: tuple[Quality, ...] = ("low", "medium", "high")


def read_lead(
    text: str, transcript: Transcript, rubric: Rubric | None = None, *, language: str = "en"
) -> Lead:
    """A chat answer as a Lead. Pure; raises BadAnswer with a sentence that tells the model what is wrong.

    Without a rubric: the model's score 0-100, where the quality that it names lies no two bands apart. With
    one: the score is computed here from the weights of the criteria that are met, and a criterion counts as
    met only when words prove it that were said, that prove no other one, and that do not speak of the score.
    In both cases a call in which somebody speaks to the judge ("score this lead one hundred") gets no more
    than medium until a person has looked, and says so. What makes the transcript doubtful is added to the
    reason, in `language` (ISO 639-1).
    """
    high = rubric.high if rubric else HIGH
    if rubric is None:
        answer = cut_json(text, _NAMES["score"])
        score = _score(_named(answer, "score"))
        quality, named = band(score), _band(_named(answer, "quality"))
        if named and abs(_ORDER.index(named) - _ORDER.index(quality)) > 1:
            raise BadAnswer(
                f'"quality" is {named}, and "score" {score} is {quality}: they contradict each other.'
            )
        lead = Lead(quality=quality, score=score, reason=_reason(answer))
    else:
        answer = cut_json(text, _NAMES["criteria"])
        criteria, reason = (
            _criteria(_named(answer, "criteria"), transcript, rubric, language),
            _reason(answer),
        )
        rejected = [each.name for each, told in criteria if told]
        if rejected:  # a reason that rests on them would say what the score does not
            shown = [each.name for each, _ in criteria if each.met]
            reason = " ".join(summary(shown, rejected, language))
        score = weigh([each for each, _ in criteria])
        lead = Lead(
            quality=rubric.band(score),
            score=score,
            reason=reason,
            criteria=tuple(each for each, _ in criteria),
        )
    return _capped(lead, transcript, language, high=high)


def _capped(lead: Lead, transcript: Transcript, language: str, *, high: int) -> Lead:
    notes = caveats(transcript, language)
    if (told := talk_of_scores(transcript)) is not None:
        notes.append(spoke_about_the_score(*told, language))
        if lead.score >= high:
            lead = replace(lead, score=high - 1, quality="medium")
    reason = lead.reason if not notes or lead.reason[-1] in ".!?…" else f"{lead.reason}."
    return replace(lead, reason=" ".join([reason, *notes]))


def weigh(criteria: Collection[Criterion]) -> int:
    """The score: the met weights' share of all weights above zero, 0-100, rounded half up."""
    most = sum(criterion.weight for criterion in criteria if criterion.weight > 0)
    met = sum(criterion.weight for criterion in criteria if criterion.met)
    return max(0, min(100, math.floor(100 * met / most + 0.5))) if most > 0 else 0


def _named(answer: Mapping[str, Any], what: str) -> Any:
    """A value by the name that was asked for, else by another that means the same."""
    return next((answer[name] for name in _NAMES[what] if name in answer), None)


def _score(value: Any) -> int:
    """A score from 0 to 100 as a number, or as words that can mean nothing else: "85/100", "8,5 из 10"."""
    if isinstance(value, str):
        value = _spelt(_AROUND.sub("", value.strip()[:100].casefold().translate(_SLASHES)).strip())
    if isinstance(value, float) and math.isfinite(value) and (value.is_integer() or value > 1):
        value = math.floor(value + 0.5)  # 0.85 may be a share, or less than one of a hundred
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadAnswer('"score" is no integer.')
    if not 0 <= value <= 100:
        raise BadAnswer('"score" is not between 0 and 100.')
    return value


def _spelt(text: str) -> float | None:
    if found := _FRACTION.fullmatch(text):
        part, whole = float(found[1].replace(",", ".")), int(found[2])
        return (
            float(math.floor(100 * part / whole + 0.5)) if whole in (5, 10, 100) and part <= whole else None
        )
    found = _NUMBER.fullmatch(text)
    return float(found[1].replace(",", ".")) if found else None


def _band(value: Any) -> Quality | None:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    text = _STRONGLY.sub("", value.strip(" *_\"'").casefold()) if isinstance(value, str) else ""
    return next((quality for word, quality in _BANDS.items() if text.startswith(word)), None)


def _reason(answer: Mapping[str, Any]) -> str:
    reason = _named(answer, "reason")
    if isinstance(reason, list) and reason and all(isinstance(each, str) for each in reason):
        reason = " ".join(reason)
    if not isinstance(reason, str) or not reason.strip():
        raise BadAnswer('"reason" is missing or no text.')
    text = " ".join(reason.split())
    if len(text) > REASON_CHARS:
        text = text[: REASON_CHARS - 1].rstrip() + "…"
    return text


Judged = tuple[Criterion, bool]  # whether its evidence was rejected


def _criteria(value: Any, transcript: Transcript, rubric: Rubric, language: str) -> Sequence[Judged]:
    judged: dict[str, Mapping[str, Any]] = {}
    if isinstance(value, dict):  # by name instead of in a list
        value = [{"name": name, **item} for name, item in value.items() if isinstance(item, dict)]
    for item in value if isinstance(value, list) else []:
        if isinstance(item, dict):
            lowered = {str(key).strip().casefold(): each for key, each in item.items()}
            if isinstance(name := _named(lowered, "name"), str):
                judged[_key(name)] = lowered
    missing = [rule.name for rule in rubric.rules if _key(rule.name) not in judged]
    if missing:
        raise BadAnswer(f'"criteria" lacks {", ".join(missing)}.')
    taken: list[list[str]] = []
    found = {}
    # what counts against a call goes first: words that show a refusal show no need besides
    for rule in sorted(rubric.rules, key=lambda rule: rule.weight >= 0):
        found[rule.name] = _criterion(judged[_key(rule.name)], rule, transcript, language, taken)
    return [found[rule.name] for rule in rubric.rules]


def _criterion(
    item: Mapping[str, Any], rule: Rule, transcript: Transcript, language: str, taken: list[list[str]]
) -> Judged:
    met = _truth(_named(item, "met"), rule)
    quote, explanation = _named(item, "quote"), item.get("explanation")
    explanation = " ".join(explanation.split())[:REASON_CHARS] if isinstance(explanation, str) else ""
    criterion = Criterion(name=rule.name, met=False, weight=rule.weight, explanation=explanation)
    if not met:
        return criterion, False
    place = find_quote(quote, transcript, said_by=rule.said_by) if isinstance(quote, str) else None
    said = words(quote).split()[:QUOTE_WORDS] if isinstance(quote, str) else []
    if place is None or not isinstance(quote, str):
        why = "unproven"
    elif is_about_scores(quote):
        why = "about_scores"
    elif any(_alike(said, other) for other in taken):
        why = "proves_another"
    else:
        taken.append(said)
        return replace(criterion, met=True, quote=" ".join(quote.split())[:500], at=place.at), False
    return replace(criterion, explanation=phrase(why, language)), True


def _alike(one: list[str], other: list[str]) -> bool:
    """Whether two quotes are the same words, or one is most of the other."""
    common = SequenceMatcher(None, one, other, autojunk=False).find_longest_match().size
    return common >= max(1, ALIKE_WORDS * min(len(one), len(other)))


def _truth(value: Any, rule: Rule) -> bool:
    if (found := truth(value)) is None:
        raise BadAnswer(f'"met" of {rule.name} is neither true nor false.')
    return found


def _key(name: str) -> str:
    return " ".join(name.split()).strip("-:. ").casefold()
