"""What supervisors and operators come for, done as they do it, in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect

from pipeline.archive.calls import Call, Gap
from pipeline.domain.job import Entity, Event, Failure, JobId, PortalId, Step
from pipeline.domain.lead import Criterion
from pipeline.domain.recording import Span
from pipeline.store import Store, Transition
from pipeline.web.console.pages import PAGES
from tests.archive.test_archive import call
from tests.browser.conftest import FIXTURES, RECORDING, Console, Visit, script_of
from tests.web.test_jobs import FACTS, put

MOSCOW = ZoneInfo("Europe/Moscow")
POISON = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202egnp.\u2066"


def yesterday(hour: int) -> float:
    """That hour of the reader's yesterday."""
    day = datetime.now(MOSCOW) - timedelta(days=1)
    return day.replace(hour=hour, minute=30).timestamp()


def told(number: int, **changes: object) -> Call:
    """A call that was really recorded; its quote stands in the third sentence."""
    seconds, segments = script_of(RECORDING)
    made = replace(
        call(number),
        portal=PortalId("portal"),
        started_at=yesterday(12),
        seconds=seconds,
        segments=segments,
        talk=(20.0, 25.0),
        levels=(tuple((at * 7) % 100 for at in range(900)), tuple((at * 3) % 60 for at in range(900))),
        missing=(),
        empty_spans=(Span(start=seconds - 4, end=seconds - 2),),
        gaps=(),
        entity=Entity(type="deal", id=4000 + number),
        criteria=(
            Criterion(
                name="budget",
                met=True,
                weight=30,
                quote=segments[2].text[:20],
                at=segments[2].start,
                explanation="A sum is named.",
            ),
            Criterion(name="next step", met=False, weight=20),
        ),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def filled(console: Console) -> JobId:
    """Calls of two managers over some days; the id of yesterday's one weak call of Anna's."""
    weak = told(1, score=20, band="low", machine_score=20, machine_band="low")
    console.archive.put(weak)
    console.archive.put(told(2, started_at=yesterday(13)))
    console.archive.put(
        told(
            3, manager_id="8", manager="Boris", score=10, band="low", gaps=(Gap(kind="unlinked", why="why"),)
        )
    )
    console.archive.put(told(4, started_at=yesterday(12) - 5 * 86_400, score=15, band="low"))
    console.keep(weak.id, FIXTURES / RECORDING)
    return weak.id


def test_yesterdays_weak_calls_of_a_manager_are_three_clicks_away(console: Console, visit: Visit) -> None:
    """Yesterday, low, the manager's name: just that call is left, its page one click more. The fields do
    the same."""
    weak = filled(console)
    visitor = visit()
    visitor.sign_in("review")
    page = visitor.page
    expect(page.locator(".calls > li")).to_have_count(4)
    page.get_by_role("link", name="Yesterday", exact=True).click()
    page.get_by_role("link", name="low", exact=True).click()
    expect(page.locator(".calls > li")).to_have_count(2)
    page.get_by_role("link", name="Анна Петрова").click()
    expect(page.locator(".calls > li")).to_have_count(1)
    page.get_by_label("Manager").select_option("Boris")
    expect(page.locator(".calls > li")).to_contain_text(["Boris"])
    page.go_back()
    page.locator(".calls .open").click()
    expect(page).to_have_url(re.compile(f"/calls/{weak}$"))


def test_the_quote_that_decided_is_heard(console: Console, visit: Visit) -> None:
    """A click plays its seconds and stops after them; the sentence that sounds is marked."""
    weak = filled(console)
    visitor = visit()
    visitor.sign_in("read")
    page = visitor.page
    page.goto(f"/calls/{weak}")
    said = told(1).segments[2]
    page.get_by_title("Hear it").click()
    heard(page, lambda at, paused: at > said.start and not paused)
    expect(page.locator(".turns .now .text")).to_have_text(said.text)
    at = heard(page, lambda at, paused: paused)
    assert said.end <= at <= said.end + 1.5
    assert page.locator("[data-wave] .head").get_attribute("x1") != "0"


def test_a_sentence_plays_when_clicked_and_the_mark_goes_on(console: Console, visit: Visit) -> None:
    """By its time, its text or the wave; K goes to the next one, the space bar pauses."""
    weak = filled(console)
    visitor = visit()
    visitor.sign_in("read")
    page = visitor.page
    page.goto(f"/calls/{weak}")
    fourth, fifth = told(1).segments[3:5]
    page.locator(".turns .text").nth(3).click()
    heard(page, lambda at, paused: at > fourth.start)
    page.keyboard.press("k")
    heard(page, lambda at, paused: at >= fifth.start)
    expect(page.locator(".turns .now .text")).to_have_text(fifth.text)
    page.keyboard.press(" ")
    heard(page, lambda at, paused: paused)


def test_a_score_is_corrected(console: Console, visit: Visit) -> None:
    """With a reason: the page says so at once, the list from then on."""
    weak = filled(console)
    visitor = visit()
    visitor.sign_in("review", name="Rita")
    page = visitor.page
    page.goto(f"/calls/{weak}")
    page.locator("summary", has_text="Correct the score").click()
    page.get_by_label("Score, 0 to 100").fill("66")
    page.locator("form:has(input[name=score])").get_by_label("Why").fill("The budget is named later.")
    page.get_by_role("button", name="Correct the score").click()
    expect(page.get_by_role("status")).to_contain_text("It is written down here alone")
    expect(page.locator(".headline .chip")).to_contain_text("66")
    expect(page.locator("#score")).to_contain_text(re.compile(r"Corrected from 20 to 66\s+by Rita"))
    page.goto("/calls?band=medium")
    expect(page.locator(".calls > li")).to_have_count(1)


def test_the_cause_of_a_failed_job_is_two_clicks_away(store: Store, visit: Visit) -> None:
    """Jobs, failed: the cause stands in the line, and what to do about it on its page."""
    failure = Failure(
        slug="gone", code=404, message="The recording is gone.", step=Step("fetch"), hint="Ask."
    )
    job = put(store, 1, facts={"failure": failure, "callback": {"accepted": True, "asked": True}})
    store.finish(
        store.load(job),
        Transition(
            facts={}, dues=(), status="failed", events=(Event(at=1.9e9, step=Step("fetch"), what="failed"),)
        ),
        claim=None,
    )
    visitor = visit()
    visitor.sign_in("operate")
    page = visitor.page
    page.get_by_role("link", name="Jobs", exact=True).click()
    page.get_by_role("link", name="failed", exact=True).click()
    expect(page.locator(".jobs .reason")).to_contain_text("The recording is gone.")
    page.locator(".jobs .open").click()
    expect(page.get_by_role("alert")).to_contain_text("Ask.")
    visitor.accessible()


def test_a_call_under_way_becomes_its_page_by_itself(console: Console, store: Store, visit: Visit) -> None:
    """While somebody looks: first how far it is, then the call, without a click."""
    job = put(store, 1, facts={name: FACTS[name] for name in ("fetch", "sniff", "split")})
    visitor = visit()
    visitor.sign_in("read")
    page = visitor.page
    page.goto(f"/calls/{job}")
    expect(page.locator("#under-way")).to_contain_text("0 of 2 parts recognised")
    visitor.accessible()
    console.archive.put(told(1, id=job))
    expect(page.locator(".turns")).to_be_visible(timeout=15_000)


def test_what_is_new_comes_into_the_list_by_itself(console: Console, visit: Visit) -> None:
    """And what did not change is not sent again."""
    filled(console)
    visitor = visit()
    visitor.sign_in("read")
    page = visitor.page
    statuses: list[int] = []
    page.on("response", lambda got: statuses.append(got.status) if got.url.endswith("/calls") else None)
    console.archive.put(told(9, started_at=time.time(), client="New one"))
    expect(page.locator(".calls > li").first).to_contain_text("New one", timeout=25_000)
    page.wait_for_event("response", lambda answer: answer.url.endswith("/calls"), timeout=25_000)
    assert statuses[-1] == 304


def test_the_list_goes_on_at_its_end(console: Console, visit: Visit) -> None:
    """Scrolled down it brings the older ones, to the last of them."""
    for number in range(1, 121):
        console.archive.put(told(number, started_at=yesterday(1) - number * 60))
    visitor = visit()
    visitor.sign_in("read")
    page = visitor.page
    expect(page.locator(".calls > li")).to_have_count(50)
    for count in (100, 120):
        page.mouse.wheel(0, 50_000)
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        expect(page.locator(".calls > li")).to_have_count(count, timeout=10_000)
    expect(page.locator("[data-more]")).to_have_count(0)


def test_markup_of_outsiders_does_nothing(console: Console, store: Store, visit: Visit) -> None:
    """In names, reasons, quotes and sentences: no dialog, no request, no letter that turns the text."""
    segments = tuple(replace(segment, text=POISON) for segment in told(1).segments)
    poisoned = told(
        1,
        manager=POISON,
        client=POISON,
        entity_title=POISON,
        reason=POISON,
        segments=segments,
        criteria=(Criterion(name=POISON, met=True, weight=1, quote=POISON, at=1.0, explanation=POISON),),
    )
    console.archive.put(poisoned)
    visitor = visit()
    visitor.sign_in("operate", name=POISON)
    for path in ("/calls", f"/calls/{poisoned.id}"):
        visitor.page.goto(path)
        assert visitor.page.locator("img:not(.brand img), main script").count() == 0
        assert "onerror=alert(1)" in visitor.page.inner_text("main")
        assert "\u202e" not in visitor.page.content()


@pytest.mark.parametrize(("locale", "scheme"), [("en-GB", "light"), ("ru-RU", "dark")])
def test_every_page_is_accessible(
    console: Console, store: Store, visit: Visit, locale: str, scheme: str
) -> None:
    """axe finds nothing on any of them, nothing is wider than the screen, in both languages and schemes."""
    weak = filled(console)
    job = put(store, 1, facts=FACTS)
    visitor = visit(locale=locale, scheme=scheme)
    visitor.page.goto("/")
    visitor.accessible()
    visitor.sign_in("operate")
    titled = [page.path for page in PAGES if page.title]
    for path in (*titled, f"/calls/{weak}", f"/jobs/{job}", f"/jobs/{weak}"):
        visitor.page.goto(path)
        open_all(visitor.page)
        visitor.accessible()


def test_the_keyboard_is_enough(console: Console, visit: Visit) -> None:
    """The first stop leads to the content; a call is opened by Enter."""
    filled(console)
    visitor = visit()
    visitor.sign_in("read")
    page = visitor.page
    page.goto("/calls")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("To the content")
    page.keyboard.press("Enter")
    page.locator(".calls .open").first.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/calls/job_"))


def open_all(page: Page) -> None:
    """What is folded away is looked at as well."""
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")


def heard(page: Page, holds: Callable[[float, bool], bool], *, seconds: float = 20) -> float:
    """Waits until the player is so (its place, whether it is paused); its place then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        at, paused = page.evaluate(
            "() => { const it = document.querySelector('audio'); return [it.currentTime, it.paused]; }"
        )
        if holds(at, paused):
            return float(at)
        page.wait_for_timeout(50)
    raise AssertionError(f"the player stands at {at}, {'paused' if paused else 'playing'}")
