"""From a transcript to its deal: for certain, or not at all."""

from __future__ import annotations

import pytest

from pipeline.bitrix24.callbook import MOST_CALLS, CallBook
from pipeline.bitrix24.callbook import look as bring
from pipeline.bitrix24.link import DAY, PATIENCE_SECONDS, link, link_to, pause_seconds
from pipeline.bitrix24.rest import Bitrix24
from pipeline.domain.errors import PortalUnavailable
from pipeline.domain.job import Entity, Timeline
from tests.bitrix.portal import Portal

NOW = 1_700_000_000.0
TEXT = "[Manager] Good morning\n[Client]  Hello,   I need ten seats"
STORED = "[Manager] Good morning [Client] Hello, I need ten seats "
DEAL = Entity(type="deal", id=42)


def look(
    rest: Bitrix24, waited: float = 5.0, *, book: CallBook | None = None, size_bytes: int | None = None,
    repeated: bool = False,
) -> Timeline:  # fmt: skip
    """Looks until it is decided what this moment can decide, with a book of its own unless one is given."""
    book = book or CallBook()
    while True:
        found = link(
            TEXT, book=book, rest=rest, looks=rest, accepted_at=NOW, delivered_at=NOW, now=NOW + waited,
            size_bytes=size_bytes, repeated=repeated,
        )  # fmt: skip
        if found.why != "the portal's calls are still being compared":
            return found
        book.looked_at = NOW  # its next look


def test_the_one_call_with_our_transcript_is_linked(portal: Portal, rest: Bitrix24) -> None:
    """White space does not count; among the call's bindings the deal is preferred."""
    for number in range(1, 30):
        portal.call(number, NOW - 60 * number)
        portal.crm.activities[number].transcript = f"another talk {number}"
    portal.crm.activities[7].transcript = STORED
    portal.crm.activities[7].bindings = [(3, 900), (1, 8), (2, 42)]
    assert look(rest) == Timeline(state="waiting", entity=DEAL, activity_id=7)
    assert portal.asked == ["batch", "batch", "batch"]  # the calls and the newest texts, the others, the find


def test_a_transcript_that_is_not_stored_yet_is_waited_for(portal: Portal, rest: Bitrix24) -> None:
    """No entity yet: look again; the pauses grow."""
    portal.call(7, NOW - 60)
    portal.crm.activities[7].bindings = [(2, 42)]
    found = look(rest)
    assert (found.state, found.entity) == ("waiting", None)
    portal.crm.activities[7].transcript = STORED
    assert look(rest, 40.0).entity == DEAL
    assert [pause_seconds(waited) for waited in (0.0, 60.0, 9000.0)] == [4.0, 15.0, 600.0]


def test_after_two_hours_nothing_is_waited_for(portal: Portal, rest: Bitrix24) -> None:
    """The job then says why it stays unlinked."""
    portal.call(7, NOW - 60)
    found = look(rest, PATIENCE_SECONDS)
    assert found.state == "unlinked"
    assert found.why == "no call of the last 14 days has this transcript"


def test_the_last_look_goes_back_two_weeks(portal: Portal, rest: Bitrix24) -> None:
    """A person may have asked for an older call's transcript."""
    portal.call(7, NOW - 10 * DAY)
    portal.crm.activities[7].transcript = STORED
    portal.crm.activities[7].bindings = [(2, 42)]
    assert look(rest).entity is None
    assert look(rest, PATIENCE_SECONDS).entity == DEAL


def test_two_calls_with_the_same_text_are_not_linked(portal: Portal, rest: Bitrix24) -> None:
    """Exactly one match, or no write."""
    for number in (7, 8):
        portal.call(number, NOW - 60)
        portal.crm.activities[number].transcript = STORED
        portal.crm.activities[number].bindings = [(2, 42)]
    found = look(rest)
    assert found.state == "unlinked"
    assert found.why is not None
    assert found.why.startswith("2 calls have this transcript")


def test_before_a_write_all_calls_of_the_day_are_compared(portal: Portal, rest: Bitrix24) -> None:
    """The second one may lie far back, where the first look did not reach."""
    for number in range(1, 121):
        portal.call(number, NOW - 200 * (121 - number))
        portal.crm.activities[number].transcript = f"another talk {number}"
    portal.crm.activities[120].transcript = STORED
    portal.crm.activities[120].bindings = [(2, 42)]
    assert look(rest).entity == DEAL
    portal.crm.activities[3].transcript = STORED
    assert look(rest).state == "unlinked"


def test_calls_after_the_request_do_not_count(portal: Portal, rest: Bitrix24) -> None:
    """A call that was made later cannot be the one that we were asked for."""
    portal.call(7, NOW + 3600)
    portal.crm.activities[7].transcript = STORED
    assert look(rest, 4000.0).entity is None


