"""The CRM's calls as the portal's REST shows them: activities, their bindings, recordings, transcripts.

https://apidocs.bitrix24.com/api-reference/crm/timeline/activities/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.bitrix24 import about as telling
from pipeline.bitrix24.rest import Bitrix24, From, Params
from pipeline.bitrix24.values import moment, whole
from pipeline.contract import type_name
from pipeline.contract.php import filled
from pipeline.domain.errors import BadAnswer, PortalRefused, Upstream
from pipeline.domain.job import About, Entity

CALL_PROVIDER = "VOXIMPLANT_CALL"
CALL_TYPE = 2  # crm.enum.activitytype: call
ORIGIN = "VI_"  # and the telephony call's id
SELECT = ["ID", "OWNER_TYPE_ID", "OWNER_ID", "TYPE_ID", "PROVIDER_ID", "ORIGIN_ID", "CREATED", "START_TIME",
          "END_TIME", "FILES"]  # fmt: skip
NO_METHOD = ("ERROR_METHOD_NOT_FOUND", "METHOD_NOT_FOUND")
# how portals say that there is no such thing (an empty code is what crm.activity.get answers)
ABSENT = frozenset({"", "0", "400", "404", "NOT_FOUND", "ERROR_NOT_FOUND", "ERROR_CORE"})
UNFOLLOWED = frozenset({"100", "ERROR_ARGUMENT"})  # what a command says that lacks what it refers to
MOST_FOUND = 16  # activities that one batch finds
MOST_TOLD = 8  # of which it also asks who spoke
TRANSCRIPT = "crm.activity.call.getTranscript"
BINDINGS = "crm.activity.binding.list"
FILE = "disk.file.get"
STATISTIC = "voximplant.statistic.get"


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


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """A telephone call in the telephony's own books."""

    activity_id: int | None = None
    answered: bool = True
    record_file_id: int | None = None
    record_url: str | None = None


def statistic(rest: Bitrix24, call_id: str) -> Statistic | None:
    """A telephony call's record, or None where there is not just one."""
    return _statistic(_asked(rest, STATISTIC, {"FILTER": {"CALL_ID": call_id}}))


def _statistic(answer: Any | Upstream) -> Statistic | None:
    """One call's record, or None; None also for a webhook without the scope telephony."""
    if isinstance(answer, Upstream) and not isinstance(answer, PortalRefused):
        raise answer
    found = [call for call in answer if isinstance(call, dict)] if isinstance(answer, list) else []
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


def transcripts(rest: Bitrix24, ids: Sequence[int | From]) -> list[str | Upstream | None]:
    """The stored transcript of each call activity, fifty at the most."""
    answers = rest.batch([(TRANSCRIPT, {"activityId": identifier}) for identifier in ids])
    return [transcript(answer) for answer in answers]


def transcript(answer: Any | Upstream) -> str | Upstream | None:
    """crm.activity.call.getTranscript: None while a call has none, or why it cannot be read."""
    if isinstance(answer, PortalRefused) and _absent(answer):
        return None  # a call without a transcript, in the words of some portals
    if isinstance(answer, Upstream):
        return answer
    if isinstance(answer, dict):
        answer = next(filter(None, map(answer.get, ("transcription", "transcript", "text"))), None)
    return answer if isinstance(answer, str) and answer.strip() else None


def _absent(error: PortalRefused) -> bool:
    return _code(error) in ABSENT


def _code(error: Upstream) -> str:
    return (error.provider_code or "").upper()


@dataclass(frozen=True, kw_only=True)
class Found:
    """A call with what is asked about it at once.

    bound: all entities that its activity is bound to. files: the answer of disk.file.get for each of its
    recordings, in order. statistic: its record in the telephony, where that was asked for. about: who spoke.
    """

    call: Activity
    bound: tuple[Entity, ...] = ()
    files: tuple[Any | PortalRefused, ...] = ()
    statistic: Statistic | None = None
    about: About | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """How large its recordings are, as far as the portal tells."""
        told = (whole(file.get("SIZE")) for file in self.files if isinstance(file, dict))
        return tuple(size for size in told if size)


