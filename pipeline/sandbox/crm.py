"""The sandbox portal's CRM: entities, call activities with their recordings, timelines. All in memory.

Field names and value types (ids as strings in lists, ISO times) are those of the REST documentation,
apidocs.bitrix24.com.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

ENTITY_TYPES = {"lead": 1, "deal": 2, "contact": 3, "company": 4, "quote": 7, "smart_invoice": 31}
TYPE_NAMES = {number: name for name, number in ENTITY_TYPES.items()}


class Unfit(Exception):
    """What was asked for cannot be done; `code` and `description` as REST puts them."""

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        super().__init__(code)
        self.code, self.description, self.status = code, description, status


def iso(moment: datetime | None = None) -> str:
    """A moment, or now, as the portal writes it."""
    return (moment or datetime.now(UTC)).replace(microsecond=0).isoformat()


@dataclass(kw_only=True)
class Stored:
    """A file on the portal's disk."""

    id: int
    name: str
    content: bytes
    content_type: str


@dataclass(kw_only=True)
class Activity:
    """A CRM activity; `transcript` is what the portal got by callback, `files` are ids of its disk."""

    fields: dict[str, Any]
    bindings: list[tuple[int, int]] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    transcript: str | None = None


class CRM:
    """State; the methods that change it are called by REST, by callbacks and by tests."""

    def __init__(self) -> None:
        self.users = {1: ("Robert", "Miller")}  # by id: name and last name
        self.entities: dict[tuple[int, int], dict[str, Any]] = {}
        self.activities: dict[int, Activity] = {}
        self.calls: dict[str, dict[str, Any]] = {}
        self.transcriptions: list[dict[str, Any]] = []
        self.log_entries: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = []
        self.files: dict[int, Stored] = {}
        self.expired: set[int] = set()  # files whose links lead nowhere any more
        self._secret = secrets.token_bytes(16)
        self._ids = itertools.count(1001)

    def add_entity(self, kind: str, number: int, **fields: Any) -> dict[str, Any]:
        """A deal, lead, contact or company; `fields` as in REST (TITLE, CONTACT_ID, ...)."""
        plain = {
            "ID": str(number),
            "TITLE": f"{kind} {number}",
            "STAGE_ID": "NEW",
            "CONTACT_ID": None,
            "COMPANY_ID": None,
            "LEAD_ID": None,
            "CLOSED": "N",
            "ASSIGNED_BY_ID": "1",
            "DATE_CREATE": iso(),
            "DATE_MODIFY": iso(),
            **{key: str(value) if isinstance(value, int) else value for key, value in fields.items()},
        }
        self.entities[ENTITY_TYPES[kind], number] = plain
        return plain

    def store(
        self, source: Path | bytes, *, content_type: str = "application/octet-stream", name: str = ""
    ) -> Stored:
        """Puts a file on the portal's disk."""
        content = source if isinstance(source, bytes) else source.read_bytes()
        number = next(self._ids)
        made = Stored(id=number, name=name or f"call-{number}", content=content, content_type=content_type)
        self.files[number] = made
        return made

    def link(self, base_url: str, file: Stored) -> str:
        """A signed link to the file, without extension, as portals make them."""
        signature = self.sign(file.id)
        return f"{base_url}/disk/downloadFile/{file.id}/{quote(file.name)}?signature={signature}&ncc=1"

    def sign(self, number: int) -> str:
        return hmac.new(self._secret, str(number).encode(), hashlib.sha256).hexdigest()

    def add_call(
        self,
        *,
        owner: tuple[str, int],
        bindings: tuple[tuple[str, int], ...] = (),
        activity: int | None = None,
        call_id: str | None = None,
        recording: Stored | None = None,
        ended_at: datetime | None = None,
        seconds: int = 60,
        phone: str = "+10000000000",
    ) -> Activity:
        """A finished telephone call as an activity of `owner`; a recording may be attached later."""
        number = activity or next(self._ids)
        if number in self.activities:
            number = next(self._ids)
        call = call_id or f"externalCall.{secrets.token_hex(16)}.{number}"
        ended = ended_at or datetime.now(UTC)
        kind, entity = owner
        fields: dict[str, Any] = {
            "ID": str(number),
            "OWNER_ID": str(entity),
            "OWNER_TYPE_ID": str(ENTITY_TYPES[kind]),
            "TYPE_ID": "2",
            "PROVIDER_ID": "VOXIMPLANT_CALL",
            "PROVIDER_TYPE_ID": "CALL",
            "PROVIDER_GROUP_ID": None,
            "ASSOCIATED_ENTITY_ID": "0",
            "SUBJECT": "Outgoing call",
            "CREATED": iso(ended),
            "LAST_UPDATED": iso(),
            "START_TIME": iso(ended - timedelta(seconds=seconds)),
            "END_TIME": iso(ended),
            "DEADLINE": iso(ended),
            "COMPLETED": "Y",
            "STATUS": "2",
            "RESPONSIBLE_ID": "1",
            "DESCRIPTION": "",
            "DESCRIPTION_TYPE": "1",
            "DIRECTION": "2",
            "SETTINGS": [],
            "ORIGINATOR_ID": None,
            "ORIGIN_ID": f"VI_{call}",
            "AUTHOR_ID": "1",
            "PROVIDER_PARAMS": [],
            "PROVIDER_DATA": None,
        }
        party, client = next((pair for pair in bindings if pair[0] == "contact"), owner)
        fields["COMMUNICATIONS"] = [
            {
                "ID": str(number),
                "TYPE": "PHONE",
                "VALUE": phone,
                "ENTITY_ID": str(client),
                "ENTITY_TYPE_ID": str(ENTITY_TYPES[party]),
                "ENTITY_SETTINGS": {},
            }
        ]
        made = Activity(fields=fields)
        for name, bound in dict.fromkeys(((kind, entity), *bindings)):
            made.bindings.append((ENTITY_TYPES[name], bound))
            if (ENTITY_TYPES[name], bound) not in self.entities:
                named = {"NAME": "Client", "LAST_NAME": str(bound)} if name == "contact" else {}
                self.add_entity(name, bound, **named)
        self.activities[number] = made
        self.calls[call] = {
            "ID": str(number),
            "PORTAL_USER_ID": "1",
            "PORTAL_NUMBER": "REST_APP:1",
            "PHONE_NUMBER": phone,
            "CALL_ID": call,
            "EXTERNAL_CALL_ID": None,
            "CALL_CATEGORY": "external",
            "CALL_DURATION": str(seconds),
            "CALL_START_DATE": fields["START_TIME"],
            "CALL_RECORD_URL": None,
            "CALL_FAILED_CODE": "200",
            "CALL_FAILED_REASON": "",
            "CRM_ENTITY_TYPE": kind.upper(),
            "CRM_ENTITY_ID": str(entity),
            "CRM_ACTIVITY_ID": str(number),
            "TRANSCRIPT_ID": None,
            "TRANSCRIPT_PENDING": "N",
            "RECORD_DURATION": None,
            "RECORD_FILE_ID": None,
            "CALL_TYPE": "1",
        }
        if recording:
            self.attach(number, recording)
        return made

    def attach(self, activity: int, recording: Stored) -> None:
        """The recording arrives, maybe long after the call."""
        known = self.activities[activity]
        known.files.append(recording.id)
        known.fields["LAST_UPDATED"] = iso()
        call = self.calls.get(str(known.fields["ORIGIN_ID"] or "").removeprefix("VI_"))
        if call:
            call["RECORD_FILE_ID"] = recording.id

    def activity(self, number: int) -> Activity:
        if number not in self.activities:
            raise Unfit("", "Activity is not found.")
        return self.activities[number]

    def log(self, kind: int, number: int, title: str, text: str, icon: str = "") -> dict[str, Any]:
        """A log entry in an entity's timeline; raises Unfit when there is no such entity."""
        if (kind, number) not in self.entities:
            raise Unfit("OWNER_NOT_FOUND", "The entity is not found.")
        entry = {
            "id": next(self._ids),
            "created": iso(),
            "authorId": 1,
            "title": title,
            "text": text,
            "iconCode": icon,
        }
        self.log_entries.append({"entityTypeId": kind, "entityId": number, **entry})
        return entry

    def logs(self, kind: int, number: int) -> list[dict[str, Any]]:
        """An entity's log entries, newest first."""
        own = [e for e in self.log_entries if (e["entityTypeId"], e["entityId"]) == (kind, number)]
        hidden = ("entityTypeId", "entityId")
        return [{k: v for k, v in entry.items() if k not in hidden} for entry in reversed(own)]

    def comment(self, kind: str, number: int, text: str, files: Any = None) -> int:
        """A comment in an entity's timeline; its id."""
        if kind not in ENTITY_TYPES or (ENTITY_TYPES[kind], number) not in self.entities:
            raise Unfit("", "Access denied.")
        made = next(self._ids)
        attached = {}
        for pair in files or []:
            if isinstance(pair, list) and len(pair) == 2:
                attached[str(next(self._ids))] = {"name": str(pair[0]), "size": len(str(pair[1]))}
        self.comments.append(
            {
                "ID": str(made),
                "ENTITY_ID": str(number),
                "ENTITY_TYPE": kind,
                "CREATED": iso(),
                "COMMENT": text,
                "AUTHOR_ID": "1",
                "FILES": attached,
            }
        )
        return made

    def plain(self) -> dict[str, Any]:
        """The state that people look at, for `GET /_state`."""
        return {
            "entities": [
                {"type": TYPE_NAMES[kind], "id": number, **fields}
                for (kind, number), fields in self.entities.items()
            ],
            "activities": [
                {**a.fields, "bindings": a.bindings, "files": a.files, "transcript": a.transcript}
                for a in self.activities.values()
            ],
            "timeline": self.log_entries,
            "comments": self.comments,
            "transcriptions": self.transcriptions,
        }
