"""/jobs/{id}: what happened, why it waits, and what can be done about it."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.archive.archive import Archive
from pipeline.archive.calls import Audited
from pipeline.domain.job import Category, Delivery, Event, Failure, Request, Step
from pipeline.store import Store, Transition
from pipeline.web.console.audits import PER_PAGE
from tests.archive.test_archive import call
from tests.web.conftest import Client
from tests.web.console.conftest import Browser
from tests.web.test_jobs import FACTS, NOW, put

POISON = "<b>bold</b>\u202e\u0000"


def happened(store: Store, number: int, facts: dict[str, Any], *events: Event, **rest: Any) -> str:
    """A job to which that has happened."""
    job = put(store, number, facts=facts, **rest.pop("job", {}))
    store.finish(
        store.load(job),
        Transition(facts={}, dues=(), status=rest.pop("status", "done"), events=events, **rest),
        claim=None,
    )
    return job


def test_a_finished_job_shows_all_that_happened(store: Store, reader: Browser) -> None:
    """Steps as a picture and as a table, pieces with attempts and paid seconds, deliveries with answers."""
    job = happened(
        store,
        1,
        FACTS,
        Event(at=NOW + 1, step=Step("fetch"), what="done", took=0.5),
        Event(at=NOW + 2, step=Step("transcribe:0"), what="deferred", why="busy: 429"),
        Event(at=NOW + 4, step=Step("transcribe:0"), what="done", took=1.0, attempt=2),
        deliveries=(Delivery(at=NOW + 5, kind="success", status=200, answer=POISON, accepted=True),),
    )
    page = reader.get(f"/jobs/{job}").text
    assert page.count('<span class="step">') == 3  # accept, fetch, transcribe:0
    assert '<rect class="deferred"' in page
    assert "busy: 429" in page
    assert page.count("12.5</td>") >= 2
    assert "Hi &amp; bye" in page
    assert "200 &lt;b&gt;bold&lt;/b&gt;" in page
    assert 'no deal: <span dir="auto">no activity matches' in page
    assert "token=secret" not in page
    assert f'href="/calls/{job}"' in page


def test_why_a_job_failed_stands_at_its_top(store: Store, operator: Browser) -> None:
    """The message, the step, what the portal heard and what to do; in the list of jobs as well."""
    failure = Failure(
        slug="recording_gone",
        code=404,
        message="The recording is gone.",
        step=Step("fetch"),
        hint="Ask for it.",
    )
    facts = {"failure": failure, "callback": {"accepted": True, "asked": True}}
    job = happened(store, 1, facts, status="failed")
    page = operator.get(f"/jobs/{job}").text
    head = page.partition('<section class="card" id="steps"')[0]
    for part in ("The recording is gone.", "It failed in fetch, and the portal heard 404.", "Ask for it."):
        assert part in head
    assert "Do again what is lacking" in page
    assert "The recording is gone." in operator.get("/jobs?status=failed").text


def test_a_waiting_job_says_for_what_and_until_when(store: Store, reader: Browser) -> None:
    """The step in words, the next attempt, and why the last one was put off."""
    job = put(store, 1, facts={})
    claim = store.claim("upstream", "node:task", lease_seconds=30)
    assert claim is not None
    why = Event(at=store.now(), step=claim.step, what="deferred", why="the provider refuses the key")
    store.defer(claim, at=store.now() + 100, events=(why,))
    page = reader.get(f"/jobs/{job}").text
    assert "downloading the recording" in page
    assert "next attempt" in page
    assert "the provider refuses the key" in page
    russian = reader.get(f"/jobs/{job}", **{"Accept-Language": "ru"}).text
    assert "скачиваем запись" in russian


@pytest.mark.parametrize(
    ("category", "facts", "shown"),
    [
        (Category.TEXT, {"reply": {"text": "Dear <b>Sir</b>"}}, "Dear &lt;b&gt;Sir&lt;/b&gt;"),
        (
            Category.IMAGE,
            {"draw": {"urls": ["https://us.example/i.png", "javascript:x"]}},
            "https://us.example/i.png",
        ),
    ],
)
def test_text_and_image_jobs_have_a_page_too(
    store: Store, operator: Browser, reader: Browser, category: Category, facts: dict[str, Any], shown: str
) -> None:
    """What they answered is for operators; they have neither a call's tab nor its actions."""
    request = Request(prompt="Write", callback_url="https://portal.example/c")
    done = facts | {"callback": {"accepted": True, "asked": True}}
    job = happened(store, 1, done, job={"category": category, "request": request})
    page = operator.get(f"/jobs/{job}").text
    assert shown in page
    assert "javascript:" not in page
    assert f'href="/calls/{job}"' not in page
    assert "/score" not in page
    assert shown not in reader.get(f"/jobs/{job}").text


def test_an_operator_has_a_failed_job_done_again(store: Store, archive: Archive, operator: Browser) -> None:
    """It runs again; who asked for it stands in the audit log; of a job that lacks nothing it says so."""
    failure = Failure(slug="expired", code=504, message="Too late.", step=Step("expire"))
    facts = {"failure": failure, "callback": {"accepted": True, "asked": True}}
    job = happened(store, 1, facts, status="failed")
    answer = operator.post(f"/jobs/{job}/retry", f"/jobs/{job}")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job}")
    assert store.load(store.page(limit=1)[0][0]).status == "running"
    assert [(entry.what, entry.call) for entry in archive.audited()[0]] == [("retried", job)]
    again = operator.post(f"/jobs/{job}/retry", f"/jobs/{job}")
    assert again.status_code == 400
    assert "nothing of it was put off" in again.text


