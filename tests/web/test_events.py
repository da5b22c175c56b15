"""Events of the portal."""

from __future__ import annotations

import httpx

from pipeline.domain.job import Source
from pipeline.store import Store, job_id
from tests.web.conftest import APPLICATION_TOKEN, TOKEN, Client


def send(
    client: Client, *, path: str = TOKEN, token: str = APPLICATION_TOKEN, **fields: str
) -> httpx.Response:
    form = {
        "event": "ONCRMACTIVITYADD",
        "data[FIELDS][ID]": "77",
        "auth[application_token]": token,
        "auth[domain]": "portal.example",
        **fields,
    }
    return client.post(f"/events/{path}", data=form)


def test_a_call_becomes_one_job(hearing: Client, store: Store) -> None:
    """However many events tell of an activity, it is one job, which is looked up first."""
    assert send(hearing).status_code == 200
    assert send(hearing, event="ONCRMACTIVITYUPDATE").status_code == 200
    ended = {"event": "ONVOXIMPLANTCALLEND", "data[CALL_ID]": "c1", "data[CRM_ACTIVITY_ID]": "77"}
    assert send(hearing, **ended, **{"data[CALL_DURATION]": "60"}).status_code == 200
    assert len(store.page()) == 1
    job = store.load(job_id("portal", "activity:77"))
    assert (job.source, job.request.activity_id) == (Source.EVENT, 77)
    claim = store.claim("upstream", "test", lease_seconds=5)
    assert claim is not None
    assert claim.step == "resolve"


def test_who_may_tell(hearing: Client, store: Store) -> None:
    """A wrong application token is 403, a wrong token in the address 404; both leave nothing."""
    assert send(hearing, token="wrong").status_code == 403
    assert send(hearing, path="x" * 30).status_code == 404
    assert store.page() == []


def test_without_an_application_token_events_are_off(client: Client) -> None:
    """The address does not exist as long as no application token is set."""
    assert send(client).status_code == 404


def test_what_is_no_call_is_heard_and_ignored(hearing: Client, store: Store) -> None:
    """Other events, and calls that nobody answered, are 200 and nothing more."""
    assert send(hearing, event="ONCRMDEALADD").status_code == 200
    missed = {"event": "ONVOXIMPLANTCALLEND", "data[CALL_ID]": "c1", "data[CALL_DURATION]": "0"}
    assert send(hearing, **missed).status_code == 200
    assert store.page() == []


def test_a_broken_event_is_a_400(hearing: Client) -> None:
    """A body without an event's name is refused."""
    assert hearing.post(f"/events/{TOKEN}", content=b"\xff\xfe").status_code == 400
    assert hearing.post(f"/events/{TOKEN}", data={"x": "y"}).status_code == 400
