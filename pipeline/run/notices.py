"""Notices of trouble, while there is time to mend it: to the operator's webhook and to the portal's people.

What is wrong is read from the store, so that nobody has to report it; what was told is kept there too, so
that each event is told once, whichever process looks. A look takes one turn of many, sends a bounded number
of requests, and gives way to entries and events at the portal's REST.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import structlog

from pipeline.bitrix24.rest import NoTurn
from pipeline.clients.messages import Body
from pipeline.clients.signing import signature_headers
from pipeline.clients.transport import Unreachable
from pipeline.domain.errors import CallscribeError, StoreUnavailable, UnknownJob, Upstream
from pipeline.domain.job import Category, PortalId
from pipeline.settings.portals import Portal
from pipeline.steps.tools import Tools
from pipeline.steps.turns import rest_of
from pipeline.telemetry.metrics import NOTICES

log = structlog.get_logger()

LOOK_SECONDS = 20.0
TURN_SECONDS = 15
NEAR_SECONDS = 1800.0  # to a deadline that is hours away when a call comes
YOUNG_SECONDS = 600.0  # what has just come is no trouble, however short its time
QUIET_SECONDS = 900.0  # what comes and goes within it is one event
MOST_TRIES = 5
MOST_AT_ONCE = 10  # people of portals told in one look
WEBHOOK_SECONDS = REST_SECONDS = 10.0
SHELF, SHELF_SECONDS = "notices", 30 * 86_400

What = Literal["account_held", "deadline_near", "store_gone_back", "no_worker"]


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Something that costs calls if nobody does anything. portal: whose; None: everybody's."""

    what: What
    portal: PortalId | None = None
    jobs: int = 0
    seconds: float = 0.0  # until it costs a call

    @property
    def key(self) -> str:
        return f"{self.what}:{self.portal or ''}"


# what -> language -> sentence, what to do; the operator's are English
TEXTS: dict[str, dict[str, tuple[str, str]]] = {
    "account_held": {
        "en": (
            "callscribe: the AI provider refuses the account (key, balance or rights). "
            "Calls that wait: {jobs}; the first is given up in {minutes} min.",
            "Renew the key or top up the balance: the calls then go on by themselves within a minute. "
            "`callscribe doctor` names what is refused.",
        ),
        "ru": (
            "callscribe: провайдер ИИ отклоняет учётную запись (ключ, баланс или права). "
            "Звонков в ожидании: {jobs}; первый будет потерян через {minutes} мин.",
            "Обновите ключ или пополните баланс: звонки продолжатся сами в течение минуты. "
            "Что именно отклонено, покажет `callscribe doctor`.",
        ),
    },
    "deadline_near": {
        "en": (
            "callscribe: a call has no transcript yet, and the portal waits for it {minutes} min more.",
            "`callscribe jobs list` and `callscribe jobs show ID` tell what it waits for; "
            "`callscribe jobs retry ID` tries it at once.",
        ),
        "ru": (
            "callscribe: у звонка ещё нет расшифровки, портал ждёт её ещё {minutes} мин.",
            "Чего он ждёт, покажут `callscribe jobs list` и `callscribe jobs show ID`; "
            "`callscribe jobs retry ID` повторит попытку сразу.",
        ),
    },
    "store_gone_back": {
        "en": (
            "callscribe: its store went back to an earlier state. Calls of that time may be missing, or run "
            "again.",
            "Compare the calls of the last hours with `callscribe jobs list`; `callscribe doctor` tells "
            "since when.",
        ),
        "ru": (
            "callscribe: хранилище вернулось к более раннему состоянию. Звонки за это время могли пропасть "
            "или обработаться повторно.",
            "Сверьте звонки последних часов с `callscribe jobs list`; с какого времени, покажет "
            "`callscribe doctor`.",
        ),
    },
    "no_worker": {
        "en": (
            "callscribe: no worker is alive. Calls are accepted, and nothing is done with them.",
            "Start `callscribe worker`, or all of it with `callscribe up`; `callscribe doctor` checks every "
            "part.",
        )
    },
}


