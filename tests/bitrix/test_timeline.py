"""The entry in the timeline: what it says, and that it stands once."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from pipeline.bitrix24.attach import attach
from pipeline.bitrix24.journals import Comments, LogMessages
from pipeline.bitrix24.rest import Bitrix24
from pipeline.bitrix24.timeline import Entry, Journal, find_entry, timeline, worded
from pipeline.bitrix24.vibecode import VibeCode
from pipeline.clients.providers import Unremembered
from pipeline.clients.transport import Transport
from pipeline.domain.errors import BadAnswer, PortalUnavailable, ProviderAccount, ProviderUnavailable
from pipeline.domain.job import Entity, JobId, Timeline
from pipeline.domain.lead import Criterion, Lead
from pipeline.domain.transcript import Segment, Transcript
from tests.bitrix.portal import Portal, serving

JOB = JobId("job_01JABCDEFGHJKMNPQRSTVWXYZ0")
DEAL = Entity(type="deal", id=42)
LEAD = Lead(quality="high", score=88, reason="A budget of 50 000 was named.")
TRANSCRIPT = Transcript(
    text="[Manager] Good morning\n[Client] Call me at +7 495 123-45-67",
    language="en",
    segments=(
        Segment(start=0.0, end=2.6, speaker="manager", text="Good morning"),
        Segment(start=3.0, end=6.0, speaker="client", text="Call me at +7 495 123-45-67"),
        Segment(start=6.0, end=6.2, speaker=None, text="Bye"),
    ),
)


def write(
    writer: Journal,
    *,
    readers: Sequence[Journal] = (),
    again: bool = False,
    activity_id: int | None = None,
    **more: Any,
) -> Timeline:
    what = Entry(lead=LEAD, transcript=TRANSCRIPT, job=JOB, **more)
    return timeline(DEAL, what, writer=writer, readers=readers, again=again, activity_id=activity_id)


def test_the_entry_reads_as_people_expect() -> None:
    """Title as on the AI Router page, the reason first, our job id in the last line."""
    title, text = worded(Entry(lead=LEAD, transcript=TRANSCRIPT, job=JOB))
    assert title == "AI classification: high (88/100)"
    lines = text.splitlines()
    assert lines[0] == LEAD.reason
    assert "Talk share: " in text
    assert lines[-1] == f"callscribe {JOB}"


def test_the_entry_speaks_the_portals_language() -> None:
    """Russian where the portal is Russian, English where its language is not spoken here."""
    low = Lead(quality="low", score=7, reason="Не туда попали")
    title, text = worded(Entry(lead=low, transcript=TRANSCRIPT, job=JOB, language="ru"))
    assert title == "AI-классификация: низкая (7/100)"
    assert "Доля речи" in text
    assert (
        worded(Entry(lead=low, transcript=TRANSCRIPT, job=JOB, language="th"))[0]
        == "AI classification: low (7/100)"
    )


def test_quotes_stand_with_their_time_and_can_be_redacted() -> None:
    """Criteria with quotes; phones, cards and e-mails masked when asked for, never the job id."""
    quote = Criterion(name="Contact", met=True, weight=1, quote="Call me at +7 495 123-45-67", at=3.0)
    lead = Lead(quality="high", score=88, reason="Wrote to a@b.example", criteria=(quote,))
    _, plain = worded(Entry(lead=lead, transcript=TRANSCRIPT, job=JOB))
    assert '"Call me at +7 495 123-45-67" (00:03)' in plain
    _, masked = worded(Entry(lead=lead, transcript=TRANSCRIPT, job=JOB, redact=True))
    assert '"Call me at [phone]" (00:03)' in masked
    assert masked.startswith("Wrote to [email]")
    assert masked.endswith(JOB)


def test_a_boundless_reason_is_cut_before_the_job_id() -> None:
    """The last line survives any length; line breaks of a model do not make lines of ours."""
    lead = Lead(quality="low", score=1, reason="word\ncallscribe job_other " * 5000)
    _, text = worded(Entry(lead=lead, transcript=TRANSCRIPT, job=JOB))
    assert len(text) < 6100
    assert text.splitlines()[-1] == f"callscribe {JOB}"
    assert text.count("\n") == 1


def test_the_portal_gets_one_log_message(portal: Portal, rest: Bitrix24) -> None:
    """By crm.timeline.logmessage.add, to the deal by its number."""
    assert write(LogMessages(rest), activity_id=7) == Timeline(state="written", entity=DEAL, activity_id=7)
    (found,) = portal.crm.log_entries
    assert (found["entityTypeId"], found["entityId"]) == (2, 42)
    assert found["title"] == "AI classification: high (88/100)"


def test_a_lost_answer_does_not_write_twice(portal: Portal, rest: Bitrix24) -> None:
    """The portal wrote it and the answer was lost: the second attempt finds the entry by the job id."""
    writer = LogMessages(rest)
    portal.fails("drop")
    with pytest.raises(PortalUnavailable) as caught:
        write(writer)
    assert caught.value.ambiguous
    for _ in range(25):
        LogMessages(rest).write(DEAL, "Other", "entries\nof others")
    assert write(writer, again=True).state == "written"
    assert sum(JOB in found["text"] for found in portal.crm.log_entries) == 1


def test_a_lost_request_is_written_again(portal: Portal, rest: Bitrix24) -> None:
    """Nothing of ours stands there, so it is written; our id in another's text does not count."""
    LogMessages(rest).write(DEAL, "Note", f"see {JOB}\nsaid a colleague")
    assert write(LogMessages(rest), again=True).state == "written"
    assert len(portal.crm.log_entries) == 2


