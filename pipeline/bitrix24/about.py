"""Who spoke in a call and about what: asked beside the call's activity, in the same request.

https://apidocs.bitrix24.com/api-reference/crm/timeline/activities/
https://apidocs.bitrix24.com/api-reference/crm/universal/ (crm.item.get), user.get
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.bitrix24.rest import Bitrix24, From, Params
from pipeline.bitrix24.values import moment, whole
from pipeline.contract import type_id, type_name
from pipeline.contract.php import filled
from pipeline.domain.errors import PortalRefused, Upstream
from pipeline.domain.job import About, Entity
from pipeline.domain.printable import printable

SELECT = ["RESPONSIBLE_ID", "DIRECTION", "COMMUNICATIONS"]  # of an activity that is listed
ITEM, USER = "crm.item.get", "user.get"
COMMANDS = 3  # for each activity
LETTERS = 255  # of a name or title
_DIRECTIONS: dict[str, Any] = {"1": "in", "2": "out"}  # crm.enum.activitydirection


def commands(root: int, *path: int | str) -> Iterator[tuple[str, Params]]:
    """What to ask about the activity that the batch's command `root` answers with, under `path`."""
    yield USER, {"ID": From(root, *path, "RESPONSIBLE_ID")}
    yield ITEM, {"entityTypeId": From(root, *path, "OWNER_TYPE_ID"), "id": From(root, *path, "OWNER_ID")}
    first = (*path, "COMMUNICATIONS", 0)
    yield ITEM, {"entityTypeId": From(root, *first, "ENTITY_TYPE_ID"), "id": From(root, *first, "ENTITY_ID")}


def read(activity: Mapping[str, Any], answers: Sequence[Any | Upstream]) -> About:
    """What an activity and the answers to its `commands` tell; what may not be read stays unknown."""
    user, owner, client = ([*answers] + [None] * COMMANDS)[:COMMANDS]
    users = [each for each in user if isinstance(each, dict)] if isinstance(user, list) else []
    kind, number = whole(activity.get("OWNER_TYPE_ID")), whole(activity.get("OWNER_ID"))
    said = _first(activity.get("COMMUNICATIONS"))
    is_phone = filled(said.get("TYPE")) in (None, "PHONE")
    return About(
        manager_id=filled(activity.get("RESPONSIBLE_ID")),
        manager=_name(users[0]) if users else None,
        client=_title(client) or _named(said.get("ENTITY_SETTINGS")),
        phone=_text(said.get("VALUE"), 64) if is_phone else None,
        direction=_DIRECTIONS.get(filled(activity.get("DIRECTION")) or ""),
        started_at=moment(activity.get("START_TIME")),
        entity=Entity(type=type_name(kind), id=number) if kind and number else None,
        title=_title(owner),
    )


def title(rest: Bitrix24, entity: Entity) -> str | None:
    """What a deal or lead is called; None where that may not be read. Raises PortalUnavailable."""
    number = type_id(entity.type)
    try:
        return _title(rest.call(ITEM, {"entityTypeId": number, "id": entity.id})) if number else None
    except PortalRefused:
        return None


def _first(value: Any) -> Mapping[str, Any]:
    found = list(value.values()) if isinstance(value, dict) else value
    return found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else {}


def _title(answer: Any | Upstream) -> str | None:
    """An item's title; of a contact, its name."""
    item = answer.get("item") if isinstance(answer, dict) else None
    if not isinstance(item, dict):
        return None
    return _name({key.upper(): value for key, value in item.items()}) or _text(item.get("title"))


def _named(settings: Any) -> str | None:
    """The name that an activity itself keeps of whom it was with."""
    if not isinstance(settings, dict):
        return None
    return _name(settings) or _text(settings.get("COMPANY_TITLE")) or _text(settings.get("LEAD_TITLE"))


def _name(person: Mapping[str, Any]) -> str | None:
    last = person.get("LAST_NAME") or person.get("LASTNAME")
    return _text(" ".join(part for part in (filled(person.get("NAME")), filled(last)) if part))


def _text(value: Any, most: int = LETTERS) -> str | None:
    text = filled(value)
    return " ".join(printable(text).split())[:most] or None if text else None
