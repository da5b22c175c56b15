"""Timeline entries through the portal's REST: as log messages, or as comments, which can carry a file."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from pipeline.bitrix24.rest import Bitrix24
from pipeline.bitrix24.values import whole
from pipeline.contract import type_id
from pipeline.contract.php import filled
from pipeline.domain.errors import BadAnswer, PortalRefused
from pipeline.domain.job import Entity

LOOK_BACK = 100  # among how many entries ours is looked for


class LogMessages:
    """Timeline entries by crm.timeline.logmessage.*; attachments are left out, log messages have none."""

    name = "bitrix24"

    def __init__(self, rest: Bitrix24) -> None:
        self._rest = rest

    def write(
        self, entity: Entity, title: str, text: str, attachment: tuple[str, bytes] | None = None
    ) -> None:
        """Writes an entry. Raises PortalRefused and PortalUnavailable, the latter `ambiguous` where the
        entry may stand all the same."""
        fields = {**_target(entity), "title": title, "text": text, "iconCode": "info"}
        made = self._rest.call("crm.timeline.logmessage.add", {"fields": fields})
        _written(made.get("logMessage") if isinstance(made, dict) else made)

    def last_lines(self, entity: Entity) -> Iterator[str]:
        """The last line of each entry there, the newest first."""
        params = {**_target(entity), "order": {"id": "desc"}}
        for item in self._rest.pages("crm.timeline.logmessage.list", params, limit=LOOK_BACK):
            if isinstance(item, dict) and (text := filled(item.get("text"))):
                yield text.strip().splitlines()[-1].strip()


class Comments:
    """Timeline entries by crm.timeline.comment.*, which can carry a file."""

    name = "bitrix24"

    def __init__(self, rest: Bitrix24) -> None:
        self._rest = rest

    def write(
        self, entity: Entity, title: str, text: str, attachment: tuple[str, bytes] | None = None
    ) -> None:
        """As LogMessages.write; `attachment` is a file's name and bytes."""
        plain = text.replace("[", "(").replace("]", ")")  # comments are BB code, and this text is a model's
        fields: dict[str, Any] = {
            "ENTITY_ID": entity.id, "ENTITY_TYPE": entity.type, "COMMENT": f"[B]{title}[/B]\n{plain}",
        }  # fmt: skip
        if attachment:
            name, content = attachment
            fields["FILES"] = [[name, base64.b64encode(content).decode()]]
        _written(self._rest.call("crm.timeline.comment.add", {"fields": fields}))

    def last_lines(self, entity: Entity) -> Iterator[str]:
        """The last line of each comment there, the newest first."""
        params = {
            "filter": {"ENTITY_ID": entity.id, "ENTITY_TYPE": entity.type},
            "order": {"ID": "DESC"},
            "select": ["ID", "COMMENT"],
        }
        for item in self._rest.pages("crm.timeline.comment.list", params, limit=LOOK_BACK):
            if isinstance(item, dict) and (text := filled(item.get("COMMENT"))):
                yield text.strip().splitlines()[-1].strip()


def _written(made: Any) -> None:
    """An entry has an id. BadAnswer (`ambiguous`) where the portal answers well and tells of none."""
    if whole(made.get("id") or made.get("ID") if isinstance(made, dict) else made) is None:
        raise BadAnswer("crm.timeline: the portal does not say that the entry was written.", ambiguous=True)


def _target(entity: Entity) -> dict[str, int]:
    number = type_id(entity.type)
    if number is None:
        raise PortalRefused(f"{entity.type} is no type of a CRM entity.")
    return {"entityTypeId": number, "entityId": entity.id}
