"""The CRM's calls as the portal's REST shows them: activities, their bindings, recordings, transcripts.

https://apidocs.bitrix24.com/api-reference/crm/timeline/activities/
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.bitrix24.rest import Bitrix24
from pipeline.contract import type_id, type_name
from pipeline.contract.php import filled
from pipeline.domain.errors import BadAnswer, PortalRefused, Upstream
from pipeline.domain.job import Entity

CALL_PROVIDER = "VOXIMPLANT_CALL"
CALL_TYPE = 2  # crm.enum.activitytype: call
ORIGIN = "VI_"  # and the telephony call's id
SELECT = ["ID", "OWNER_TYPE_ID", "OWNER_ID", "TYPE_ID", "PROVIDER_ID", "ORIGIN_ID", "CREATED", "START_TIME",
          "END_TIME", "FILES"]  # fmt: skip
NO_METHOD = ("ERROR_METHOD_NOT_FOUND", "METHOD_NOT_FOUND")
LOOK_BACK = 100  # among how many entries ours is looked for
# how portals say that there is no such thing (an empty code is what crm.activity.get answers)
ABSENT = frozenset({"", "0", "400", "404", "NOT_FOUND", "ERROR_NOT_FOUND", "ERROR_CORE"})
ONE_BY_ONE = 40  # requests where batches are refused, within the burst that a portal allows


@dataclass(frozen=True, kw_only=True)
class Activity:
    """A call in the CRM. Times are unix seconds."""

    id: int
    is_call: bool
    owner: Entity | None = None
    call_id: str | None = None
    created_at: float | None = None
    ended_at: float | None = None
    file_ids: tuple[int, ...] = ()
    file_urls: tuple[str, ...] = ()


def read_activity(item: Any) -> Activity:
    """An item of crm.activity.get or .list; BadAnswer when it has no id."""
    if not isinstance(item, dict) or (identifier := whole(item.get("ID"))) is None:
        raise BadAnswer("crm.activity: an activity without an id.")
    origin = filled(item.get("ORIGIN_ID")) or ""
    owner_type, owner_id = whole(item.get("OWNER_TYPE_ID")), whole(item.get("OWNER_ID"))
    found = item.get("FILES")
    listed = list(found.values()) if isinstance(found, dict) else found
    files = [file for file in listed if isinstance(file, dict)] if isinstance(listed, list) else []
    created = moment(item.get("CREATED"))
    return Activity(
        id=identifier,
        is_call=item.get("PROVIDER_ID") == CALL_PROVIDER or whole(item.get("TYPE_ID")) == CALL_TYPE,
        owner=Entity(type=type_name(owner_type), id=owner_id) if owner_type and owner_id else None,
        call_id=origin.removeprefix(ORIGIN) if origin.startswith(ORIGIN) else None,
        created_at=created,
        ended_at=moment(item.get("END_TIME")) or moment(item.get("START_TIME")) or created,
        file_ids=tuple(number for file in files if (number := whole(file.get("id") or file.get("ID")))),
        file_urls=tuple(url for file in files if (url := filled(file.get("url") or file.get("URL")))),
    )


def activity(rest: Bitrix24, identifier: int) -> Activity | None:
    """One activity, or None when there is none of that id. Raises PortalUnavailable, PortalRefused."""
    try:
        item = rest.call("crm.activity.get", {"id": identifier})
    except PortalRefused as error:
        if error.http_status in (400, 404) and _absent(error):
            return None
        raise
    return read_activity(item) if item else None


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """A telephone call in the telephony's own books."""

    activity_id: int | None = None
    answered: bool = True
    record_file_id: int | None = None
    record_url: str | None = None


def statistic(rest: Bitrix24, call_id: str) -> Statistic | None:
    """A telephony call's record, or None; also for a webhook without the scope telephony."""
    try:
        calls = rest.call("voximplant.statistic.get", {"FILTER": {"CALL_ID": call_id}})
    except PortalRefused:
        return None
    found = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    if len(found) != 1:
        return None
    (call,) = found
    code = filled(call.get("CALL_FAILED_CODE"))
    return Statistic(
        activity_id=whole(call.get("CRM_ACTIVITY_ID")) or None,
        answered=code in (None, "200") and filled(call.get("CALL_DURATION")) != "0",
        record_file_id=whole(call.get("RECORD_FILE_ID")) or None,
        record_url=filled(call.get("CALL_RECORD_URL")),
    )


def activity_of_call(rest: Bitrix24, call_id: str) -> Activity | None:
    """The activity of a telephony call: by its origin, else by the call's statistics."""
    found = rest.call(
        "crm.activity.list", {"filter": {"ORIGIN_ID": ORIGIN + call_id}, "select": SELECT, "start": 0}
    )
    if isinstance(found, list) and len(found) == 1:
        return read_activity(found[0])
    known = statistic(rest, call_id)
    return activity(rest, known.activity_id) if known and known.activity_id else None


def recent_calls(
    rest: Bitrix24, *, since: float, until: float, limit: int, oldest_first: bool = False
) -> Iterator[Activity]:
    """Call activities created between two moments (unix seconds, both included), the newest first.

    limit: how many are looked at, those after `until` among them.
    """
    params = {
        "filter": {
            "TYPE_ID": CALL_TYPE,
            "PROVIDER_ID": CALL_PROVIDER,
            ">=CREATED": iso(since),
        },
        "order": {"ID": "ASC" if oldest_first else "DESC"},
        "select": SELECT,
    }
    for item in rest.pages("crm.activity.list", params, limit=limit):
        found = read_activity(item)
        if found.is_call and (found.created_at is None or found.created_at <= until):
            yield found