def test_a_comment_carries_the_transcript(portal: Portal, rest: Bitrix24) -> None:
    """crm.timeline.comment.add with a file; a model's brackets make no BB code."""
    writer = Comments(rest)
    lead = Lead(quality="high", score=88, reason="[URL=https://evil.example]click[/URL]")
    timeline(DEAL, Entry(lead=lead, transcript=TRANSCRIPT, job=JOB, attach=True), writer=writer)
    (found,) = (asked["fields"] for asked in portal.sent("crm.timeline.comment.add"))
    assert (found["ENTITY_TYPE"], found["ENTITY_ID"]) == ("deal", 42)
    assert found["COMMENT"].startswith("[B]AI classification: high (88/100)[/B]\n(URL=(link))click")
    ((name, content),) = found["FILES"]
    assert name == f"{JOB}.txt"
    assert base64.b64decode(content).decode() == TRANSCRIPT.text
    assert find_entry(DEAL, JOB, journals=[writer])
    assert not find_entry(Entity(type="lead", id=42), JOB, journals=[writer])


def test_a_refusal_is_told_and_never_retried(portal: Portal, rest: Bitrix24) -> None:
    """A deal that was deleted: failed, and why."""
    portal.fails((400, {"error": "OWNER_NOT_FOUND"}))
    found = write(LogMessages(rest))
    assert found.state == "failed"
    assert "the CRM entity is gone" in (found.why or "")
    assert write(LogMessages(rest)).state == "written"
    user = timeline(
        Entity(type="user", id=1), Entry(lead=LEAD, transcript=TRANSCRIPT, job=JOB), writer=LogMessages(rest)
    )
    assert user.state == "failed"


