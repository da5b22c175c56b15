"""What CRM's text steps are asked for: in our own words where portals send none, and in which form.

Boxed portals send a step's code and its data without instructions (measured on such portals). The words are
files: `prompts/en.toml`, `prompts/ru.toml`.
"""

from __future__ import annotations

import json
import tomllib
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from pipeline.domain.job import Message
from pipeline.domain.languages import iso639
from pipeline.scoring.crm_step import CrmStep
from pipeline.scoring.fit import fit
from pipeline.scoring.question import LANGUAGES, between_marks, strict_object

SPOKEN = ("en", "ru")
_JSON_TYPES = {
    "integer": "integer",
    "int": "integer",
    "double": "number",
    "float": "number",
    "boolean": "boolean",
}
# of an answer: Russian takes some 2.5 letters a token, and one criterion with its explanation some 200
LEAST_TOKENS, PER_CRITERION_TOKENS, PER_FIELD_TOKENS, ACTIONS_TOKENS = 1000, 250, 60, 3000
MOST_TOKENS = 16_000


def own_prompt(step: CrmStep, language: str) -> tuple[Message, ...]:
    """The step in our own words: the task, and its material between marks.

    language: of the portal, ISO 639-1; the answer's, where the markers name none.
    """
    words = _words(language if language in SPOKEN else "en")
    own = words[step.code]
    task = Template(own["task"]).substitute(
        what=words["chat" if step.is_chat else "call"],
        language=_language(step, language, words),
        json=words["json"],
        fields=_plain(dict(step.fields)),
        choices=_plain({name: list(each) for name, each in step.choices.items()}),
        count=len(step.criteria),
        criteria="\n".join(step.criteria),
    )
    if step.is_chat:
        task += words["chat_rules"] + own.get("chat_rules", "")
    about = [
        f"{label}: {_plain(step.about[name])}"
        for name, label in words["labels"].items()
        if name in step.about
    ]
    if step.today:
        about.append(Template(words["today"]).substitute(day=step.today.strftime("%d.%m.%Y")))
    if about:
        task += "\n" + "\n".join([words["about"], *about])
    return (
        Message(role="system", content=f"{task}\n\n{words['material']}"),
        Message(role="user", content=between_marks(fit(step.material))),
    )


def answer_tokens(step: CrmStep) -> int | None:
    """The tokens that an answer needs, whatever a portal's limit says for prose; None where it is prose."""
    if step.code == "summarize_transcript":
        return None
    needs = {
        "call_scoring": PER_CRITERION_TOKENS * max(1, len(step.criteria)),
        "extract_form_fields": PER_FIELD_TOKENS * len(step.fields),
    }
    return min(MOST_TOKENS, LEAST_TOKENS + needs.get(step.code, ACTIONS_TOKENS))


def answer_schema(step: CrmStep) -> dict[str, Any] | None:
    """The JSON schema of the answer, within what strict structured outputs allow; None for prose."""
    text = {"type": "string"}
    if step.code == "call_scoring":
        judged = strict_object(criterion=text, status={"type": "boolean"}, explanation=text)
        review = strict_object(criteria={"type": "array", "items": judged})
        return strict_object(call_review=review, overall_summary=text, recommendations=text)
    if step.code == "client_dialogue_action_extraction":
        maybe = {"type": ["string", "null"]}
        action = strict_object(title=text, description=text, responsible_person=text, deadline=maybe)
        return strict_object(
            is_client={"type": "boolean"},
            reason_if_is_client_false=maybe,
            actions={"type": "array", "items": action},
        )
    if step.code == "extract_form_fields" and step.fields:
        fields = {name: _type(kind) for name, kind in step.fields.items() if name.casefold() != "comment"}
        return strict_object(**fields, comment={"type": "array", "items": text})
    return None


def _type(kind: str) -> dict[str, Any]:
    bare = kind.casefold().replace("or null", "").strip()
    name = bare.removeprefix("list[").removesuffix("[]").rstrip("]").strip()
    one = _JSON_TYPES.get(name, "string")
    if bare.startswith("list[") or bare.endswith("[]"):
        return {"type": ["array", "null"], "items": {"type": one}}
    return {"type": [one, "null"]}


def _language(step: CrmStep, language: str, words: dict[str, Any]) -> str:
    code = (iso639(step.language) if step.language else None) or (None if step.language else language)
    return str(words["languages"].get(code) or LANGUAGES.get(code or "") or step.language or language)


def _plain(value: Any) -> str:
    """Data of a portal as JSON, so that it does not read as more of the task."""
    return json.dumps(value, ensure_ascii=False)


@cache
def _words(language: str) -> dict[str, Any]:
    path = files("pipeline.scoring").joinpath("prompts", f"{language}.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))