def find(
    rest: Bitrix24,
    activity_ids: Sequence[int] = (),
    *,
    call_id: str | None = None,
    statistic: bool = False,
    files: int = 1,
) -> list[Found | None]:
    """What is known of activities, None for one that is gone, in one request: MOST_FOUND at the most.

    call_id: the one of a telephony call, where no activity is named. statistic: ask the telephony for that
    call too. files: how many recordings a call is expected to have; more take a request each. Who spoke is
    asked of MOST_TOLD activities at the most, so that it takes no request more.
    Raises PortalUnavailable, PortalRefused, BadAnswer.
    """
    roots: list[tuple[str, dict[str, Any], tuple[int | str, ...]]] = [
        ("crm.activity.get", {"id": identifier}, ()) for identifier in activity_ids
    ]
    if not roots and call_id:
        conditions = {
            "filter": {"ORIGIN_ID": ORIGIN + call_id},
            "select": [*SELECT, *telling.SELECT],
            "start": 0,
        }
        roots = [("crm.activity.list", conditions, (0,))]
    commands: list[tuple[str, Params]] = []
    told: list[tuple[str, Params]] = []
    for method, params, path in roots:
        root = len(commands)
        told += telling.commands(root, *path)
        identifier = params.get("id") or From(root, *path, "ID")
        commands += [(method, params), (BINDINGS, {"activityId": identifier})]
        commands += [(FILE, {"id": From(root, *path, "FILES", at, "id")}) for at in range(files)]
    if statistic and call_id:
        commands.append((STATISTIC, {"FILTER": {"CALL_ID": call_id}}))
    asked, each, more = len(commands), 2 + files, telling.COMMANDS
    answers = rest.batch(commands + told if len(roots) <= MOST_TOLD else commands)
    known = _statistic(answers[asked - 1]) if statistic and call_id else None
    parts = [answers[at : at + each] for at in range(0, len(roots) * each, each)]
    tells = [answers[at : at + more] for at in range(asked, asked + len(roots) * more, more)]
    return [
        _found(rest, part, tell, listed=not activity_ids, statistic=known)
        for part, tell in zip(parts, tells, strict=True)
    ]


def _found(
    rest: Bitrix24,
    answers: Sequence[Any | Upstream],
    told: Sequence[Any | Upstream],
    *,
    listed: bool,
    statistic: Statistic | None,
) -> Found | None:
    item, bound, *early = answers
    if isinstance(item, PortalRefused) and _absent(item):
        return None
    if isinstance(item, Upstream):
        raise item
    if listed:
        item = item[0] if isinstance(item, list) and len(item) == 1 else None
    if not item:
        return None
    call, about = read_activity(item), telling.read(item, told)
    files = []
    for number, identifier in enumerate(call.file_ids):
        file = early[number] if number < len(early) else None
        if file is None or (isinstance(file, PortalRefused) and _code(file) in UNFOLLOWED | ABSENT):
            file = _asked(rest, FILE, {"id": identifier})  # a portal that does not follow references so far
        if isinstance(file, Upstream) and not isinstance(file, PortalRefused):
            raise file
        files.append(file)
    if isinstance(bound, PortalRefused) and _code(bound) in UNFOLLOWED and listed:
        bound = _asked(rest, BINDINGS, {"activityId": call.id})
    return Found(call=call, bound=_bound(bound), files=tuple(files), statistic=statistic, about=about)


def _asked(rest: Bitrix24, method: str, params: Params) -> Any | Upstream:
    try:
        return rest.call(method, params)
    except Upstream as error:
        return error


def _bound(answer: Any | Upstream) -> tuple[Entity, ...]:
    """All CRM entities that an activity is bound to."""
    if isinstance(answer, Upstream):
        if _code(answer) not in NO_METHOD:
            raise answer
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


def recording_urls(found: Found) -> tuple[str, ...]:
    """Where a call's recordings can be downloaded now, in order; one that is gone is left out.

    By disk.file.get, whose link carries its own access. The activity's own link leads to a login page
    unless its `auth` is filled, which a webhook's is not. Raises PortalRefused when there is a recording
    that this webhook may not read.
    """
    urls = []
    for number, file in enumerate(found.files):
        url = filled(file.get("DOWNLOAD_URL")) if isinstance(file, dict) else None
        if url is None and number < len(found.call.file_urls):
            own = found.call.file_urls[number]
            url = None if own.endswith("auth=") else own
        if url is None and isinstance(file, PortalRefused) and _code(file) not in ABSENT:
            raise file
        if url is not None:
            urls.append(url)
    return tuple(urls)


def disk_url(rest: Bitrix24, identifier: int) -> str | None:
    """The download link of a file on the portal's disk, or None when there is no such file."""
    file = _asked(rest, FILE, {"id": identifier})
    if isinstance(file, Upstream):
        if _code(file) in ABSENT:
            return None
        raise file
    return filled(file.get("DOWNLOAD_URL")) if isinstance(file, dict) else None


def iso(at: float) -> str:
    """Unix seconds as the REST's filters take them."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
