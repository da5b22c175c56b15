"""Events, as portals post them."""

from __future__ import annotations

import contextlib
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.contract import php, read_event
from pipeline.domain.errors import BadRequest


def form(**pairs: Any) -> bytes:
    return urlencode(pairs).encode()


def test_an_activity_event_tells_the_activity() -> None:
    """data[FIELDS][ID] is the activity; auth[application_token] proves who sent it."""
    event = read_event(
        urlencode(
            {
                "event": "ONCRMACTIVITYADD",
                "event_handler_id": "12",
                "data[FIELDS][ID]": "5321",
                "ts": "1732100000",
                "auth[domain]": "acme.bitrix24.com",
                "auth[application_token]": "s3cret",
            }
        ).encode()
    )
    assert (event.name, event.activity_id) == ("ONCRMACTIVITYADD", 5321)
    assert event.authentic("s3cret")
    assert not event.authentic("s3cret2")
    assert not event.authentic(None)
    assert event.of_a_call
    assert "s3cret" not in repr(event)


def test_the_end_of_a_call_tells_both_ids() -> None:
    """ONVOXIMPLANTCALLEND carries the telephony call's id and the activity's."""
    event = read_event(
        urlencode(
            {
                "event": "onVoximplantCallEnd",
                "data[CALL_ID]": "externalCall.8c1.1732",
                "data[CRM_ACTIVITY_ID]": "77",
                "data[CALL_DURATION]": "132",
                "data[CALL_FAILED_CODE]": "200",
            }
        ).encode()
    )
    assert (event.call_id, event.activity_id) == ("externalCall.8c1.1732", 77)
    assert event.duration_seconds == 132
    assert not event.authentic("")


def test_other_events_are_read_but_not_of_a_call() -> None:
    """An event that we did not ask for is no error."""
    assert not read_event(form(event="ONAPPINSTALL")).of_a_call
    assert not read_event(b"event=ONCRMACTIVITYADD&data[FIELDS][ID]=0").of_a_call


@pytest.mark.parametrize("body", [b"", b"data[FIELDS][ID]=3", b"event=", b"event=%ff", b"{"])
def test_a_body_without_an_event_is_refused(body: bytes) -> None:
    """No name, no event."""
    with pytest.raises(BadRequest):
        read_event(body)


def test_brackets_nest_and_number_themselves() -> None:
    """The form reads as PHP would read it."""
    assert php.read_form(b"a[]=1&a[]=2&b[c][d]=3&e=4&e=5&a%5Bx%5D=6") == {
        "a": {"0": "1", "1": "2", "x": "6"},
        "b": {"c": {"d": "3"}},
        "e": "5",
    }


def test_a_form_that_nests_too_deep_is_refused() -> None:
    """Nobody means a key with twenty brackets."""
    with pytest.raises(BadRequest):
        php.read_form(b"a" + b"[b]" * 20 + b"=1")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text("ab[]=&%й", max_size=12), st.text("ab&=", max_size=5), max_size=8))
def test_any_form_is_read_or_refused(pairs: dict[str, str]) -> None:
    """Whatever the keys are, the outcome is a dict or a BadRequest."""
    with contextlib.suppress(BadRequest):
        assert isinstance(php.read_form(urlencode(pairs).encode()), dict)
