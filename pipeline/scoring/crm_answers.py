"""Answers to CRM's text steps, as the CRM parses them.

It cuts from the first `{` to the last `}`, decodes strictly, and reads its own names (source: the method
`extractPayloadFromAIResult` of each of its operations). What is no such thing is made one where a person
would read it as nothing else, and is otherwise a BadAnswer that tells the model what is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

from pipeline.clients.insides import answer_only
from pipeline.domain.errors import BadAnswer
from pipeline.scoring.answers import MOST_LETTERS, WITHIN, WORDS, lowered, objects, truth
from pipeline.scoring.crm_criteria import matched
from pipeline.scoring.crm_fields import MOST_ITEMS, comments, quoted, read_fields, worded
from pipeline.scoring.crm_step import CrmStep
from pipeline.scoring.crm_values import deadline, is_nothing, plain

MOST_ACTIONS = 5
TITLE_CHARS, TEXT_CHARS = 255, 10_000  # what the CRM keeps
MOST_CANDIDATES = 8  # objects of one answer that are tried, the last first
NO_REASON = {"en": "The model gave no reason.", "ru": "Модель не назвала причину."}

_NAMES: dict[str, list[str]] = WORDS["names"]
_FENCE = re.compile(r"\A```[\w-]{0,20}[ \t]*\n?(.*?)\n?```\s*\Z", re.DOTALL)
_PREFACE = re.compile(
    r"\A(?:(?:sure|certainly|of course|okay|ok|конечно|хорошо)[,.!]?\s*)?"
    r"(?:here(?:'s| is| are)|below is|вот|ниже(?: приведено| приведен)?)\b[^\n:]{0,80}:[ \t]*\n",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\A(?:i(?:'m| am) sorry|i can(?:'t|not)|as an ai|unfortunately, i|извините|к сожалению, я|я не могу"
    r"|как языковая модель|please (?:provide|send|share)|пожалуйста, (?:предоставьте|пришлите|отправьте))",
    re.IGNORECASE,
)


def read_answer(step: CrmStep, text: str, *, finished: bool, last: bool, language: str = "en") -> str:
    """The text that the CRM gets. Pure; raises BadAnswer with a sentence that tells the model what is wrong.

    finished: the model ended it itself, so that what lacks only its closing brackets is whole. last: nobody
    is asked once more; what is of no use then is left out where the rest stands without it. language: of
    the portal, ISO 639-1.
    """
    if step.code == "summarize_transcript":
        return _summary(text)
    if not finished and not last and not _is_closed(text):
        raise BadAnswer("It was cut at its limit of length.")
    wanted = _WANTED[step.code]
    found = [_unwrapped(each, wanted) for each in _candidates(text, finished=finished)]
    if not found:
        raise BadAnswer("It holds no complete JSON object.")
    wrong: BadAnswer | None = None
    loose = [found] if finished or last else []  # what nothing holds together
    tried = [*reversed(found[-MOST_CANDIDATES:]), *loose]
    names = [name for each in found for name in each]
    if len(found) > 1 and len(set(names)) == len(names):  # the parts of one, each in an object of its own
        tried.insert(0, {name: value for each in found for name, value in each.items()})
    for each in tried:
        try:
            return json.dumps(_READ[step.code](each, step, last, language), ensure_ascii=False)
        except BadAnswer as error:
            wrong = wrong or error
    raise wrong or BadAnswer("It cannot be read.")


def _candidates(text: str, *, finished: bool) -> Iterator[dict[str, Any]]:
    """Objects of an answer; what stands in a string of it (JSON of JSON) as well."""
    body = text[:MOST_LETTERS]
    with suppress(ValueError, RecursionError):
        if isinstance(inner := json.loads(body.strip()), str):
            body = inner
    found = list(objects(body, unclosed=finished))
    if not found and '\\"' in body:  # escaped as if it stood in a string
        found = list(objects(body.replace('\\"', '"'), unclosed=finished))
    for each in found:
        yield {name: _opened(item) for name, item in each.items()}


def _opened(value: Any, depth: int = WITHIN) -> Any:
    """What stands in a string as JSON."""
    if isinstance(value, str) and value.strip()[:1] in ("{", "[") and value.strip()[-1:] in ("}", "]"):
        with suppress(ValueError, RecursionError):
            value = json.loads(value, strict=False)
    if isinstance(value, dict) and depth:
        return {name: _opened(item, depth - 1) for name, item in value.items()}
    return value


def _is_closed(text: str) -> bool:
    """Whether what begins with the first bracket is whole, whatever was cut after it."""
    text = answer_only(text[:MOST_LETTERS])
    with suppress(ValueError, RecursionError):
        json.JSONDecoder(strict=False).raw_decode(text, max(0, text.find("{")))
        return True
    return False


def _unwrapped(found: dict[str, Any], wanted: Collection[str]) -> dict[str, Any]:
    """What alone lies in objects or lists around it."""
    for _ in range(WITHIN):
        inner = [item[0] if isinstance(item, list) and len(item) == 1 else item for item in found.values()]
        held = [item for item in inner if isinstance(item, dict)]
        if not wanted or found.keys() & wanted or len(held) != 1:
            break
        found = lowered(held[0])
    return found


Read = Callable[[Any, CrmStep, bool, str], dict[str, Any]]


# -- the summary


def _summary(text: str) -> str:
    text = answer_only(text)
    if fenced := _FENCE.match(text):
        text = fenced[1].strip()
    if text[:1] in "{[" and text[-1:] in "}]":
        found = list(objects(text))
        if len(found) == 1:
            named = _named(found[0], "text")
            text = _lines(named if named else found[0])
        elif not found:
            with suppress(ValueError, RecursionError):
                text = _lines(json.loads(text))
    elif len(text) > 1 and text[0] == text[-1] == '"' and text.count('"') == 2:
        text = text[1:-1]
    text = _PREFACE.sub("", text, count=1).strip()
    if not text or not re.search(r"\w", text):
        raise BadAnswer("It holds no text.")
    if len(text) < 400 and _REFUSAL.match(text):
        raise BadAnswer("It is no summary of the conversation.")
    return text


def _lines(value: Any) -> str:
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if not is_nothing(item)}
        if len(kept) == 1:
            return _lines(next(iter(kept.values())))
        return "\n".join(f"{key}: {worded(item)}" for key, item in kept.items())
    if isinstance(value, list):
        return "\n".join(f"- {each}" for item in value if (each := plain(item)))
    return str(value) if isinstance(value, str) else plain(value)


# -- criteria


def _scoring(found: Any, step: CrmStep, last: bool, language: str) -> dict[str, Any]:
    if isinstance(found, list):  # criteria that stand in a list, or in objects that nothing holds together
        found = {"criteria": found}
    review = next((found[key] for key in _NAMES["review"] if isinstance(found.get(key), dict | list)), found)
    review = lowered(review) if isinstance(review, dict) else {"criteria": review}
    listed = _named(review, "criteria")
    if listed is None:
        listed = _named(found, "criteria")
    if listed is None and review is not found and not review.keys() & {"overall_summary", "recommendations"}:
        listed = review  # by name
    items = [_judged(item) for item in _items(listed)]
    items = [item for item in items if item["criterion"] or item["number"] is not None]
    if not items:
        raise BadAnswer('It lacks "call_review" with "criteria".')
    if step.criteria:
        kept = matched(step.criteria, items)
        if missing := [name for name, item in zip(step.criteria, kept, strict=True) if item is None]:
            raise BadAnswer(f'"criteria" lacks {quoted(missing)}: each criterion once, in the words given.')
        items = [{**item, "criterion": name} for name, item in zip(step.criteria, kept, strict=True) if item]
    judged = []
    for item in items:
        status = truth(item["status"])
        if status is None and not (last and is_nothing(item["status"])):
            raise BadAnswer(f'"status" of {quoted([item["criterion"]])} is neither true nor false.')
        judged.append(
            {
                "criterion": item["criterion"],
                "status": bool(status),
                "explanation": worded(item["explanation"]),
            }
        )
    return {
        "call_review": {"criteria": judged},
        "overall_summary": worded(_named(found, "summary") or _named(review, "summary")),
        "recommendations": worded(_named(found, "recommendations") or _named(review, "recommendations")),
    }


def _items(listed: Any) -> list[Any]:
    """The items of a list, of groups of them, or by name."""
    groups = listed if isinstance(listed, list) else list(listed.values()) if isinstance(listed, dict) else []
    inner = [_named(lowered(each), "criteria") if isinstance(each, dict) else each for each in groups]
    if inner and all(isinstance(each, list) for each in inner):
        return [item for each in inner for item in each][:MOST_ITEMS]
    if isinstance(listed, dict):  # by name, or by PHP's numbers
        return [
            {"criterion": name, **lowered(item)}
            if isinstance(item, dict) and not str(name).isdecimal()
            else lowered(item) | {"number": item.get("number", name)}
            if isinstance(item, dict)
            else {"criterion": name, "status": item}
            for name, item in list(listed.items())[:MOST_ITEMS]
        ]
    return listed[:MOST_ITEMS] if isinstance(listed, list) else []


def _judged(item: Any) -> dict[str, Any]:
    inner = lowered(item) if isinstance(item, dict) else {}
    if len(inner) == 1 and isinstance(one := next(iter(inner.values())), bool | dict):  # {"<criterion>": ...}
        told = lowered(one) if isinstance(one, dict) else {"status": one}
        inner = {"criterion": next(iter(item)), **told}
    named = _named(inner, "criterion")
    number = _named(inner, "number")
    return {
        "criterion": plain(named) if isinstance(named, str | int) else "",
        "number": number if isinstance(number, int | str) else None,
        "status": _named(inner, "status"),
        "explanation": _named(inner, "explanation"),
    }


# -- actions


def _actions(found: Any, step: CrmStep, last: bool, language: str) -> dict[str, Any]:
    if isinstance(found, list):
        found = {"actions": found}
    found = {re.sub(r"[\s-]+", "_", key): item for key, item in found.items()}
    if len(found) == 1 and isinstance(inner := next(iter(found.values())), dict):
        found = {re.sub(r"[\s-]+", "_", key): item for key, item in lowered(inner).items()}
    listed, said = _named(found, "actions"), _named(found, "is_client")
    actions = [action for item in _listed_actions(listed) if (action := _action(item, step))]
    is_client = truth(said)
    if is_client is None and is_nothing(said) and actions:
        is_client = True  # there is something to do for them
    if is_client is None:
        raise BadAnswer('"is_client" is missing, or neither true nor false.')
    reason = None if is_client else worded(_named(found, "why_not"))[:TEXT_CHARS]
    if not is_client and not last and (actions or not reason):
        raise BadAnswer(
            '"is_client" is false: "actions" has to be empty then, and "reason_if_is_client_false" given.'
        )
    reason = reason if is_client else reason or NO_REASON.get(language, NO_REASON["en"])
    actions = actions[:MOST_ACTIONS] if is_client else []
    # the CRM reads the names with underscores; what it keeps, and what is known of it, has the others
    return {
        "is_client": is_client,
        "isClient": is_client,
        "reason_if_is_client_false": reason,
        "reasonIfIsClientFalse": reason,
        "actions": actions,
    }


def _listed_actions(listed: Any) -> list[Any]:
    if isinstance(listed, dict):
        inner = lowered(listed)
        if _named(inner, "title") or _named(inner, "description"):
            return [listed]
        values = list(listed.values())
        return values[0] if len(values) == 1 and isinstance(values[0], list) else values
    if isinstance(listed, str):
        return [] if is_nothing(listed) else comments(listed)
    return listed[:MOST_ITEMS] if isinstance(listed, list) else []


def _action(item: Any, step: CrmStep) -> dict[str, Any] | None:
    inner = lowered(item) if isinstance(item, dict) else {"title": item if isinstance(item, str) else ""}
    inner = {re.sub(r"[\s-]+", "_", key): each for key, each in inner.items()}
    title, description = (
        worded(_named(inner, "title")),
        worded(_named(inner, "description")),
    )
    if not title and not description:
        return None
    named = worded(_named(inner, "responsible"))
    return {
        "title": (title or description)[:TITLE_CHARS],
        "description": description[:TEXT_CHARS],
        "responsible_person": ("" if is_nothing(named) else named) or step.about.get("employee_name", ""),
        "deadline": deadline(_named(inner, "deadline"), step.today),
    }


_READ: dict[str, Read] = {
    "extract_form_fields": read_fields,
    "call_scoring": _scoring,
    "client_dialogue_action_extraction": _actions,
}


_WANTED: dict[str, frozenset[str]] = {
    "extract_form_fields": frozenset(),  # any name may be a field's
    "call_scoring": frozenset(
        _NAMES["review"] + _NAMES["criteria"] + _NAMES["criterion"] + _NAMES["number"] + _NAMES["summary"]
    ),
    "client_dialogue_action_extraction": frozenset(_NAMES["actions"] + _NAMES["is_client"]),
}


def _named(found: Mapping[str, Any], what: str) -> Any:
    """A value by the name that was asked for, else by another that means the same."""
    return next((found[name] for name in _NAMES[what] if name in found), None)
