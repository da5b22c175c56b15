"""From an event's ids to the call, its deal and its recording."""

from __future__ import annotations

import pytest

from pipeline.bitrix24.resolve import LOOK_FOR_SECONDS, next_look, resolve
from pipeline.bitrix24.rest import Bitrix24
from pipeline.domain.errors import PortalRefused
from pipeline.domain.job import Entity
from tests.bitrix.portal import Portal

AT = 1_700_000_000.0
LINK = "https://acme.example/disk/1?token=t"


def test_a_call_with_a_recording_is_ready(portal: Portal, rest: Bitrix24) -> None:
    """The disk's link, the deal among the bindings, when it ended, the telephony id."""
    portal.call(5, AT, FILES=[{"id": "71", "url": "https://acme.example/own"}])
    portal.files[71] = LINK
    portal.crm.activities[5].bindings = [(3, 900), (2, 42)]
    found = resolve(rest=rest, activity_id=5)
    assert (found.state, found.file_urls) == ("ready", (LINK,))
    assert (found.entity, found.why) == (Entity(type="deal", id=42), None)
    assert (found.call_id, found.ended_at) == ("call.5", AT)


def test_all_recordings_of_a_transferred_call_come_in_order(portal: Portal, rest: Bitrix24) -> None:
    """One request for up to three of them, one more for each further; one that was deleted is left out."""
    portal.call(5, AT, FILES=[{"id": str(number)} for number in (73, 71, 72, 75, 74)])
    for number in (71, 73, 74, 75):
        portal.files[number] = f"https://acme.example/{number}"
    found = resolve(rest=rest, activity_id=5)
    assert found.file_urls == tuple(f"https://acme.example/{number}" for number in (73, 71, 75, 74))


def test_without_access_to_the_disk_the_own_link_may_serve(portal: Portal, rest: Bitrix24) -> None:
    """The activity's own link counts only with its access filled: else the missing scope is told."""
    portal.call(5, AT, FILES={"0": {"id": 71, "url": "https://acme.example/show?fileId=71&auth=token"}})
    found = resolve(rest=rest, activity_id=5)
    assert found.file_urls == ("https://acme.example/show?fileId=71&auth=token",)
    portal.crm.activities[5].fields["FILES"]["0"]["url"] = "https://acme.example/show?fileId=71&auth="
    with pytest.raises(PortalRefused, match="insufficient_scope"):
        resolve(rest=rest, activity_id=5)


def test_the_telephony_may_know_the_recording(portal: Portal, rest: Bitrix24) -> None:
    """Where the activity has no file: the telephony's file on the disk, else its own address."""
    portal.call(5, AT)
    call = {"CALL_ID": "call.5", "CRM_ACTIVITY_ID": "5", "CALL_FAILED_CODE": "200", "CALL_DURATION": "9"}
    portal.crm.calls = {"": {**call, "RECORD_FILE_ID": 71, "CALL_RECORD_URL": "https://pbx.example/r/5"}}
    portal.files[71] = LINK
    assert resolve(rest=rest, activity_id=5).file_urls == (LINK,)
    portal.crm.calls = {"": {**call, "RECORD_FILE_ID": None, "CALL_RECORD_URL": "https://pbx.example/r/5"}}
    assert resolve(rest=rest, activity_id=5).file_urls == ("https://pbx.example/r/5",)


def test_a_call_that_nobody_answered_is_not_waited_for(portal: Portal, rest: Bitrix24) -> None:
    """No recording will come; one that came all the same (a voice mail) counts."""
    portal.call(5, AT)
    portal.crm.calls = {"": {"CALL_ID": "call.5", "CRM_ACTIVITY_ID": "5", "CALL_FAILED_CODE": "304"}}
    found = resolve(rest=rest, activity_id=5)
    assert (found.state, found.why) == ("ignored", "nobody answered the call")
    portal.crm.activities[5].fields["FILES"] = [{"id": "71"}]
    portal.files[71] = LINK
    assert resolve(rest=rest, activity_id=5).state == "ready"


def test_a_recording_that_is_attached_later_is_waited_for(portal: Portal, rest: Bitrix24) -> None:
    """Waiting, 10, 30, 60 and 120 seconds after the event, and then every two minutes for a day."""
    portal.call(5, AT)
    found = resolve(rest=rest, activity_id=5)
    assert (found.state, found.why) == ("waiting", "the recording is not attached yet")
    portal.crm.activities[5].fields["FILES"] = [{"id": "71"}]
    portal.files[71] = LINK
    assert resolve(rest=rest, activity_id=5).state == "ready"
    pauses = [next_look(waited) for waited in (-1.0, 0.0, 5.0, 20.0, 30.0, 90.0, 5000.0, LOOK_FOR_SECONDS)]
    assert pauses == [1.0, 10.0, 5.0, 10.0, 30.0, 30.0, 120.0, None]


def test_what_is_no_call_is_ignored(portal: Portal, rest: Bitrix24) -> None:
    """An e-mail's activity, or one that was deleted."""
    portal.call(5, AT, PROVIDER_ID="CRM_EMAIL", TYPE_ID="4")
    assert resolve(rest=rest, activity_id=5).state == "ignored"
    assert resolve(rest=rest, activity_id=6).state == "ignored"


def test_a_telephony_call_finds_its_activity(portal: Portal, rest: Bitrix24) -> None:
    """By the activity's origin, else by the call's statistics, else later."""
    portal.call(5, AT, ORIGIN_ID="VI_ext.1")
    portal.call(6, AT, ORIGIN_ID="")
    portal.crm.calls = {"": {"CALL_ID": "ext.2", "CRM_ACTIVITY_ID": "6"}}
    assert resolve(rest=rest, call_id="ext.1").activity_id == 5
    second = resolve(rest=rest, call_id="ext.2")
    assert (second.activity_id, second.call_id) == (6, "ext.2")
    assert resolve(rest=rest, call_id="ext.3").state == "waiting"
    portal.lacks("voximplant.statistic.get")
    assert resolve(rest=rest, call_id="ext.2").state == "waiting"
    assert resolve(rest=rest, activity_id=5).state == "waiting"


def test_a_call_of_nobody_says_so(portal: Portal, rest: Bitrix24) -> None:
    """It can be transcribed, but its score has no home."""
    portal.call(5, AT, FILES=[{"id": "71"}])
    portal.files[71] = LINK
    found = resolve(rest=rest, activity_id=5)
    assert (found.state, found.entity) == ("ready", None)
    assert found.why == "the call is bound to no deal and no lead"
