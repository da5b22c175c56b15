"""The REST client: what passes, what does not, and what never shows."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.bitrix24.checks import arrival_checks
from pipeline.bitrix24.rest import Bitrix24, From, NoTurn, php_query
from pipeline.bitrix24.rest_errors import MEANINGS
from pipeline.clients.transport import Transport
from pipeline.domain.errors import BadAnswer, PortalRefused, PortalUnavailable, Upstream
from pipeline.sandbox.php import parse
from tests.bitrix.portal import CODE, Portal, serving

NOTE = {"entityTypeId": 2, "entityId": 7, "title": "a note", "text": "words", "iconCode": "info"}


def test_a_call_answers_its_result(portal: Portal, rest: Bitrix24) -> None:
    """What is under `result`, whatever else the portal adds."""
    portal.call(5, 1000.0)
    portal.crm.activities[5].bindings = [(2, 7)]
    assert rest.call("crm.activity.binding.list", {"activityId": 5}) == [{"entityTypeId": 2, "entityId": 7}]


def test_lists_are_read_over_their_pages(portal: Portal, rest: Bitrix24) -> None:
    """Pages are asked for until the limit, or the end."""
    for number in range(120):
        portal.call(number + 1, 1000.0 + number)
    params: dict[str, Any] = {"filter": {}, "order": {"ID": "DESC"}}
    ids = [int(item["ID"]) for item in rest.pages("crm.activity.list", params, limit=1000)]
    assert ids == list(range(120, 0, -1))
    assert len(portal.asked) == 3
    portal.sandbox.ledger.clear()
    assert len(list(rest.pages("crm.activity.list", params, limit=60))) == 60
    assert len(portal.asked) == 2


def test_a_batch_costs_one_request_for_fifty(portal: Portal, rest: Bitrix24) -> None:
    """Results keep the order of the commands; one that fails is its error, the others stand."""
    for number in range(50):
        portal.call(number, 1000.0, f"text {number}")
    portal.denied.add(3)
    got = rest.batch([("crm.activity.call.getTranscript", {"activityId": n}) for n in range(50)])
    assert len(portal.asked) == 1
    assert got[49] == {"transcription": "text 49"}
    denied = got[3]
    assert isinstance(denied, PortalRefused)
    assert denied.provider_code == "ACCESS_DENIED"
    assert sum(isinstance(item, Upstream) for item in got) == 1


@pytest.mark.parametrize("code", sorted(MEANINGS))
def test_every_documented_code_is_explained(code: str, portal: Portal, rest: Bitrix24) -> None:
    """The message names the method, the code and the hint; only what passes is transient."""
    status = 503 if MEANINGS[code].passes else 400
    portal.fails((status, {"error": code.lower(), "error_description": "x"}))
    with pytest.raises(Upstream) as caught:
        rest.call("crm.activity.get", {"id": 1})
    assert caught.value.transient is MEANINGS[code].passes
    assert caught.value.message.startswith(f"crm.activity.get: {code.lower()}: {MEANINGS[code].means}")
    assert MEANINGS[code].hint in caught.value.message


def test_an_unknown_code_speaks_for_itself(portal: Portal, rest: Bitrix24) -> None:
    """The portal's own description is what we know then."""
    portal.fails((400, {"error": "ODD", "error_description": "Something odd"}))
    with pytest.raises(PortalRefused, match="ODD: Something odd"):
        rest.call("crm.activity.get", {"id": 1})


def test_limits_say_when_to_come_back(portal: Portal, transport: Transport) -> None:
    """A full bucket runs down in seconds; running time comes back when the portal says so."""
    rest = Bitrix24(portal.url, transport=transport, clock=lambda: 1000.0)
    portal.fails(
        (503, {"error": "QUERY_LIMIT_EXCEEDED"}),
        (503, {"error": "QUERY_LIMIT_EXCEEDED"}, {"Retry-After": "9"}),
        (429, {"error": "OPERATION_TIME_LIMIT", "time": {"operating_reset_at": 1321}}),
        (429, {"error": "OPERATION_TIME_LIMIT", "time": {"operating_reset_at": 1_321_000}}),
        (429, {"error": "OPERATION_TIME_LIMIT"}),
        (503, {"error": "OVERLOAD_LIMIT"}),
    )
    for seconds in (5.0, 9.0, 321.0, 3600.0, 60.0):
        with pytest.raises(PortalUnavailable) as caught:
            rest.call("crm.activity.get", {"id": 1})
        assert caught.value.retry_after_seconds == seconds
        assert not caught.value.ambiguous
    with pytest.raises(PortalRefused):
        rest.call("crm.activity.get", {"id": 1})


def test_running_time_within_a_batch(portal: Portal, transport: Transport) -> None:
    """An inner command tells its own reset."""
    rest = Bitrix24(portal.url, transport=transport, clock=lambda: 1000.0)
    inner = {
        "result": [],
        "result_error": {"c0": {"error": "OPERATION_TIME_LIMIT", "error_description": ""}},
        "result_time": {"c0": {"operating_reset_at": 1100}},
    }
    portal.fails((200, {"result": inner}))
    (found,) = rest.batch([("crm.activity.call.getTranscript", {"activityId": 1})])
    assert isinstance(found, PortalUnavailable)
    assert found.retry_after_seconds == 100.0