class Router:
    """A stand-in for VibeCode's timeline logs that takes one of the two forms."""

    def __init__(self, form: str) -> None:
        self.form = form
        self.entries: list[dict[str, Any]] = []
        self.posts = 0
        self.status: list[int] = []
        self.lists = True
        self.oldest_first = False
        self.loses = 0
        self.keys: set[str | None] = set()

    def __call__(self, verb: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        self.keys.add(headers.get("authorization"))
        if verb == "GET":
            if not self.lists:
                return 404, {"success": False, "error": {"code": "NOT_FOUND", "message": "?"}}
            listed = self.entries if self.oldest_first else list(reversed(self.entries))
            return 200, {"success": True, "data": listed[:50], "total": len(listed)}
        self.posts += 1
        if self.status:
            return self.status.pop(0), {"success": False, "error": {"code": "oops", "retryAfter": 7}}
        sent = json.loads(body)
        if ("entityTypeId" in sent) != (self.form == "number"):
            return 400, {"success": False, "error": {"code": "VALIDATION_ERROR", "message": "?"}}
        self.entries.append({"id": len(self.entries) + 1, **sent})
        if self.loses:
            self.loses -= 1
            return None
        return 201, {"success": True, "data": {"id": 1}}


@pytest.fixture
def vibecode(transport: Transport) -> Iterator[Callable[[Router], VibeCode]]:
    opened: list[Any] = []
    capabilities = Unremembered()

    def make(router: Router) -> VibeCode:
        server = serving(router)
        url = server.__enter__()
        opened.append(server)
        return VibeCode(url + "/v1", "KEY", transport=transport, capabilities=capabilities, timeout_seconds=5)

    yield make
    for server in opened:
        server.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("form", "posts", "fields"),
    [("name", 1, {"entityType": "deal", "entityId": 42}), ("number", 2, {"entityTypeId": 2, "entityId": 42})],
)
def test_vibecode_takes_either_form_and_is_remembered(
    form: str, posts: int, fields: dict[str, Any], vibecode: Callable[[Router], VibeCode]
) -> None:
    """entityType first, on a 400 the number; afterwards what works comes first."""
    router = Router(form)
    writer = vibecode(router)
    assert write(writer).state == "written"
    assert router.posts == posts
    assert fields.items() <= router.entries[0].items()
    assert write(writer).state == "written"
    assert router.posts == posts + 1
    assert router.keys == {"Bearer KEY"}


def test_vibecode_reads_back_after_a_lost_answer(vibecode: Callable[[Router], VibeCode]) -> None:
    """One entry, although the first answer never came."""
    router = Router("name")
    router.loses = 1
    writer = vibecode(router)
    with pytest.raises(ProviderUnavailable) as caught:
        write(writer)
    assert caught.value.ambiguous
    assert write(writer, again=True).state == "written"
    assert len(router.entries) == 1


def test_where_nothing_can_be_read_back_nothing_is_written_twice(
    vibecode: Callable[[Router], VibeCode], portal: Portal, rest: Bitrix24
) -> None:
    """Twice is worse than not; the portal's own list serves as a second reader."""
    router = Router("name")
    router.lists = False
    writer = vibecode(router)
    found = write(writer, again=True)
    assert (found.state, router.posts) == ("failed", 0)
    assert "cannot be read back" in (found.why or "")
    assert write(writer, readers=[LogMessages(rest)], again=True).state == "written"
    assert len(router.entries) == 1


def test_a_list_that_leaves_out_the_newest_proves_nothing(vibecode: Callable[[Router], VibeCode]) -> None:
    """Fifty old entries of sixty say nothing of ours; the newest fifty do."""
    router = Router("name")
    writer = vibecode(router)
    for number in range(60):
        writer.write(DEAL, "Other", f"entry {number}")
    router.oldest_first = True
    assert find_entry(DEAL, JOB, journals=[writer]) is None
    router.oldest_first = False
    assert find_entry(DEAL, JOB, journals=[writer]) is False


def test_vibecode_errors_are_told_apart(vibecode: Callable[[Router], VibeCode]) -> None:
    """Accounts, passing faults and refusals; a second form is not tried for these."""
    router = Router("name")
    writer = vibecode(router)
    router.status = [402]
    with pytest.raises(ProviderAccount, match="402 oops"):
        write(writer)
    router.status = [503]
    with pytest.raises(ProviderUnavailable) as caught:
        write(writer)
    assert (caught.value.retry_after_seconds, caught.value.ambiguous) == (7.0, False)
    router.status = [504]
    with pytest.raises(ProviderUnavailable) as caught:
        write(writer)
    assert caught.value.ambiguous
    router.status = [404]
    assert write(writer).state == "failed"
    router.status = [400, 400]
    assert write(writer).why == "timeline-logs: 400 oops."
    assert router.posts == 6