def test_a_call_of_no_deal_is_unlinked(portal: Portal, rest: Bitrix24) -> None:
    """A contact alone is not where sales ops look."""
    portal.call(7, NOW - 60)
    portal.crm.activities[7].transcript = STORED
    portal.crm.activities[7].bindings = [(3, 900)]
    found = look(rest)
    assert (found.state, found.activity_id) == ("unlinked", 7)
    assert found.why == "the call is bound to no deal and no lead"


def test_several_deals_need_the_owner(portal: Portal, rest: Bitrix24) -> None:
    """The owner decides among several deals; where it is none of them, nothing is written."""
    portal.call(7, NOW - 60)
    portal.crm.activities[7].transcript = STORED
    portal.crm.activities[7].bindings = [(2, 41), (2, 42)]
    assert look(rest).state == "unlinked"
    portal.crm.activities[7].fields.update(OWNER_TYPE_ID="2", OWNER_ID="42")
    assert look(rest).entity == DEAL


def test_a_known_activity_is_not_searched(portal: Portal, rest: Bitrix24) -> None:
    """Where the event told the activity, its bindings are enough."""
    portal.call(7, NOW - 60)
    portal.crm.activities[7].bindings = [(1, 8)]
    assert link_to(7, rest=rest).entity == Entity(type="lead", id=8)
    assert portal.asked == ["batch"]
    assert link_to(77, rest=rest).why == "the call's activity was deleted"


def test_a_portal_that_refuses_is_an_answer(portal: Portal, rest: Bitrix24) -> None:
    """Transcripts that may not be read at all, or a portal without the method: unlinked, and why."""
    portal.call(7, NOW - 60)
    portal.denied.add(7)
    found = look(rest)
    assert found.state == "unlinked"
    assert "ACCESS_DENIED" in (found.why or "")
    portal.lacks("crm.activity.call.getTranscript")
    assert "ERROR_METHOD_NOT_FOUND" in (look(rest).why or "")


def test_one_call_that_may_not_be_read_does_not_hide_the_others(portal: Portal, rest: Bitrix24) -> None:
    """Calls beyond the webhook's rights are left out."""
    portal.call(7, NOW - 60, STORED)
    portal.call(8, NOW - 60)
    portal.denied = {8}
    portal.crm.activities[7].bindings = [(2, 42)]
    assert look(rest).entity == DEAL


def test_a_busy_portal_is_asked_again(portal: Portal, rest: Bitrix24) -> None:
    """A limit in the middle is not taken for "no match"."""
    portal.call(7, NOW - 60)
    portal.crm.activities[7].transcript = STORED
    portal.fails(None, (503, {"error": "QUERY_LIMIT_EXCEEDED"}))
    with pytest.raises(PortalUnavailable):
        look(rest)


@pytest.mark.parametrize("batches", [True, False])
def test_a_call_without_a_transcript_is_waited_for_however_the_portal_says_so(
    portal: Portal, rest: Bitrix24, batches: bool
) -> None:
    """NOT_FOUND of every recent call means not yet, also where each has to be asked for by itself."""
    portal.says_not_found = True
    if not batches:
        portal.lacks("batch")
    portal.call(7, NOW - 60)
    portal.call(8, NOW - 60)
    portal.crm.activities[7].bindings = [(2, 42)]
    assert look(rest).state == "waiting"
    portal.crm.activities[7].transcript = STORED
    assert look(rest, 40.0).entity == DEAL


def test_a_newer_call_whose_text_is_to_come_keeps_an_older_one_waiting(
    portal: Portal, rest: Bitrix24
) -> None:
    """ "No answer" is said every day: an older call's equal text is not ours while ours is not stored yet."""
    portal.call(5, NOW - 600, STORED, [(2, 41)])
    portal.call(7, NOW - 60, None, [(2, 42)])
    assert look(rest).state == "waiting"
    assert look(rest).entity is None
    portal.crm.activities[7].transcript = STORED
    assert look(rest).state == "unlinked"


def test_the_size_of_the_recording_decides_among_equal_texts(portal: Portal, rest: Bitrix24) -> None:
    """The call whose recording is as large as ours, and no call whose recording is not."""
    for number, size, deal in ((5, "1000", 41), (7, "2000", 42)):
        portal.call(number, NOW - 60 * number, STORED, [(2, deal)], FILES=[{"id": number}])
        portal.files[number], portal.sizes[number] = "https://x", size
    assert look(rest, size_bytes=2000).entity == DEAL
    assert look(rest, size_bytes=1000).entity == Entity(type="deal", id=41)
    assert look(rest, size_bytes=3000).state == "waiting"
    assert look(rest, size_bytes=3000).entity is None
    portal.sizes[5] = "2000"
    assert look(rest, size_bytes=2000).state == "unlinked"


