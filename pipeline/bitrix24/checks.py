"""Why calls do not arrive: all that stands between a call on a portal and this service, checked in turn.

Most of them are silent: the portal tells nobody that it did not send a call. For `callscribe doctor`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.bitrix24 import crm
from pipeline.bitrix24.engines import REMINDERS, Engine, listing
from pipeline.bitrix24.rest import Bitrix24
from pipeline.bitrix24.rest_errors import ADMIN, explain
from pipeline.clients.transport import Unreachable
from pipeline.domain.errors import BadAnswer, CallscribeError, PortalRefused, Upstream
from pipeline.domain.job import Category

NEEDED = {
    "crm": "deals, calls and their timeline",
    "disk": "recordings of calls that come by events",
    "telephony": "calls by their telephony id, transcripts in the telephony",
    "ai_admin": "registering engines",
}
CALLS_SECONDS = 86_400.0
MOST_CALLS = 50


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check: "ok", "failed" (with a hint), or "unknown" where the portal does not tell."""

    name: str
    state: Literal["ok", "failed", "unknown"]
    says: str
    hint: str = ""


def arrival_checks(
    rest: Bitrix24, urls: Mapping[Category, str], *, arrived: int | None = None
) -> Iterator[Check]:
    """Asks the portal about everything; never raises for what the portal answers.

    urls: our completions URL of each category that is served. arrived: how many calls came to us within a
    day, where that is known.
    """
    webhook = _webhook(rest)
    yield webhook
    if webhook.state == "failed":
        return
    yield from _rights(rest)
    yield from _engines(rest, urls)
    yield from _calls(rest, arrived)


def _webhook(rest: Bitrix24) -> Check:
    try:
        profile = rest.call("profile")
    except (PortalRefused, BadAnswer) as error:
        known = explain(getattr(error, "provider_code", None) or "")  # then its mend stands in the message
        return Check(name="webhook", state="failed", says=error.message, hint="" if known else error.hint)
    except Upstream as error:
        cause = error.__cause__
        hint = cause.hint if isinstance(cause, Unreachable) else "Check that the portal is up."
        return Check(name="webhook", state="failed", says=error.message, hint=hint)
    if isinstance(profile, dict) and profile.get("ADMIN") is False:
        return Check(
            name="webhook", state="ok", says="answers, for a user who is no administrator", hint=ADMIN
        )
    return Check(name="webhook", state="ok", says="answers")


def _rights(rest: Bitrix24) -> Iterator[Check]:
    try:
        granted = rest.call("scope")
    except CallscribeError as error:
        yield Check(name="scopes", state="unknown", says=error.message)
        return
    if not isinstance(granted, list):
        yield Check(name="scopes", state="unknown", says="the portal does not list the webhook's scopes")
    elif missing := [name for name in NEEDED if name not in granted]:
        lacks = "; ".join(f"{name} ({NEEDED[name]})" for name in missing)
        hint = f"Edit the incoming webhook on the portal and tick {', '.join(missing)}."
        yield Check(name="scopes", state="failed", says=f"the webhook lacks {lacks}", hint=hint)
    else:
        yield Check(name="scopes", state="ok", says=", ".join(NEEDED))


def _engines(rest: Bitrix24, urls: Mapping[Category, str]) -> Iterator[Check]:
    try:
        found: Sequence[Engine] = listing(rest)
    except CallscribeError as error:
        yield Check(name="engines", state="failed", says=error.message, hint=error.hint)
        return
    hint = "Run `callscribe engines register`."
    for category, url in urls.items():
        own = [engine for engine in found if engine.category == category and engine.completions_url == url]
        elsewhere = [e for e in found if e.category == category and e.code.startswith("callscribe_")]
        name = f"{category} engine"
        if own:
            yield Check(name=name, state="ok", says=f"registered as {own[0].code}")
        elif elsewhere:
            yield Check(
                name=name, state="failed", says=f"leads elsewhere: {elsewhere[0].masked_url}", hint=hint
            )
        else:
            yield Check(name=name, state="failed", says="is not registered", hint=hint)
    if not any(engine.category == Category.TEXT for engine in found):
        yield Check(name="text engine", state="failed", says=REMINDERS["audio"], hint=hint)


def _calls(rest: Bitrix24, arrived: int | None) -> Iterator[Check]:
    now = time.time()
    try:
        calls = list(crm.recent_calls(rest, since=now - CALLS_SECONDS, until=now, limit=MOST_CALLS))
        stored = crm.transcripts(rest, [call.id for call in calls])
    except CallscribeError as error:
        yield Check(name="calls", state="unknown", says=error.message)
        return
    recorded = [call for call in calls if call.file_ids or call.file_urls]
    if not calls:
        yield Check(name="calls", state="unknown", says="the CRM has no call of the last day")
        return
    if not recorded:
        yield Check(
            name="recordings",
            state="failed",
            says=f"none of the last {len(calls)} calls has a recording",
            hint="Turn on the recording of calls in the telephony's settings.",
        )
        return
    yield Check(
        name="recordings", state="ok", says=f"{len(recorded)} of the last {len(calls)} calls have one"
    )
    denied = [text for text in stored if isinstance(text, PortalRefused)]
    if len(denied) == len(stored):
        yield Check(
            name="CoPilot in the CRM",
            state="failed",
            says=denied[0].message,
            hint="Switch on the CRM's AI processing of calls in the portal's CoPilot settings.",
        )
        return
    texts = sum(isinstance(text, str) for text in stored)
    if texts or arrived:
        yield Check(name="transcripts", state="ok", says=f"{texts} of the last {len(calls)} calls have one")
    else:
        yield Check(
            name="choice of the engine",
            state="failed",
            says="calls are recorded, and none was sent to an engine",
            hint=REMINDERS["select"],
        )
