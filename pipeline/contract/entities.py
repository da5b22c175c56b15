"""How the CRM names its entities: by number in newer methods, by name in older ones."""

from __future__ import annotations

import re
from typing import Any

from pipeline.contract import php
from pipeline.domain.errors import BadRequest
from pipeline.domain.job import Entity

# https://apidocs.bitrix24.com/api-reference/crm/data-types.html (object_type)
TYPE_IDS = {"lead": 1, "deal": 2, "contact": 3, "company": 4, "quote": 7, "order": 14, "smart_invoice": 31}
NAMES = {number: name for name, number in TYPE_IDS.items()}
SYNONYMS = {"smartinvoice": "smart_invoice", "smart invoice": "smart_invoice", "invoice": "smart_invoice"}
_DYNAMIC = re.compile(r"dynamic_(\d{3,9})")
FIRST_DYNAMIC = 128  # custom types; smaller numbers are the system's


def type_id(name: str) -> int | None:
    """The number of an entity type: deal -> 2, dynamic_1038 -> 1038; None when there is no such type."""
    if name in TYPE_IDS:
        return TYPE_IDS[name]
    match = _DYNAMIC.fullmatch(name)
    return int(match[1]) if match and int(match[1]) >= FIRST_DYNAMIC else None


def type_name(number: int) -> str:
    """The name of an entity type: 2 -> deal, 1038 -> dynamic_1038."""
    return NAMES.get(number, f"dynamic_{number}")


def read_entity(kind: Any, identifier: Any, *, where: str = "entity.") -> Entity:
    """An entity as a client names it: {"type": "deal" | "2" | 2 | "dynamic_1038", "id": 7 | "7"}.

    BadRequest naming the field, `where` before `type` or `id`.
    """
    name = (php.filled(kind) or "").strip().lower()
    name = SYNONYMS.get(name, name)
    if name.isascii() and name.isdigit():
        name = type_name(int(name[:9]))
    if type_id(name) is None:
        field = f"{where}type"
        raise BadRequest(
            f"{field}: expected deal, lead, contact, company, quote, smart_invoice or dynamic_NNN",
            field=field,
        )
    field = f"{where}id"
    found = php.text(identifier) or ""
    if not re.fullmatch(r"[0-9]{1,18}", found.strip()) or int(found) == 0:
        raise BadRequest(f"{field}: expected a positive whole number", field=field)
    return Entity(type=name, id=int(found))
