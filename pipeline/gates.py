"""Why calls do not arrive: the gates between a call on a portal and this service, each asked in turn.

Most of them are silent: the portal tells nobody that it did not send a call. For `callscribe doctor`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.clients import crm
from pipeline.clients.bitrix24 import Bitrix24
from pipeline.clients.rest_errors import ADMIN, SCOPES
from pipeline.engines import REMINDERS, Engine, listing
from pipeline.errors import BadAnswer, CallscribeError, PortalRefused, Upstream
from pipeline.model import Category

NEEDED = {
    "crm": "deals, calls and their timeline",
    "disk": "recordings of calls that come by events",
    "telephony": "calls by their telephony id, transcripts in the telephony",
    "ai_admin": "registering engines",
}
CALLS_SECONDS = 86_400.0
MOST_CALLS = 50


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One gate: "open", "shut" (with its mend), or "unknown" where the portal does not tell."""

    name: str
    state: Literal["open", "shut", "unknown"]
    says: str
    mend: str = ""


def gates(rest: Bitrix24, urls: Mapping[Category, str], *, arrived: int | None = None) -> Iterator[Gate]:
    """Asks the portal about every gate; never raises for what the portal answers.

    urls: our completions URL of each category that is served. arrived: how many calls came to us within a
    day, where that is known.
    """
    webhook = _webhook(rest)
    yield webhook
    if webhook.state == "shut":
        return
    yield from _rights(rest)
    yield from _engines(rest, urls)
    yield from _calls(rest, arrived)


def _webhook(rest: Bitrix24) -> Gate:
    try:
        profile = rest.call("profile")
    except (PortalRefused, BadAnswer) as error:
        return Gate(name="webhook", state="shut", says=error.message, mend=error.mend)
    except Upstream as error:
        return Gate(name="webhook", state="shut", says=error.message, mend="Check that the portal is up.")
    if isinstance(profile, dict) and profile.get("ADMIN") is False:
        return Gate(
            name="webhook", state="open", says="answers, for a user who is no administrator", mend=ADMIN
        )
    return Gate(name="webhook", state="open", says="answers")


def _rights(rest: Bitrix24) -> Iterator[Gate]:
    try:
        granted = rest.call("scope")
    except CallscribeError as error:
        yield Gate(name="scopes", state="unknown", says=error.message)
        return
    missing = [name for name in NEEDED if isinstance(granted, list) and name not in granted]
    if missing:
        lacks = "; ".join(f"{name} ({NEEDED[name]})" for name in missing)
        yield Gate(name="scopes", state="shut", says=f"the webhook lacks {lacks}", mend=SCOPES)
    else:
        yield Gate(name="scopes", state="open", says=", ".join(NEEDED))


def _engines(rest: Bitrix24, urls: Mapping[Category, str]) -> Iterator[Gate]:
    try:
        found: Sequence[Engine] = listing(rest)
    except CallscribeError as error:
        yield Gate(name="engines", state="shut", says=error.message, mend=error.mend)
        return
    mend = "Run `callscribe engines register`."
    for category, url in urls.items():
        own = [engine for engine in found if engine.category == category and engine.completions_url == url]
        elsewhere = [e for e in found if e.category == category and e.code.startswith("callscribe_")]
        name = f"{category} engine"
        if own:
            yield Gate(name=name, state="open", says=f"registered as {own[0].code}")
        elif elsewhere:
            yield Gate(name=name, state="shut", says=f"leads elsewhere: {elsewhere[0].masked_url}", mend=mend)
        else:
            yield Gate(name=name, state="shut", says="is not registered", mend=mend)
    if not any(engine.category == Category.TEXT for engine in found):
        yield Gate(name="text engine", state="shut", says=REMINDERS["audio"], mend=mend)


def _calls(rest: Bitrix24, arrived: int | None) -> Iterator[Gate]:
    now = time.time()
    try:
        calls = list(crm.recent_calls(rest, since=now - CALLS_SECONDS, until=now, limit=MOST_CALLS))
        stored = crm.transcripts(rest, [call.id for call in calls])
    except CallscribeError as error:
        yield Gate(name="calls", state="unknown", says=error.message)
        return
    recorded = [call for call in calls if call.file_ids or call.file_urls]
    if not calls:
        yield Gate(name="calls", state="unknown", says="the CRM has no call of the last day")
        return
    if not recorded:
        yield Gate(
            name="recordings",
            state="shut",
            says=f"none of the last {len(calls)} calls has a recording",
            mend="Turn on the recording of calls in the telephony's settings.",
        )
        return
    yield Gate(
        name="recordings", state="open", says=f"{len(recorded)} of the last {len(calls)} calls have one"
    )
    denied = [text for text in stored if isinstance(text, PortalRefused)]
    if len(denied) == len(stored):
        yield Gate(
            name="CoPilot in the CRM",
            state="shut",
            says=denied[0].message,
            mend="Switch on the CRM's AI processing of calls in the portal's CoPilot settings.",
        )
        return
    texts = sum(isinstance(text, str) for text in stored)
    if texts or arrived:
        yield Gate(name="transcripts", state="open", says=f"{texts} of the last {len(calls)} calls have one")
    else:
        yield Gate(
            name="choice of the engine",
            state="shut",
            says="calls are recorded, and none was sent to an engine",
            mend=REMINDERS["select"],
        )
