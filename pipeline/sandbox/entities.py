"""Leads, deals, contacts and companies of the sandbox's CRM, as REST has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.sandbox.crm import CRM, ENTITY_TYPES, Unfit, iso
from pipeline.sandbox.listing import Named, page

Params = Mapping[str, Any]


class Entities:
    """`crm.{kind}.get`, `.list`, `.fields`, `.add`, `.update`."""

    def __init__(self, crm: CRM, kind: str) -> None:
        self._crm, self._kind, self._type = crm, kind, ENTITY_TYPES[kind]

    def get(self, params: Params, base: str) -> Any:
        found = self._crm.entities.get((self._type, integer(params, "id")))
        if found is None:
            raise Unfit("", "Not found")
        return found

    def list(self, params: Params) -> tuple[list[dict[str, Any]], int, int | None]:
        rows = [fields for (kind, _), fields in list(self._crm.entities.items()) if kind == self._type]
        return page(rows, {"order": {"ID": "ASC"}, **params})

    def fields(self, params: Params, base: str) -> Any:
        return fields_of(CRM().add_entity(self._kind, 1))

    def add(self, params: Params, base: str) -> Any:
        number = max((n for kind, n in self._crm.entities if kind == self._type), default=0) + 1
        self._crm.add_entity(self._kind, number, **_given(params))
        return number

    def update(self, params: Params, base: str) -> Any:
        self.get(params, base).update({**_given(params), "DATE_MODIFY": iso()})
        return True


def fields_of(names: Iterable[str]) -> dict[str, Any]:
    """As `.fields` describes fields."""
    return {name: {"type": "integer" if name == "ID" else "string", "title": name} for name in names}


def integer(params: Params, name: str) -> int:
    """A parameter that is a whole number, under its name in whatever case; raises Unfit."""
    value = Named(params).get(name)
    if value in (None, ""):
        raise Unfit("100", f"Could not find value for parameter {{{name}}}")
    try:
        return int(str(value))
    except ValueError:
        raise Unfit("ERROR_ARGUMENT", f"Invalid value of parameter {{{name}}}") from None


def _given(params: Params) -> dict[str, Any]:
    fields = params.get("fields")
    if not isinstance(fields, Mapping):
        raise Unfit("100", "Could not find value for parameter {fields}")
    return {str(name): value for name, value in fields.items() if str(name).upper() != "ID"}