def troubles(tools: Tools) -> Iterator[Trouble]:
    """What is wrong at this moment; costs by portals, never by jobs. Raises StoreUnavailable."""
    store = tools.store
    stands = store.gauges.overview([portal.id for portal in tools.portals.values()])
    for portal, held in stands.held.items():
        left = held.since + tools.settings.account_hold_seconds - stands.now
        yield Trouble(what="account_held", portal=portal, jobs=held.jobs, seconds=max(left, 0.0))
    for category, nearest in stands.nearest.items():
        left = nearest.deadline - stands.now
        if category in (Category.AUDIO, Category.CALL) and left < NEAR_SECONDS:
            with suppress(UnknownJob, ValueError):
                if stands.now - float(store.raw(nearest.job).get("accepted_at", 0)) >= YOUNG_SECONDS:
                    yield Trouble(what="deadline_near", portal=nearest.portal, seconds=max(left, 0.0))
    if store.unsettled_since() is not None:
        yield Trouble(what="store_gone_back")
        yield from (Trouble(what="store_gone_back", portal=portal) for portal in tools.portals)
    roles = {told.get("role") for told in store.processes.alive().values()}
    if "upstream" not in roles and any(stands.unfinished.values()):
        yield Trouble(what="no_worker")


def look(tools: Tools) -> int:
    """Tells of what is new, once; how many were told. Raises StoreUnavailable."""
    turn = secrets.token_hex(8)
    if tools.store.known.first("notices", turn, seconds=TURN_SECONDS) != turn:
        return 0
    now = tools.store.now()
    found = {trouble.key: trouble for trouble in troubles(tools)}
    told = {key: json.loads(row) for key, row in tools.store.known.read_shelf(SHELF).items()}
    gone = [key for key, row in told.items() if key not in found and now - row["seen"] > QUIET_SECONDS]
    rows = {key: {**told.get(key, {"tries": 0, "done": []}), "seen": now} for key in found}
    count = _tell_operator(tools, {k: t for k, t in found.items() if _waits(rows[k], "webhook", t)}, rows)
    waiting = [(key, trouble) for key, trouble in found.items() if _waits(rows[key], "portal", trouble)]
    for key, trouble in waiting[:MOST_AT_ONCE]:
        count += _tell_portal(tools, trouble, rows[key])
    if rows or gone:
        kept = {key: json.dumps(row) for key, row in rows.items()}
        tools.store.known.write_shelf(SHELF, kept, gone, seconds=SHELF_SECONDS)
    return count


def _waits(row: dict[str, Any], way: str, trouble: Trouble) -> bool:
    """Whether it is still to be told by this way; the store's past to the operator once, for all portals."""
    if way == "webhook" and trouble.what == "store_gone_back" and trouble.portal:
        return False
    return (
        way not in row["done"] and row["tries"] < MOST_TRIES and not (way == "portal" and not trouble.portal)
    )


def _tell_operator(tools: Tools, new: dict[str, Trouble], rows: dict[str, dict[str, Any]]) -> int:
    """One request for each kind of trouble, however many portals have it."""
    secret = tools.settings.alert_webhook
    if secret is None:
        return 0
    count = 0
    for what in dict.fromkeys(trouble.what for trouble in new.values()):
        some = {key: trouble for key, trouble in new.items() if trouble.what == what}
        taken = _post(tools, secret.get_secret_value(), list(some.values()))
        NOTICES.inc(what, "webhook", "yes" if taken else "no")
        for key in some:
            rows[key] = _after(rows[key], "webhook", taken)
        count += taken
    return count