def test_one_of_several_recordings_may_be_ours(portal: Portal, rest: Bitrix24) -> None:
    """A transferred call was heard by one of its recordings."""
    portal.call(7, NOW - 60, FILES=[{"id": 71}, {"id": 72}])
    portal.files, portal.sizes = {71: "https://x", 72: "https://y"}, {71: "1000", 72: "2000"}
    portal.crm.activities[7].transcript = STORED
    portal.crm.activities[7].bindings = [(2, 42)]
    assert look(rest, size_bytes=2000).entity == DEAL
    assert look(rest, size_bytes=3000).entity is None


def test_more_equal_texts_than_sizes_are_looked_up_are_not_certain(portal: Portal, rest: Bitrix24) -> None:
    """The one beyond the last size is no better a candidate for not having been looked at."""
    for number in range(1, 22):
        portal.call(number, NOW - 60 * number, FILES=[{"id": number}])
        portal.files[number], portal.sizes[number] = "https://x", "1000"
        portal.crm.activities[number].transcript = STORED
        portal.crm.activities[number].bindings = [(2, 100 + number)]
    assert look(rest, 60.0, size_bytes=2000).state == "unlinked"


def test_more_calls_than_can_be_compared_are_not_certain(portal: Portal, rest: Bitrix24) -> None:
    """An equal text beyond the last call that is compared is not seen: without sizes nothing is written."""
    most = MOST_CALLS + 100
    for number in range(1, most + 1):
        portal.call(number, NOW - 20 * (most + 1 - number))
        portal.crm.activities[number].transcript = f"another talk {number}"
    portal.crm.activities[most].transcript = portal.crm.activities[5].transcript = STORED
    for number, deal in ((most, 42), (5, 41)):
        portal.crm.activities[number].bindings = [(2, deal)]
    assert look(rest).state == "unlinked"


def test_a_portal_without_batch_or_bindings_is_read_all_the_same(portal: Portal, rest: Bitrix24) -> None:
    """Transcripts one by one, and the owner where bindings cannot be listed."""
    portal.lacks("batch", "crm.activity.binding.list")
    portal.call(7, NOW - 60, STORED, OWNER_TYPE_ID="2", OWNER_ID="42")
    portal.call(8, NOW - 60)
    portal.denied = {8}
    assert look(rest).entity == DEAL


def test_an_equal_text_that_came_after_a_call_was_read_is_seen(portal: Portal, rest: Bitrix24) -> None:
    """A call that had no transcript before counts as it stands after our text was delivered."""
    portal.call(5, NOW - 6000, None, [(2, 41)])
    portal.call(7, NOW - 60, None, [(2, 42)])
    book = CallBook()
    bring(book, rest=rest, now=NOW - 10, since=NOW - DAY, until=NOW)
    for call in portal.crm.activities.values():
        call.transcript = STORED
    assert look(rest, 40.0, book=book).state == "unlinked"
    assert book.calls[5].read_at == NOW + 40


def test_a_size_that_confirms_the_call_spares_the_others(portal: Portal, rest: Bitrix24) -> None:
    """Text and size are ours: calls that had none are not asked again, unless our text is said often."""
    for number in range(1, 200):
        portal.call(number, NOW - 40 * (260 - number))
    portal.call(300, NOW - 60, FILES=[{"id": 71}])
    portal.files[71], portal.sizes[71] = "https://x", "2000"
    portal.crm.activities[300].bindings = [(2, 42)]
    book = CallBook()
    while book.wanted(NOW - 10, NOW - DAY, NOW) or not book.lists(NOW - DAY):
        bring(book, rest=rest, now=NOW - 10, since=NOW - DAY, until=NOW)
    portal.crm.activities[300].transcript = STORED
    portal.sandbox.ledger.clear()
    assert look(rest, 5.0, book=book, size_bytes=2000).entity == DEAL
    assert len(portal.asked) == 2
    portal.sandbox.ledger.clear()
    assert look(rest, 10.0, book=book, size_bytes=2000, repeated=True).entity == DEAL
    assert len(portal.asked) > 4


def test_while_another_looks_nothing_is_looked_up_twice(portal: Portal, rest: Bitrix24) -> None:
    """A call whose text stands in the book is found without a look of its own; others wait."""
    portal.call(7, NOW - 60, FILES=[{"id": 71}])
    portal.files[71], portal.sizes[71] = "https://x", "2000"
    portal.crm.activities[7].transcript = STORED
    portal.crm.activities[7].bindings = [(2, 42)]
    book = CallBook()
    times = {"accepted_at": NOW, "delivered_at": NOW, "now": NOW + 5}
    assert link(TEXT, book=book, rest=rest, looks=None, **times).state == "waiting"
    assert portal.asked == []
    bring(book, rest=rest, now=NOW + 5, since=NOW - DAY, until=NOW)
    portal.sandbox.ledger.clear()
    assert link(TEXT, book=book, rest=rest, looks=None, size_bytes=2000, **times).entity == DEAL
    assert portal.asked == ["batch"]