@pytest.mark.parametrize(
    ("fault", "kind", "ambiguous"),
    [
        ((500, b"<html>oops"), PortalUnavailable, True),
        ((502, b""), PortalUnavailable, True),
        ((429, b""), PortalUnavailable, False),
        ((404, b"<html>not found"), PortalRefused, False),
        ((302, b"", {"Location": "https://elsewhere.example/"}), PortalRefused, False),
        ((200, b"<html>login"), BadAnswer, True),
        ((200, [1]), BadAnswer, True),
        ((200, {"error": "NO_AUTH_FOUND"}), PortalRefused, False),
        ("drop", PortalUnavailable, True),
    ],
)
def test_answers_that_are_none(
    fault: Any, kind: type[Upstream], ambiguous: bool, portal: Portal, rest: Bitrix24
) -> None:
    """Whether it passes, and whether a write may have been done all the same; a read never is in doubt."""
    portal.call(1, 1000.0)
    portal.fails(fault, fault)
    with pytest.raises(kind) as caught:
        rest.call("crm.timeline.logmessage.add", {"fields": NOTE})
    assert caught.value.ambiguous is ambiguous
    with pytest.raises(kind) as caught:
        rest.call("crm.activity.get", {"id": 1})
    assert not caught.value.ambiguous


def test_what_is_no_rest_is_mended_at_the_webhook(portal: Portal, rest: Bitrix24) -> None:
    """An address on which something else answers: the setting is named, and no model."""
    portal.fails((200, b"<html>welcome"))
    with pytest.raises(BadAnswer) as caught:
        rest.call("profile")
    assert "CALLSCRIBE_BITRIX24_WEBHOOK" in caught.value.hint
    portal.fails((200, b"<html>welcome"))
    (check,) = arrival_checks(rest, {})
    assert (check.state, check.hint) == ("failed", caught.value.hint)


def test_the_webhook_never_shows(transport: Transport) -> None:
    """Whatever goes wrong, no message holds the webhook's code or address."""
    replies: list[Any] = [(401, {"error": "NO_AUTH_FOUND"}), (200, b"x"), (500, b""), (403, b""), None]

    def answer(verb: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        assert CODE in path
        return replies.pop(0)

    with serving(answer) as url:
        rest = Bitrix24(f"{url}/rest/1/{CODE}/", transport=transport, timeout_seconds=5)
        for _ in range(5):
            with pytest.raises(Upstream) as caught:
                rest.call("profile")
            assert CODE not in caught.value.message
            assert "/rest/" not in caught.value.message
    with pytest.raises(PortalUnavailable) as caught:
        rest.call("profile")  # nobody listens there now
    assert CODE not in caught.value.message
    assert not caught.value.ambiguous


def test_a_batch_refers_to_its_own_results(portal: Portal, rest: Bitrix24) -> None:
    """Also where the portal takes no batch; what refers to nothing has no result."""
    portal.call(5, 1000.0, FILES=[{"id": "71"}])
    portal.files[71] = "https://acme.example/disk/1"
    commands: list[tuple[str, Any]] = [
        ("crm.activity.get", {"id": 5}),
        ("disk.file.get", {"id": From(0, "FILES", 0, "id")}),
        ("disk.file.get", {"id": From(0, "FILES", 1, "id")}),
    ]
    for missing, requests in (((), 1), (("batch",), 3)):
        portal.lacks(*missing)
        portal.sandbox.ledger.clear()
        _, first, second = rest.batch(commands)
        assert first["DOWNLOAD_URL"] == "https://acme.example/disk/1"
        assert second is None or isinstance(second, PortalRefused)
        assert len(portal.asked) == requests


class Waits:
    """Turns that are given as told."""

    def __init__(self, *seconds: float) -> None:
        self.seconds = list(seconds)
        self.full = 0

    def take(self) -> float:
        return self.seconds.pop(0)

    def spent(self) -> None:
        self.full += 1


def test_a_request_whose_turn_has_not_come_asks_nothing(portal: Portal, transport: Transport) -> None:
    """It says when its turn comes; nobody sleeps over it."""
    portal.call(1, 1000.0)
    rest = Bitrix24(portal.url, transport=transport, turns=Waits(1.5, 0.0))
    with pytest.raises(NoTurn) as caught:
        rest.call("crm.activity.get", {"id": 1})
    assert caught.value.retry_after_seconds == 1.5
    assert portal.asked == []
    rest.call("crm.activity.get", {"id": 1})


def test_a_portal_that_is_at_its_limit_is_believed(portal: Portal, transport: Transport) -> None:
    """Others may use up the same limit: our own count is set right by its answer."""
    turns = Waits(0.0)
    portal.fails((503, {"error": "QUERY_LIMIT_EXCEEDED"}))
    with pytest.raises(PortalUnavailable):
        Bitrix24(portal.url, transport=transport, turns=turns).call("profile")
    assert turns.full == 1


def test_a_batch_command_reads_back_in_php() -> None:
    """The query nests as PHP's brackets do."""
    params = {"filter": {">=CREATED": "2026-01-01T00:00:00+00:00", "@ID": [1, 2]}, "b": True, "n": None}
    assert parse(php_query(params)) == {
        "filter": {">=CREATED": "2026-01-01T00:00:00+00:00", "@ID": ["1", "2"]},
        "b": "1",
    }
