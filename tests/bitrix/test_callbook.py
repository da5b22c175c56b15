"""The book of a portal's calls: each is read once for all that look; nothing is taken for certain early."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.bitrix24.callbook import MOST_CALLS, PAGE, CallBook, Known, digest_of, look
from pipeline.bitrix24.link import DAY
from pipeline.bitrix24.rest import Bitrix24, NoTurn
from pipeline.clients.transport import Transport
from pipeline.domain.errors import PortalUnavailable, Upstream
from pipeline.domain.job import PortalId
from pipeline.steps import books
from pipeline.store import Store
from tests.bitrix.portal import Portal

NOW = 1_700_000_000.0
DEPTH = DAY


def bring(book: CallBook, rest: Bitrix24, now: float, **more: Any) -> None:
    look(book, rest=rest, now=now, since=now - DEPTH, until=now, **more)


def talk(portal: Portal, number: int, at: float) -> None:
    portal.call(number, at)
    portal.crm.activities[number].transcript = f"talk {number}"


def test_what_was_read_is_not_read_again(portal: Portal, rest: Bitrix24) -> None:
    """A thousand calls cost some forty requests once; a new one among them one request, whoever asks."""
    for number in range(1, 1001):
        talk(portal, number, NOW - 80 * (1001 - number))
    book = CallBook()
    while book.wanted(NOW, NOW - DEPTH, NOW) or not book.lists(NOW - DEPTH):
        bring(book, rest, NOW)
    assert len(book.calls) == 1000
    assert len(portal.asked) <= 30
    portal.sandbox.ledger.clear()
    talk(portal, 1001, NOW + 10)
    bring(book, rest, NOW + 20)
    assert book.calls[1001].digest == digest_of("talk 1001")
    assert portal.asked == ["batch"]


def test_a_call_without_a_text_is_read_ever_more_seldom(portal: Portal, rest: Bitrix24) -> None:
    """A call that nobody transcribed costs a few commands a day, and a young one is read at each look."""
    portal.call(1, NOW)
    talk(portal, 2, NOW + 70)
    book, reads = CallBook(), 0
    for minute in range(1, 24 * 60):
        now = NOW + 60.0 * minute
        reads += 1 in book.wanted(now, NOW - DEPTH, now)
        bring(book, rest, now)
    assert 5 <= reads <= 25
    assert Known(id=1, created_at=NOW, read_at=NOW + 60).stale(NOW + 61)


@pytest.mark.parametrize("more", [49, 50, 130, 260])
def test_calls_that_came_since_the_last_look_are_all_listed(
    more: int, portal: Portal, rest: Bitrix24
) -> None:
    """However many pages they fill."""
    talk(portal, 1, NOW - 600)
    book = CallBook()
    bring(book, rest, NOW)
    for number in range(2, more + 2):
        talk(portal, number, NOW + number)
    now = NOW + 1000
    while book.wanted(now, now - DEPTH, now) or not book.lists(now - DEPTH) or len(book.calls) <= 1:
        bring(book, rest, now)
    assert sorted(book.calls) == list(range(1, more + 2))
    assert all(call.digest for call in book.calls.values())


def test_a_call_that_becomes_visible_late_is_not_missed(portal: Portal, rest: Bitrix24) -> None:
    """Activities are not written in the order of their ids."""
    talk(portal, 11, NOW)
    book = CallBook()
    bring(book, rest, NOW + 1)
    talk(portal, 10, NOW - 2)
    bring(book, rest, NOW + 5)
    assert set(book.calls) == {10, 11}


class Budget:
    """Turns for so many requests."""

    def __init__(self, requests: int) -> None:
        self.left = requests

    def take(self) -> float:
        self.left -= 1
        return 0.0 if self.left >= 0 else 3.0

    def spent(self) -> None:
        """Nobody to tell."""


@pytest.mark.parametrize("batches", [True, False])
def test_a_look_without_turns_goes_on_where_it_stopped(
    batches: bool, portal: Portal, transport: Transport
) -> None:
    """With one request, or a few where no batch is taken, each look knows more than the one before."""
    for number in range(1, 301):
        talk(portal, number, NOW - 80 * (301 - number))
    portal.lacks(*([] if batches else ["batch"]))
    book, known = CallBook(), -1
    for _ in range(200):
        rest = Bitrix24(portal.url, transport=transport, turns=Budget(1 if batches else 20))
        try:
            bring(book, rest, NOW)
        except NoTurn as error:
            assert error.retry_after_seconds == 3.0  # noqa: PT017 - it may be raised, or not
        read = sum(call.read_at is not None for call in book.calls.values()) + len(book.calls)
        assert read > known
        known = read
        if not book.wanted(NOW, NOW - DEPTH, NOW) and book.lists(NOW - DEPTH):
            break
    assert len(book.calls) == 300
    assert all(call.digest for call in book.calls.values())


def test_a_portal_that_follows_no_reference_is_read_by_ids(
    portal: Portal, rest: Bitrix24, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a command could not find is not taken for "no transcript"."""
    monkeypatch.setattr("pipeline.sandbox.rest._filled", lambda params, results: params)
    for number in range(1, 4):
        talk(portal, number, NOW - number)
    book = CallBook()
    bring(book, rest, NOW)
    bring(book, rest, NOW + 5)
    assert all(call.digest for call in book.calls.values())


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"result": []}),
        (200, {"result": {"result": {"c0": "nonsense"}}}),
        (200, {"result": {"result": {"c0": [{"NO": "id"}]}}}),
        (200, {"result": {"result": {"c0": [None]}}}),
        (200, {"result": {"result": [], "result_error": "x"}}),
        (200, b"<html>"),
        (503, {"error": "QUERY_LIMIT_EXCEEDED"}),
        (200, {"result": {"result": [], "result_error": {"c0": {"error": "OPERATION_TIME_LIMIT"}}}}),
    ],
)
def test_nonsense_is_an_error_and_the_next_look_goes_on(answer: Any, portal: Portal, rest: Bitrix24) -> None:
    """A portal that is not well is not asked by each call in turn, and nothing is learned from it."""
    talk(portal, 1, NOW - 60)
    book = CallBook()
    portal.fails(answer)
    with pytest.raises(Upstream):
        bring(book, rest, NOW)
    assert book.looked_at == NOW
    assert not book.calls
    bring(book, rest, NOW + 60)
    assert book.calls[1].digest == digest_of("talk 1")


