"""CRM's text steps after a transcript: which one a request is, and the data that its markers hold.

Source: what portals send, and the CRM's own classes: `SummarizeCallTranscription`,
`FillItemFieldsFromCallTranscription`, `ScoreCall`, `AnalyzeCommunication`. The same codes come for calls,
chats and e-mails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from pipeline.domain.job import Request

Code = Literal[
    "summarize_transcript", "extract_form_fields", "call_scoring", "client_dialogue_action_extraction"
]
MOST_CRITERIA = 200
MOST_FIELDS = 500

# the CRM's own names of the steps beside the codes of their prompts
_CODES: dict[str, Code] = {
    "summarize_transcript": "summarize_transcript",
    "summarize_call_transcription": "summarize_transcript",
    "extract_form_fields": "extract_form_fields",
    "fill_item_fields_from_call_transcription": "extract_form_fields",
    "call_scoring": "call_scoring",
    "score_call": "call_scoring",
    "client_dialogue_action_extraction": "client_dialogue_action_extraction",
    "analyze_communication": "client_dialogue_action_extraction",
}
_MATERIAL: dict[Code, tuple[str, ...]] = {
    "summarize_transcript": ("original_message", "transcript", "dialogue"),
    "extract_form_fields": ("original_message", "summary"),
    "call_scoring": ("transcript", "original_message", "dialogue"),
    "client_dialogue_action_extraction": ("dialogue", "original_message", "transcript"),
}
_ABOUT = ("company_name", "manager_name", "employee_name", "client_type", "dialogue_start_datetime")
_PLAIN_CODE = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[_-][A-Za-z0-9]+)+")
_TURN = re.compile(r"\[\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:?\d\d)?\]:")


@dataclass(frozen=True, kw_only=True)
class CrmStep:
    """One step with its data; what its markers lack is empty.

    fields: names to types, as `list[string] or null`. choices: what a field may take. criteria: one line
    each, each once. about: who and what it is about, by marker. today: to which days like "tomorrow" refer.
    """

    code: Code
    material: str
    fields: Mapping[str, str]
    choices: Mapping[str, tuple[str, ...]]
    criteria: tuple[str, ...]
    about: Mapping[str, str]
    today: date | None
    language: str | None

    @property
    def is_chat(self) -> bool:
        """Whether the material is a chat or an e-mail: turns of `Name [ISO date]:`."""
        return len(_TURN.findall(self.material)) > 1

    @property
    def lacks(self) -> str | None:
        """The marker without which there is nothing to work on."""
        if not self.material:
            return _MATERIAL[self.code][0]
        if self.code == "extract_form_fields" and not self.fields:
            return "fields"
        return "criteria" if self.code == "call_scoring" and not self.criteria else None


def crm_step(request: Request) -> CrmStep | None:
    """The step that a text request is; None where it is none that is known."""
    code = _code(request)
    if code is None:
        return None
    markers = request.markers
    day = _moment(markers) if code == "client_dialogue_action_extraction" else _day(markers)
    return CrmStep(
        code=code,
        material=next((found for name in _MATERIAL[code] if (found := text_of(markers.get(name)))), ""),
        fields=_fields(markers.get("fields")),
        choices=_choices(markers.get("enum_fields_values")),
        criteria=_criteria(markers.get("criteria")),
        about={name: found for name in _ABOUT if (found := " ".join(text_of(markers.get(name)).split()))},
        today=day,
        language=text_of(markers.get("language")) or None,
    )


def unknown_code(request: Request) -> str | None:
    """The code of a prompt of the portal's library that is none of these steps; None for any other text."""
    raw = (request.payload_raw or "").strip()
    provider = _class(request.payload_provider)
    is_code = bool(raw) and (provider == "prompt" or (not provider and _PLAIN_CODE.fullmatch(raw)))
    return raw[:80] if is_code and _code(request) is None else None


def _code(request: Request) -> Code | None:
    if _class(request.payload_provider) not in ("", "prompt"):
        return None
    raw = (request.payload_raw or "").strip()
    raw = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", raw) if not re.search(r"[_\s-]", raw) else raw
    return _CODES.get(re.sub(r"[\s_-]+", "_", raw).casefold())


def _class(provider: str | None) -> str:
    """`prompt` of `Prompt`, ` PROMPT ` or `Bitrix\\AI\\Payload\\Prompt`."""
    return re.split(r"[\\/.:]", (provider or "").strip())[-1].strip().casefold()


def text_of(value: Any) -> str:
    """A marker as a text; a list by its lines."""
    if isinstance(value, list):
        return "\n".join(filter(None, map(text_of, value)))
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _parsed(value: Any) -> Any:
    """What stands in a marker that came as JSON in a string."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def _fields(value: Any) -> dict[str, str]:
    value = _parsed(value)
    if isinstance(value, list):  # PHP's, with numbers for keys, or names alone
        pairs: list[tuple[Any, Any]] = []
        for item in value:
            if isinstance(item, dict):
                named = item.get("name") or item.get("NAME") or item.get("code")
                pairs += [(named, item.get("type") or item.get("TYPE"))] if named else list(item.items())
            else:
                pairs.append((item, None))
        value = {name: kind for name, kind in pairs if isinstance(name, str)}
    if not isinstance(value, dict):
        return {}
    found = {}
    for name, kind in list(value.items())[:MOST_FIELDS]:
        if isinstance(kind, dict):
            kind = kind.get("type") or kind.get("TYPE")
        found[str(name)] = kind if isinstance(kind, str) and kind.strip() else "string or null"
    return found


def _choices(value: Any) -> dict[str, tuple[str, ...]]:
    value = _parsed(value)
    if not isinstance(value, dict):
        return {}
    found = {}
    for name, each in value.items():
        each = _parsed(each)
        each = list(each.values()) if isinstance(each, dict) else each
        listed = [text_of(one) for one in each] if isinstance(each, list) else text_of(each).split("\n")
        if kept := tuple(dict.fromkeys(filter(None, (one.strip() for one in listed)))):
            found[str(name)] = kept
    return found


def _criteria(value: Any) -> tuple[str, ...]:
    value = _parsed(value)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        named = (
            (each.get("criterion") or each.get("name") or each.get("title") or each.get("description"))
            if isinstance(each, dict)
            else each
            for each in value
        )
        lines = [" ".join(text_of(each).split()) for each in named]
    else:
        lines = [line.strip() for line in text_of(value).replace("\\n", "\n").splitlines()]
    return tuple(dict.fromkeys(filter(None, lines)))[:MOST_CRITERIA]


def _day(markers: Mapping[str, Any]) -> date | None:
    parts = [text_of(markers.get(f"current_{part}")) for part in ("year", "month", "day")]
    with suppress(ValueError):
        return date(*(int(part) for part in parts))
    return None


def _moment(markers: Mapping[str, Any]) -> date | None:
    begun = text_of(markers.get("dialogue_start_datetime"))
    for form in ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y"):
        with suppress(ValueError):
            return datetime.strptime(begun[:10], form).date()  # noqa: DTZ007 - the portal's own day
    return None
