"""A row of the archive as a call. What is damaged in it, or of another version, hides no other call."""

from __future__ import annotations

import json
import math
from typing import Any, get_args

from sqlalchemy import Row

from pipeline.archive.calls import Call, State
from pipeline.archive.schema import calls
from pipeline.domain.job import Category, Entity, Source
from pipeline.domain.plain import from_plain, to_plain

# what only the page of one call shows; the rest has columns
BODY = ("segments", "missing", "empty_spans", "levels", "criteria")
_ELSEWHERE = (*BODY, "gaps", "verdicts", "entity", "talk", "order", "speakers")
COLUMNS = [name for name in Call.__dataclass_fields__ if name not in _ELSEWHERE]
# of what is one of a few: the values that this version knows, and what stands in for others
_KNOWN: dict[str, tuple[frozenset[str], str]] = {
    "category": (frozenset(Category), Category.AUDIO),
    "source": (frozenset(Source), Source.API),
    "state": (frozenset(get_args(State)), "failed"),
}
_LARGEST = 1e11  # no moment, length or sum of ours is near; and no calendar goes so far
DAMAGED = (
    "What the archive has of this call is damaged, or of another version: {names}. "
    "`callscribe calls import` writes it anew while its record lives."
)


def call_of(row: Row[Any], *, body: str | None = None, **rest: Any) -> Call:
    """A call as a row of its table has it; body: the rest of what was said and found; others by name."""
    damaged: list[str] = []
    values = {name: _sound(name, value, damaged) for name, value in row._mapping.items() if name in calls.c}
    talk = tuple(each for each in (values["talk_first"], values["talk_second"]) if each is not None)
    entity = (
        Entity(type=values["entity_type"], id=values["entity_id"] or 0) if values["entity_type"] else None
    )
    plain = {name: values[name] for name in COLUMNS}
    plain |= {"order": values["ordering"], "talk": talk, "entity": to_plain(entity)}
    plain["speakers"] = values["speakers"].split(",") if values["speakers"] else ()
    call = from_plain(Call, plain)
    if body is not None:
        try:
            rest |= _read_body(body)
        except Exception:  # whatever another version, or a fault, has left there
            damaged.append("body")
    if damaged:
        rest["reason"] = DAMAGED.format(names=", ".join(sorted(damaged)))
    return Call(**{**{name: getattr(call, name) for name in Call.__dataclass_fields__}, **rest})


def _sound(name: str, value: Any, damaged: list[str]) -> Any:
    """The value where it is one of its column; else what stands in for it, and its name among the damaged."""
    column = calls.c[name]
    kind = column.type.python_type
    known, instead = _KNOWN.get(name, (frozenset(), None))
    if value is None and column.nullable:
        return None
    if known:
        sound = value in known if isinstance(value, str) else False
    elif kind is float:
        sound = isinstance(value, int | float) and math.isfinite(value) and abs(value) < _LARGEST
    else:
        sound = isinstance(value, kind)
    if sound:
        return value
    damaged.append(name)
    return instead if known or column.nullable else kind()


def _read_body(body: str) -> dict[str, Any]:
    """Segments, spans, levels and criteria, as the fields of a Call."""
    plain = json.loads(body)
    empty = {"id": "", "portal": "", "category": "audio", "source": "api", "state": "done"}
    read = from_plain(Call, empty | {"started_at": 0.0, "accepted_at": 0.0} | plain)
    return {name: getattr(read, name) for name in BODY if name in plain}