def test_one_transcript_that_cannot_be_read_now_is_read_later(portal: Portal, rest: Bitrix24) -> None:
    """The others are entered, and it is not taken for a call without one."""
    for number in (1, 2):
        talk(portal, number, NOW - number)
    book = CallBook()
    inner = {
        "result": {
            "c0": [call.fields for call in portal.crm.activities.values()],
            "c4": {"transcription": "x"},
        },
        "result_error": {"c5": {"error": "INTERNAL_SERVER_ERROR"}},
    }
    portal.fails((200, {"result": inner}))
    with pytest.raises(PortalUnavailable):
        bring(book, rest, NOW)
    assert (book.calls[1].digest, book.calls[2].read_at) == (digest_of("x"), None)


def test_a_book_holds_no_more_than_its_most_calls(portal: Portal, rest: Bitrix24) -> None:
    """The oldest go, and it says that there may be more."""
    book = CallBook((Known(id=n, created_at=NOW - 9e4 + n, read_at=NOW) for n in range(1, MOST_CALLS + 1)),
                    since=NOW - 2 * DAY, looked_at=NOW)  # fmt: skip
    assert not book.crowded(NOW - DAY)
    for number in range(MOST_CALLS + 1, MOST_CALLS + PAGE):
        talk(portal, number, NOW + number)
    look(book, rest=rest, now=NOW + 9000, since=NOW - 2 * DAY, until=NOW + 9000)
    assert len(book.calls) == MOST_CALLS
    assert book.crowded(NOW - 2 * DAY)
    assert book.lists(NOW - 2 * DAY)


def test_the_store_gives_back_what_it_was_given(valkey: str) -> None:
    """Only what changed is written; who waits learns from one small read whether its text stands there."""
    portal, store = PortalId("acme"), Store(valkey)
    assert books.is_worthwhile(portal, "d", store, now=NOW, waited=0)
    book = CallBook(since=NOW - DAY, gap=(7, NOW - DAY), looked_at=NOW)
    book.put(Known(id=5, created_at=NOW - 60, digest="d", read_at=NOW, has_file=True))
    book.put(Known(id=6, created_at=NOW - 50, read_at=NOW, denied="ACCESS_DENIED"))
    books.save(portal, book, store, looked=True)
    again = books.load(portal, store)
    assert (again.calls, again.since, again.gap, again.looked_at) == (
        book.calls, NOW - DAY, (7, NOW - DAY), NOW,
    )  # fmt: skip
    assert books.is_worthwhile(portal, "d", store, now=NOW + 1, waited=0)
    assert not books.is_worthwhile(portal, "other", store, now=NOW + 1, waited=0)
    again.drop(5)
    again.looked_at = NOW + 9
    books.save(portal, again, store, looked=False)
    assert set(books.load(portal, store).calls) == {6}
    assert books.load(portal, store).looked_at == NOW
    assert not books.is_worthwhile(portal, "d", store, now=NOW + 1, waited=0)
    store.close()