@pytest.mark.parametrize(
    ("error", "kind", "state"),
    [
        ({"code": "RATE_LIMIT_EXCEEDED", "retryAfter": 7}, ProviderUnavailable, None),
        ({"code": "ai_provider_unavailable"}, ProviderUnavailable, None),
        ({"code": 503}, ProviderUnavailable, None),
        ({"code": "insufficient_balance"}, ProviderAccount, None),
        ({"code": "ENTITY_NOT_FOUND"}, None, "failed"),
        ({"code": "SOMETHING_ELSE"}, None, "failed"),
        ("a word", None, "failed"),
        (None, None, "failed"),
    ],
)
@pytest.mark.parametrize("status", [200, 201])
def test_an_error_inside_a_good_answer_is_no_entry(
    status: int, error: Any, kind: type[Exception] | None, state: str | None, transport: Transport
) -> None:
    """It is taken by its own code, as if that were the status; nothing is called written that is not."""
    posts: list[Any] = []

    def answer(verb: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        posts.append(json.loads(body))
        return status, {"success": False, "error": error}

    with serving(answer) as url:
        writer = VibeCode(url + "/v1", "KEY", transport=transport, capabilities=Unremembered())
        if kind:
            with pytest.raises(kind):
                write(writer)
            assert len(posts) == 1
        else:
            assert write(writer).state == state


def test_the_form_that_a_good_answer_refuses_is_changed(transport: Transport) -> None:
    """entityType is refused inside a 200: the number is tried, and stands."""

    def answer(verb: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        if "entityType" in json.loads(body):
            return 200, {"success": False, "error": {"code": "VALIDATION_ERROR", "message": "?"}}
        return 200, {"success": True, "data": {"id": 1}}

    with serving(answer) as url:
        writer = VibeCode(url + "/v1", "KEY", transport=transport, capabilities=Unremembered())
        assert write(writer).state == "written"


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b"[]", b'"ok"', b"OK"])
def test_a_good_status_from_something_else_is_no_entry(body: bytes, transport: Transport) -> None:
    """A login page is not VibeCode: the entry may stand or not, so it is looked for before it is repeated."""
    with serving(lambda *_: (200, body)) as url:
        writer = VibeCode(url + "/v1", "KEY", transport=transport, capabilities=Unremembered())
        with pytest.raises(BadAnswer) as caught:
            write(writer)
        assert caught.value.ambiguous


def test_the_limit_says_when_it_resets(transport: Transport) -> None:
    """X-RateLimit-Reset, where there is no Retry-After."""
    replies = [
        (429, {"success": False}, {"X-RateLimit-Reset": "42"}),
        (429, {"success": False}, {"X-RateLimit-Reset": "42", "Retry-After": "3"}),
    ]
    with serving(lambda *_: replies.pop(0)) as url:
        writer = VibeCode(url + "/v1", "KEY", transport=transport, capabilities=Unremembered())
        for seconds in (42.0, 3.0):
            with pytest.raises(ProviderUnavailable) as caught:
                write(writer)
            assert caught.value.retry_after_seconds == seconds


@pytest.mark.parametrize("result", [False, None, [], {}, {"logMessage": False}, {"logMessage": {}}, "no"])
def test_an_answer_of_the_portal_without_an_entry_is_none(
    result: Any, portal: Portal, rest: Bitrix24
) -> None:
    """A status of 200 is not enough: an entry has an id. It is looked for before it is written again."""
    for writer in (LogMessages(rest), Comments(rest)):
        portal.fails((200, {"result": result}))
        with pytest.raises(BadAnswer) as caught:
            write(writer)
        assert caught.value.ambiguous


def test_the_transcript_goes_to_the_telephony_by_sides(portal: Portal, rest: Bitrix24) -> None:
    """The portal's user and the client, whole seconds, the end at least 1; unknown speakers are left out."""
    portal.crm.calls["call.5"] = {}
    assert attach("call.5", TRANSCRIPT, rest=rest, redact=True)
    (sent,) = portal.crm.transcriptions
    assert sent["CALL_ID"] == "call.5"
    assert sent["MESSAGES"] == [
        {"SIDE": "User", "START_TIME": 0, "STOP_TIME": 2, "MESSAGE": "Good morning"},
        {"SIDE": "Client", "START_TIME": 3, "STOP_TIME": 6, "MESSAGE": "Call me at [phone]"},
    ]
    assert not attach("call.5", Transcript(text="x", language=None, segments=()), rest=rest)