def _post(tools: Tools, url: str, some: list[Trouble]) -> bool:
    now, first = tools.store.now(), min(some, key=lambda trouble: trouble.seconds)
    sentence, todo = text_of(first, "en")
    portals = sorted({trouble.portal for trouble in some if trouble.portal})
    body = {
        "type": f"callscribe.{first.what}",
        "timestamp": datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z"),
        "text": f"{sentence} {todo}",  # as chats show it
        "data": {"portals": portals, "jobs": sum(trouble.jobs for trouble in some), "mend": todo},
    }
    content = json.dumps(body, ensure_ascii=False).encode()
    headers = {"content-type": "application/json"}
    if key := tools.settings.webhook_secret:
        message = f"notice-{first.key}-{int(now)}"
        headers |= signature_headers(key.get_secret_value(), message_id=message, at=now, body=content)
    try:
        answer = tools.transport.request(
            "POST", url, headers=headers, body=Body(content=content), timeout_seconds=WEBHOOK_SECONDS,
            operator=True,
        )  # fmt: skip
        status: int | None = answer.status
    except (Unreachable, CallscribeError):
        status = None
    if status is not None and 200 <= status < 300:
        return True
    log.warning(
        "notice_not_taken", notice=first.what, http_status=status, hint="Check CALLSCRIBE_ALERT_WEBHOOK."
    )
    return False


def _tell_portal(tools: Tools, trouble: Trouble, row: dict[str, Any]) -> bool:
    """A notification to the people of the portal; where its webhook lacks the scope, never again."""
    portal = tools.portals.get(trouble.portal) if trouble.portal else None
    users = _users(portal) if portal else ()
    rest = rest_of(portal, tools, looks=True) if portal and users else None
    if portal is None or rest is None:
        row["done"] = [*row["done"], "portal"]
        return False
    sentence, todo = text_of(trouble, portal.language)
    taken, final = True, True
    for user in users:
        try:
            rest.call("im.notify.personal.add", {"USER_ID": user, "MESSAGE": f"{sentence}#BR#{todo}"})
        except NoTurn:  # entries and events come first; nothing was tried
            return False
        except Upstream as error:
            taken, final = False, not error.transient or error.ambiguous
            log.warning(
                "notice_not_taken", notice=trouble.what, portal=portal.id, why=error.message,
                hint="The webhook takes the scope im; CALLSCRIBE_NOTIFY_USERS=0 tells nobody on the portal.",
            )  # fmt: skip
    NOTICES.inc(trouble.what, "portal", "yes" if taken else "no")
    row |= _after(row, "portal", final)
    return taken


def _after(row: dict[str, Any], way: str, done: bool) -> dict[str, Any]:
    return {**row, "done": [*row["done"], way]} if done else {**row, "tries": row["tries"] + 1}


def _users(portal: Portal) -> tuple[int, ...]:
    """Whom the portal named, else the webhook's owner: who makes one for AI engines is an administrator."""
    if portal.notify_users:
        return tuple(user for user in portal.notify_users if user)
    parts = urlsplit(portal.webhook or "").path.split("/")
    return tuple(int(part) for part in parts[2:3] if part.isdigit())


def text_of(trouble: Trouble, language: str) -> tuple[str, str]:
    """The sentence, and what to do about it."""
    texts = TEXTS[trouble.what]
    sentence, todo = texts.get(language, texts["en"])
    return sentence.format(jobs=trouble.jobs, minutes=int(trouble.seconds // 60)), todo


class Watch(threading.Thread):
    """Looks every LOOK_SECONDS, in a thread since it waits for others' servers. Any number may run."""

    def __init__(self, tools: Tools, wait: Callable[[float], bool]) -> None:
        super().__init__(name="notices", daemon=True)
        self._tools, self._wait = tools, wait

    def run(self) -> None:
        while not self._wait(LOOK_SECONDS):
            try:
                look(self._tools)
            except StoreUnavailable:
                pass  # it cannot be told what was told before; `callscribe_store_up` tells of it
            except Exception:
                log.exception("notices_broke")
