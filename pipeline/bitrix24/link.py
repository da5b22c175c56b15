"""link: find the deal (else the lead) of a call, for certain or not at all."""

from __future__ import annotations

from pipeline.bitrix24 import crm
from pipeline.bitrix24.callbook import MOST_CALLS, CallBook, Known, digest_of, look
from pipeline.bitrix24.rest import Bitrix24
from pipeline.domain.errors import PortalRefused
from pipeline.domain.job import Timeline

DAY = 86400.0
WIDE_DAYS = 14  # a person may ask for an older call's transcript
AHEAD_SECONDS = 600.0  # between the portal's clock and ours
PATIENCE_SECONDS = 7200.0  # how long the portal may take to store what we sent
AGAIN_SECONDS = 60.0  # after which a call that has a transcript already may have been asked for once more
STORED_SECONDS = 30.0  # before a portal has surely stored our text, an older equal one may stand alone
LOOK_EVERY_SECONDS = 4.0
MOST_EQUAL = crm.MOST_FOUND  # calls of equal text whose recordings are compared


def link(
    text: str,
    *,
    book: CallBook,
    rest: Bitrix24,
    looks: Bitrix24 | None,
    accepted_at: float,
    delivered_at: float,
    now: float,
    size_bytes: int | None = None,
    repeated: bool = False,
) -> Timeline:
    """Where the score of a call belongs: that of the one recent call whose stored transcript equals ours.

    text: the transcript as it was sent; white space does not count. book: what is known of the portal's
    calls, brought up to date by `looks` when it is older than this call can wait (None: somebody else is
    at it); `rest` asks about what was found. Moments are unix seconds. size_bytes: of our recording; where
    the portal tells how large a call's is, that decides among equal texts ("no answer" is said every day).
    repeated: another recording of this portal has the same text.

    State "waiting" with an entity: found, to be written there. "waiting" without: not found yet, look again
    after `pause_seconds`. "unlinked": nowhere, and `why`.
    Raises PortalUnavailable and NoTurn; a refusal of the portal is an answer ("unlinked").
    """
    waited = max(now - delivered_at, 0.0)
    last_look = waited >= PATIENCE_SECONDS
    since = accepted_at - (WIDE_DAYS if last_look else 1) * DAY
    until = accepted_at + AHEAD_SECONDS
    digest = digest_of(text)
    # What may have changed since our text was delivered. A call without a transcript may have got ours, or
    # an equal one; where the recording's size confirms what was found, that is not asked of all of them.
    strict = last_look or repeated or size_bytes is None
    changed_since = delivered_at if waited >= AGAIN_SECONDS else None

    def up_to_date() -> bool:
        unread_since = delivered_at if strict else None
        left = book.wanted(
            now, since, until, unread_since=unread_since, changed_since=changed_since, surely=last_look
        )
        return book.lists(since) and not left

    def compare() -> bool:
        if looks is None or book.looked_at == now:
            return False
        look(
            book, rest=looks, now=now, since=since, until=until, changed_since=changed_since,
            unread_since=delivered_at if strict else None, surely=last_look,
        )  # fmt: skip
        return up_to_date()

    try:
        if is_due(book, now, waited):
            compare()
        calls = book.between(since, until)
        if calls and all(call.denied for call in calls):
            return Timeline(state="unlinked", why=calls[0].denied)
        equal = _with(digest, calls)
        while equal or last_look:
            if not up_to_date() and not compare():
                return Timeline(state="waiting", why="the portal's calls are still being compared")
            calls = book.between(since, until)
            equal = _with(digest, calls)
            found = [] if not equal else crm.find(rest, [call.id for call in equal[:MOST_EQUAL]])
            for call, there in zip(equal, found, strict=False):
                if there is None:
                    book.drop(call.id)
            standing = [there for there in found if there is not None]
            ours = [there for there in standing if size_bytes in there.sizes]
            if not ours:
                if len(equal) > MOST_EQUAL:
                    return _uncertain(len(equal))
                ours = [there for there in standing if not there.sizes or size_bytes is None]
                if ours and not strict:
                    strict = True  # no size confirms it: every call counts as it stands now
                    continue
                if ours and book.crowded(since):
                    return Timeline(state="unlinked", why=f"more than {MOST_CALLS} calls to compare")
                newest = max((there.call.id for there in ours), default=0)
                without = any(call.digest is None and not call.denied and call.id > newest for call in calls)
                if len(ours) == 1 and waited < STORED_SECONDS and without:
                    ours = []  # that newer call may be ours, and get the same text in a moment
            if len(ours) == 1:
                return _place(ours[0])
            if ours:
                return _uncertain(len(ours))
            break
    except PortalRefused as error:
        return Timeline(state="unlinked", why=error.message)
    if last_look:
        what = "this recording" if equal else "this transcript"
        return Timeline(state="unlinked", why=f"no call of the last {WIDE_DAYS} days has {what}")
    return Timeline(state="waiting", why="the portal has not stored the transcript with its call yet")


def link_to(activity_id: int, *, rest: Bitrix24) -> Timeline:
    """The same for a call whose activity is known."""
    try:
        (found,) = crm.find(rest, [activity_id])
    except PortalRefused as error:
        return Timeline(state="unlinked", activity_id=activity_id, why=error.message)
    if found is None:
        return Timeline(state="unlinked", why="the call's activity was deleted")
    return _place(found)


def is_due(book: CallBook, now: float, waited: float) -> bool:
    """Whether the portal's calls are to be looked at again for a call that has waited so long."""
    return book.looked_at is None or now - book.looked_at >= pause_seconds(waited)


def pause_seconds(waited: float) -> float:
    """How old the last look may be: 4 s at first, then a quarter of what was waited, 10 min at most."""
    return min(max(LOOK_EVERY_SECONDS, waited / 4), 600.0)


def _with(digest: str, calls: list[Known]) -> list[Known]:
    """The calls with this transcript, the newest first."""
    return sorted((call for call in calls if call.digest == digest), key=lambda call: -call.id)


def _uncertain(number: int) -> Timeline:
    why = f"{number} calls have this transcript, and which is ours is not certain"
    return Timeline(state="unlinked", why=why)


def _place(found: crm.Found) -> Timeline:
    entity, why = crm.home(found.call, found.bound)
    if entity is None:
        return Timeline(state="unlinked", activity_id=found.call.id, why=why, about=found.about)
    return Timeline(state="waiting", entity=entity, activity_id=found.call.id, about=found.about)
