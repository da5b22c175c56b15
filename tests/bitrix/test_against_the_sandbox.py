"""The same clients against the sandbox portal, whose REST was written apart from them."""

from __future__ import annotations

import time

import pytest

from pipeline.bitrix24.attach import attach
from pipeline.bitrix24.callbook import CallBook
from pipeline.bitrix24.engines import Wish, completions_url, listing, read_filter, register, unregister
from pipeline.bitrix24.journals import Comments, LogMessages
from pipeline.bitrix24.link import link
from pipeline.bitrix24.resolve import resolve
from pipeline.bitrix24.rest import Bitrix24
from pipeline.bitrix24.timeline import Entry, Journal, timeline
from pipeline.bitrix24.vibecode import VibeCode
from pipeline.clients.providers import Unremembered
from pipeline.clients.transport import Transport
from pipeline.domain.errors import PortalRefused, PortalUnavailable, Upstream
from pipeline.domain.job import Category, Entity, JobId
from pipeline.domain.lead import Lead
from pipeline.domain.transcript import Segment, Transcript
from pipeline.sandbox.app import KEY, Sandbox
from pipeline.sandbox.rest import Bucket

JOB = JobId("job_01JABCDEFGHJKMNPQRSTVWXYZ0")
DEAL = Entity(type="deal", id=42)
LEAD = Lead(quality="high", score=88, reason="A budget was named.")
TRANSCRIPT = Transcript(
    text="[Manager] Good morning\n[Client] Hello",
    language="en",
    segments=(
        Segment(start=0.0, end=0.6, speaker="manager", text="Good morning"),
        Segment(start=1.0, end=2.0, speaker="client", text="Hello"),
    ),
)


@pytest.fixture
def rest(sandbox: Sandbox, transport: Transport) -> Bitrix24:
    return Bitrix24(sandbox.webhook_url, transport=transport, timeout_seconds=5)


def test_a_call_is_linked_once_its_transcript_is_stored(sandbox: Sandbox, rest: Bitrix24) -> None:
    """A contact's call, bound to a deal, among many others, before and after the callback."""
    for number in range(60):
        sandbox.crm.add_call(owner=("lead", 100 + number)).transcript = f"talk {number}"
    call = sandbox.crm.add_call(owner=("contact", 7), bindings=(("deal", 42),))
    now = time.time()

    def look() -> Entity | None:
        return link(
            TRANSCRIPT.text, book=CallBook(), rest=rest, looks=rest, accepted_at=now, delivered_at=now,
            now=now + 1,
        ).entity  # fmt: skip

    assert look() is None
    call.transcript = TRANSCRIPT.text.replace("\n", "  ")
    assert look() == DEAL
    sandbox.crm.add_call(owner=("deal", 43)).transcript = TRANSCRIPT.text
    assert look() is None


def test_a_recording_that_comes_late_is_found_and_downloads(
    sandbox: Sandbox, rest: Bitrix24, tmp_path: object
) -> None:
    """Waiting first, then the disk's signed link; by either id."""
    call = sandbox.crm.add_call(owner=("contact", 7), bindings=(("deal", 42),), call_id="ext.1")
    number = int(call.fields["ID"])
    assert resolve(rest=rest, activity_id=number).state == "waiting"
    sandbox.crm.attach(number, sandbox.crm.store(b"RIFF"))
    by_activity, by_call = resolve(rest=rest, activity_id=number), resolve(rest=rest, call_id="ext.1")
    assert by_activity == by_call
    assert (by_activity.state, by_activity.entity, by_activity.call_id) == ("ready", DEAL, "ext.1")
    (url,) = by_activity.file_urls
    transport = Transport(trusted=["127.0.0.1"])
    assert transport.request("GET", url, timeout_seconds=5).body == b"RIFF"
    transport.close()
    assert resolve(rest=rest, activity_id=99_999).state == "ignored"


def test_a_missed_call_is_not_waited_for(sandbox: Sandbox, rest: Bitrix24) -> None:
    """The telephony says that nobody answered."""
    sandbox.crm.add_call(owner=("lead", 7), call_id="ext.2", seconds=0)
    assert resolve(rest=rest, call_id="ext.2").state == "ignored"