def test_an_operator_links_a_call_by_hand(store: Store, archive: Archive, operator: Browser) -> None:
    """To an entity and its number; anything else is refused, and the field named."""
    job = happened(store, 1, FACTS)
    archive.put(call(1, id=job))
    page = f"/calls/{job}"
    assert operator.post(f"{page}/link", page, type="deal", number="77").status_code == 303
    entity = store.load(store.page(limit=1)[0][0]).request.entity
    assert entity is not None
    assert (entity.type, entity.id) == ("deal", 77)
    for fields in (
        {"type": "deal", "number": "0"},
        {"type": "boat", "number": "7"},
        {"type": "deal", "number": "x"},
    ):
        refused = operator.post(f"{page}/link", page, **fields)
        assert refused.status_code == 400
        assert "number: expected" in refused.text


def test_a_job_whose_steps_are_gone_still_leads_to_its_call(archive: Archive, reader: Browser) -> None:
    """The archive outlives the store's records."""
    archive.put(call(1))
    page = reader.get(f"/jobs/{call(1).id}")
    assert page.status_code == 200
    assert "no longer kept" in page.text
    assert f'href="/calls/{call(1).id}"' in page.text


def test_the_list_of_jobs_is_filtered_and_paged(store: Store, client: Client, operator: Browser) -> None:
    """By status, category and portal, to the end."""
    for number in range(60):
        put(store, number, facts={})
    page = operator.get("/jobs").text
    assert page.count('class="open" href="/jobs/job_') == 50
    older = page.partition('<p class="older"><a href="')[2].partition('"')[0].replace("&amp;", "&")
    assert operator.get(older).text.count('class="open" href="/jobs/job_') == 10
    assert 'class="open"' not in operator.get("/jobs?category=image").text
    assert operator.get("/jobs?status=great").status_code == 400


def test_the_audit_log_is_for_operators(archive: Archive, operator: Browser, reader: Browser) -> None:
    """Who did what to which call, newest first, of one call alone as well; as data too."""
    for at, what in enumerate(("listened", "corrected", "erased")):
        archive.audit(Audited(at=NOW + at, who=POISON, what=what, call=f"job_{at}", detail=POISON))
    page = operator.get("/audit").text
    assert page.index("erased") < page.index("corrected") < page.index("listened")
    assert "<b>bold" not in page
    assert [row["call"] for row in operator.get("/audit.json?call=job_1").json()["audit"]] == ["job_1"]
    assert operator.get("/audit.csv").text.count("\n") == 4
    assert reader.get("/audit").status_code == 403


def test_the_audit_log_is_told_whole(archive: Archive, operator: Browser) -> None:
    """The page leads to older entries; JSON goes on by its cursor, CSV to the first entry of all."""
    for number in range(2 * PER_PAGE + 3):
        archive.audit(Audited(at=NOW + number, who="Olga", what="listened", call=f"job_{number % 2}"))
    page = operator.get("/audit").text
    assert page.count("<tr><td>") == PER_PAGE
    assert 'rel="next"' in page
    told, cursor = [], ""
    while cursor is not None:
        answer = operator.get(f"/audit.json?cursor={cursor}").json()
        told += [row["at"] for row in answer["audit"]]
        cursor = answer["next"]
    assert len(told) == len(set(told)) == 2 * PER_PAGE + 3
    assert told == sorted(told, reverse=True)
    assert operator.get("/audit.csv").text.count("\n") == len(told) + 1
    assert operator.get("/audit.csv?call=job_1").text.count("\n") == PER_PAGE + 1 + 1
    assert operator.get("/audit?cursor=x").status_code == 400


def test_calls_under_way_stand_above_the_list(store: Store, archive: Archive, reader: Browser) -> None:
    """Each with what it waits for and why; gone from there with other filters, alone by their own."""
    waiting = put(store, 1)
    claim = store.claim("upstream", "node:task", lease_seconds=30)
    assert claim is not None
    why = Event(at=store.now(), step=claim.step, what="deferred", why="the provider refuses the key")
    store.defer(claim, at=store.now() + 100, events=(why,))
    running = put(store, 2)
    put(store, 3, category=Category.TEXT, request=Request(prompt="Write"))
    archive.put(call(4))
    page = reader.get("/calls").text
    assert "waiting: the provider refuses the key" in page
    assert page.index(waiting) < page.index(running) < page.index(call(4).id)
    assert page.count('class="open"') == 3
    assert waiting not in reader.get("/calls?band=high").text
    alone = reader.get("/calls?state=waiting").text
    assert alone.count('class="open"') == 2
    assert call(4).id not in alone
    assert "ждём: " in reader.get("/calls", **{"Accept-Language": "ru"}).text


def test_what_has_ended_is_not_under_way(store: Store, reader: Browser) -> None:
    """Steps may be due of it still, or again: it stands in the list, and nowhere twice."""
    ended = [happened(store, number, {}, status=status) for number, status in enumerate(("done", "failed"))]
    begun = put(store, 2)
    page = reader.get("/calls?state=waiting").text
    assert begun in page
    assert not any(job in page for job in ended)


def test_a_job_and_its_events_are_there_as_data(store: Store, operator: Browser, reader: Browser) -> None:
    """As /v1 has it, and as CSV; what was answered to a portal's text is for operators."""
    request = Request(prompt="Write", callback_url="https://portal.example/c")
    facts = {"reply": {"text": "Dear Sir"}, "callback": {"accepted": True, "asked": True}}
    job = happened(store, 1, facts, job={"category": Category.TEXT, "request": request})
    assert operator.get(f"/jobs/{job}.json").json()["reply"] == "Dear Sir"
    assert reader.get(f"/jobs/{job}.json").json()["reply"] is None
    assert reader.get(f"/jobs/{job}.csv").text.startswith("at,step,what,")