def transcripts(rest: Bitrix24, ids: Sequence[int]) -> list[str | Upstream | None]:
    """The stored transcript of each call activity: None while there is none, or why it cannot be read."""
    method = "crm.activity.call.getTranscript"
    try:
        answers = rest.batch([(method, {"activityId": identifier}) for identifier in ids])
        refused = any(
            isinstance(a, Upstream) and a.provider_code == "ERROR_BATCH_METHOD_NOT_ALLOWED" for a in answers
        )
    except PortalRefused as error:
        if error.http_status not in (400, 404, 405):
            raise
        refused = True
    if refused:
        if len(ids) > ONE_BY_ONE:
            raise PortalRefused(f"{method}: {len(ids)} calls to compare, and this portal takes no batches.")
        answers = [_one_transcript(rest, method, identifier) for identifier in ids]
    return [_transcript(answer) for answer in answers]


def _one_transcript(rest: Bitrix24, method: str, identifier: int) -> Any:
    try:
        return rest.call(method, {"activityId": identifier})
    except PortalRefused as error:
        return error


def _transcript(answer: Any) -> str | Upstream | None:
    if isinstance(answer, PortalRefused) and _absent(answer):
        return None  # a call without a transcript, in the words of some portals
    if isinstance(answer, Upstream):
        return answer
    if isinstance(answer, dict):
        answer = next(filter(None, map(answer.get, ("transcription", "transcript", "text"))), None)
    return answer if isinstance(answer, str) and answer.strip() else None


def _absent(error: PortalRefused) -> bool:
    return (error.provider_code or "").upper() in ABSENT


def bindings(rest: Bitrix24, identifier: int) -> tuple[Entity, ...]:
    """All CRM entities that an activity is bound to."""
    try:
        answer = rest.call("crm.activity.binding.list", {"activityId": identifier})
    except PortalRefused as error:
        if (error.provider_code or "").upper() not in NO_METHOD:
            raise
        return ()  # an older portal: the owner is all that is known
    found = []
    for item in answer if isinstance(answer, list) else ():
        fields: Mapping[str, Any] = item if isinstance(item, dict) else {}
        kind, number = whole(fields.get("entityTypeId")), whole(fields.get("entityId"))
        if kind and number:
            found.append(Entity(type=type_name(kind), id=number))
    return tuple(dict.fromkeys(found))


def home(call: Activity, bound: Sequence[Entity]) -> tuple[Entity | None, str | None]:
    """Where the score of a call belongs, or why nowhere: its deal, else its lead, when it is certain which.

    The owner decides among several deals (or leads); where the owner is none of them, several are as good
    as none.
    """
    known = dict.fromkeys([*([call.owner] if call.owner else []), *bound])
    for kind in ("deal", "lead"):
        found = [entity for entity in known if entity.type == kind]
        if len(found) == 1 or (found and call.owner in found):
            return (call.owner if call.owner in found else found[0]), None
        if found:
            return None, f"the call is bound to {len(found)} {kind}s, and to which it belongs is not certain"
    return None, "the call is bound to no deal and no lead"


def recording_url(rest: Bitrix24, call: Activity) -> str | None:
    """Where a call's recording can be downloaded now, or None while it is not attached.

    By disk.file.get, whose link carries its own access. The activity's own link leads to a login page
    unless its `auth` is filled, which a webhook's is not. Raises PortalRefused when there is a recording
    that this webhook may not read.
    """
    refusal = None
    for identifier in call.file_ids:
        try:
            if url := disk_url(rest, identifier):
                return url
        except PortalRefused as error:
            refusal = error
    own = next((url for url in call.file_urls if not url.endswith("auth=")), None)
    if own is None and refusal is not None:
        raise refusal
    return own


def recording_bytes(rest: Bitrix24, call: Activity) -> int | None:
    """How large a call's recording is, or None where there is not just one or the portal does not tell."""
    if len(call.file_ids) != 1:
        return None
    try:
        return whole(_disk_file(rest, call.file_ids[0]).get("SIZE")) or None
    except PortalRefused:
        return None


def disk_url(rest: Bitrix24, identifier: int) -> str | None:
    """The download link of a file on the portal's disk, or None when there is no such file."""
    return filled(_disk_file(rest, identifier).get("DOWNLOAD_URL"))


def _disk_file(rest: Bitrix24, identifier: int) -> Mapping[str, Any]:
    try:
        file = rest.call("disk.file.get", {"id": identifier})
    except PortalRefused as error:
        if (error.provider_code or "").upper() in ("ERROR_NOT_FOUND", "NOT_FOUND", "400", "404"):
            return {}
        raise
    return file if isinstance(file, dict) else {}


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
        self._rest.call("crm.timeline.logmessage.add", {"fields": fields})

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
        self._rest.call("crm.timeline.comment.add", {"fields": fields})

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


def _target(entity: Entity) -> dict[str, int]:
    number = type_id(entity.type)
    if number is None:
        raise PortalRefused(f"{entity.type} is no type of a CRM entity.")
    return {"entityTypeId": number, "entityId": entity.id}


def whole(value: Any) -> int | None:
    """An id as the REST gives it, a number or a string of digits; None for anything else."""
    text = filled(value)
    return int(text) if text and text.isascii() and text.isdigit() else None


def moment(value: Any) -> float | None:
    """2026-04-03T10:26:32+02:00 -> unix seconds; None for anything else."""
    text = filled(value)
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found.timestamp() if found and found.tzinfo else None


def iso(at: float) -> str:
    """Unix seconds as the REST's filters take them."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
