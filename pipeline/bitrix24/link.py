"""link: find the deal (else the lead) of a call, for certain or not at all."""

from __future__ import annotations

from pipeline.bitrix24 import crm
from pipeline.bitrix24.rest import Bitrix24
from pipeline.domain.errors import PortalRefused, Upstream
from pipeline.domain.job import Timeline

DAY = 86400.0
WIDE_DAYS = 14  # a person may ask for an older call's transcript
AHEAD_SECONDS = 600.0  # between the portal's clock and ours
PATIENCE_SECONDS = 7200.0  # how long the portal may take to store what we sent
MOST_CALLS = 1000  # that are compared: 40 requests
STORED_SECONDS = 30.0  # before a portal has surely stored our text, an older equal one may stand alone
# The transcript is usually among the last few calls: few are compared at first, all before anything is
# written, since only then it is known to be the only one.
MOST_SIZES = 20  # recordings that are looked up
DEPTHS = ((120.0, 50), (1800.0, 250))


def link(
    text: str,
    *,
    rest: Bitrix24,
    accepted_at: float,
    delivered_at: float,
    now: float,
    activity_id: int | None = None,
    size_bytes: int | None = None,
) -> Timeline:
    """Where the score of a call belongs. Moments are unix seconds.

    text: the transcript as it was sent. activity_id: the call, when it is known; else it is the one recent
    call whose stored transcript equals ours after collapsing white space. size_bytes: of our recording; where
    the portal tells how large a call's is, that decides among equal texts ("no answer" is said every day).

    State "waiting" with an entity: found, to be written there. "waiting" without: the portal has not stored
    the transcript yet, look again after `pause_seconds`. "unlinked": nowhere, and `why`.
    Raises PortalUnavailable; a refusal of the portal is an answer ("unlinked").
    """
    waited = max(now - delivered_at, 0.0)
    try:
        if activity_id is not None:
            call = crm.activity(rest, activity_id)
            if call is None:
                return Timeline(state="unlinked", why="the call's activity was deleted")
            return _place(rest, call)
        return _search(text, size_bytes, rest=rest, accepted_at=accepted_at, waited=waited)
    except PortalRefused as error:
        return Timeline(state="unlinked", activity_id=activity_id, why=error.message)


def pause_seconds(waited: float) -> float:
    """How long to wait before the next look: 15 s at first, then half of what was waited, 10 min at most."""
    return min(max(15.0, waited / 2), 600.0)


def _search(
    text: str, size_bytes: int | None, *, rest: Bitrix24, accepted_at: float, waited: float
) -> Timeline:
    last_look = waited >= PATIENCE_SECONDS
    since = accepted_at - (WIDE_DAYS if last_look else 1) * DAY
    until = accepted_at + AHEAD_SECONDS
    depth = next((calls for seconds, calls in DEPTHS if waited < seconds), MOST_CALLS)
    calls = list(crm.recent_calls(rest, since=since, until=until, limit=depth))
    equal, without = _equal(rest, calls, text)
    if equal and depth < MOST_CALLS:
        every = list(crm.recent_calls(rest, since=since, until=until, limit=MOST_CALLS))
        seen = {call.id for call in calls}
        more, _ = _equal(rest, [call for call in every if call.id not in seen], text)
        calls, equal = every, equal + more
    sizes = {call.id: crm.recording_bytes(rest, call) for call in equal[:MOST_SIZES]} if size_bytes else {}
    ours = [call for call in equal if sizes.get(call.id) == size_bytes is not None]
    if not ours:
        if len(equal) > MOST_SIZES:
            return _uncertain(len(equal))
        ours = [call for call in equal if sizes.get(call.id) is None]
        if len(calls) >= MOST_CALLS and ours:
            return Timeline(state="unlinked", why=f"more than {MOST_CALLS} calls to compare")
        newest = max((call.id for call in ours), default=0)
        if len(ours) == 1 and waited < STORED_SECONDS and any(call.id > newest for call in without):
            ours = []  # that newer call may be ours, and get the same text in a moment
    if len(ours) == 1:
        return _place(rest, ours[0])
    if ours:
        return _uncertain(len(ours))
    if last_look:
        what = "this recording" if equal else "this transcript"
        return Timeline(state="unlinked", why=f"no call of the last {WIDE_DAYS} days has {what}")
    return Timeline(state="waiting", why="the portal has not stored the transcript with its call yet")


def _uncertain(number: int) -> Timeline:
    why = f"{number} calls have this transcript, and which is ours is not certain"
    return Timeline(state="unlinked", why=why)


def _equal(
    rest: Bitrix24, calls: list[crm.Activity], text: str
) -> tuple[list[crm.Activity], list[crm.Activity]]:
    """The calls with this transcript, and those without any.

    Raises when one cannot be read now, or none may be read at all.
    """
    found, refused, without = [], [], []
    for call, stored in zip(calls, crm.transcripts(rest, [call.id for call in calls]), strict=True):
        if isinstance(stored, PortalRefused):
            refused.append(stored)
        elif isinstance(stored, Upstream):
            raise stored
        elif stored is None:
            without.append(call)
        elif _collapsed(stored) == _collapsed(text):
            found.append(call)
    if calls and len(refused) == len(calls):
        raise refused[0]
    return found, without


def _place(rest: Bitrix24, call: crm.Activity) -> Timeline:
    entity, why = crm.home(call, crm.bindings(rest, call.id))
    if entity is None:
        return Timeline(state="unlinked", activity_id=call.id, why=why)
    return Timeline(state="waiting", entity=entity, activity_id=call.id)


def _collapsed(text: str) -> str:
    return " ".join(text.split())