@pytest.mark.parametrize("kind", ["logmessage", "comment", "vibecode"])
@pytest.mark.parametrize("reset", ["before", "after", "midway"])
def test_the_entry_stands_once_however_an_answer_is_lost(
    kind: str, reset: str, sandbox: Sandbox, rest: Bitrix24, transport: Transport
) -> None:
    """Lost before it was served, or after: the second attempt leaves exactly one entry."""
    sandbox.crm.add_entity("deal", 42)
    journals: dict[str, Journal] = {
        "logmessage": LogMessages(rest),
        "comment": Comments(rest),
        "vibecode": VibeCode(sandbox.router_url, KEY, transport=transport, capabilities=Unremembered()),
    }
    path = {"logmessage": "*logmessage.add", "comment": "*comment.add", "vibecode": "/v1/timeline-logs"}[kind]
    sandbox.script.add(path=path, method="POST", reset=reset)
    again = False
    try:
        timeline(DEAL, Entry(lead=LEAD, transcript=TRANSCRIPT, job=JOB), writer=journals[kind])
    except Upstream as error:
        again = error.ambiguous
    assert again or reset == "before"
    assert (
        timeline(
            DEAL, Entry(lead=LEAD, transcript=TRANSCRIPT, job=JOB), writer=journals[kind], again=True
        ).state
        == "written"
    )
    entries = sandbox.crm.comments if kind == "comment" else sandbox.crm.logs(2, 42)
    assert len(entries) == 1


def test_an_entity_that_is_gone_is_told(sandbox: Sandbox, rest: Bitrix24) -> None:
    """No deal of that number."""
    gone = timeline(
        Entity(type="deal", id=404),
        Entry(lead=LEAD, transcript=TRANSCRIPT, job=JOB),
        writer=LogMessages(rest),
    )
    assert gone.state == "failed"


def test_the_transcript_is_attached_to_the_telephone_call(sandbox: Sandbox, rest: Bitrix24) -> None:
    """Sides and whole seconds as the portal checks them."""
    sandbox.crm.add_call(owner=("deal", 42), call_id="ext.3")
    assert attach("ext.3", TRANSCRIPT, rest=rest)
    assert [m["SIDE"] for m in sandbox.crm.transcriptions[0]["MESSAGES"]] == ["User", "Client"]
    with pytest.raises(PortalRefused, match="is not found"):
        attach("ext.4", TRANSCRIPT, rest=rest)


def test_engines_are_registered_moved_and_taken_back(sandbox: Sandbox, rest: Bitrix24) -> None:
    """The portal really asks our URL."""

    def wish(path: str) -> list[Wish]:
        url = completions_url(sandbox.base_url + path, "t" * 24, Category.AUDIO)
        return [Wish(category=Category.AUDIO, completions_url=url)]

    with pytest.raises(PortalRefused, match="did not get a 200"):
        register(rest, wish(""))
    sandbox.script.add(path="*/engines/*", status=200, times=None)
    assert register(rest, wish(""))[0].what == "registered"
    assert register(rest, wish(""))[0].what == "unchanged"
    assert register(rest, wish("/new"))[0].what == "moved"
    for key, value, count in (("%NAME", "scribe", 1), ("@CATEGORY", "text,image", 0), (">=ID", "1", 1)):
        name, meant = read_filter(key, value)
        assert len(listing(rest, {name: meant})) == count, key
    assert unregister(rest)[0].what == "unregistered"


def test_a_full_bucket_is_told_with_its_time(sandbox: Sandbox, rest: Bitrix24) -> None:
    """Two a second, and one at once: the second request is refused and says when to come back."""
    sandbox.rest.bucket = Bucket(0.001, 1.0)
    rest.call("profile")
    with pytest.raises(PortalUnavailable) as caught:
        rest.call("profile")
    assert caught.value.provider_code == "QUERY_LIMIT_EXCEEDED"
    assert caught.value.retry_after_seconds


def test_a_boxed_portal_cannot_register(transport: Transport) -> None:
    """No ai.engine.* there."""
    with Sandbox(boxed=True) as boxed, pytest.raises(PortalRefused, match="boxed"):
        listing(Bitrix24(boxed.webhook_url, transport=transport))
