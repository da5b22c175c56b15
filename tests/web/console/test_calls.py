"""/calls: found by what a supervisor knows, the same as a page, JSON and CSV."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from pipeline.archive.archive import Archive
from pipeline.archive.calls import Gap
from pipeline.settings.installation import Settings
from tests.archive.test_archive import call
from tests.web.conftest import Client, running
from tests.web.console.conftest import API_KEY, READ_KEY, Browser

POISON = "<script>alert(1)</script>\u202e\u0007=1+1&amp;"


def test_a_call_is_a_line(archive: Archive, reviewer: Browser) -> None:
    """Time, people, phone, deal with its link, length, score, the reason's first line, its state in words."""
    archive.put(
        replace(
            call(1, started_at=time.time()),
            reason="First line.\nSecond line.",
            gaps=(Gap(kind="unlinked", why="two equal calls"),),
        )
    )
    page = reviewer.get("/calls").text
    for part in (
        "Today, ",
        "Анна Петрова",
        "+7 (912) 345-67-89",
        "01:01",
        ">75<",
        "First line.",
        "Поставка окон",
    ):
        assert part in page
    assert 'href="https://acme.bitrix24.com/crm/deal/details/4321/"' in page
    assert "not linked: two equal calls" in page
    assert "Second line." not in page
    assert "Сегодня" in reviewer.get("/calls", **{"Accept-Language": "ru"}).text


def test_outsiders_text_is_shown_as_text(archive: Archive, reader: Browser) -> None:
    """In every field that somebody else has written; a link leads to the web or is none."""
    archive.put(
        call(
            2,
            manager=POISON,
            client=POISON,
            entity_title=POISON,
            reason=POISON,
            entity_url="javascript:alert(1)",
        )
    )
    page = reader.get("/calls").text
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;=1+1&amp;amp;") >= 4
    assert "\u202e" not in page
    assert "\u0007" not in page
    assert "javascript:" not in page


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("", [1, 2, 3]),
        ("?q=бюджеты", [1, 2, 3]),
        ("?q=deal+4321", [1, 2, 3]),
        ("?q=nowhere", []),
        ("?manager=7", [1, 2]),
        ("?manager=John", [3]),
        ("?band=low", [2]),
        ("?band=none", [3]),
        ("?state=unlinked", [2]),
        ("?state=failed", [3]),
        ("?portal=acme", [1, 2, 3]),
        ("?portal=other", []),
        ("?category=call", []),
        ("?manager=7&band=low&state=unlinked", [2]),
        ("?from=2026-01-01&to=2026-01-02", [1, 2]),
        ("?from=2026-01-02&to=2026-01-02", [2]),
        ("?from=2026-01-02T12:00:00Z", [3]),
    ],
)
def test_filters(archive: Archive, client: Client, asked: str, found: list[int]) -> None:
    """Each by itself and all together; the day that `to` names is included."""
    first = datetime(2026, 1, 1, 12, tzinfo=ZoneInfo("UTC")).timestamp()
    archive.put(call(1, started_at=first))
    archive.put(
        call(2, started_at=first + 80_000, score=10, band="low", gaps=(Gap(kind="unlinked", why="why"),))
    )
    archive.put(
        call(
            3,
            started_at=first + 172_800,
            manager_id=None,
            manager="John",
            score=None,
            band=None,
            state="failed",
        )
    )
    told = client.get(f"/calls.json{asked}", headers={"X-Api-Key": READ_KEY}).json()
    assert sorted(int(row["id"][4:]) for row in told["calls"]) == found


def test_a_day_is_the_readers_own(archive: Archive, reader: Browser) -> None:
    """A call at 23:30 UTC is the next day's in Moscow, whose browser says where it is."""
    archive.put(call(1, started_at=datetime(2026, 1, 1, 23, 30, tzinfo=ZoneInfo("UTC")).timestamp()))
    session = reader.headers["Cookie"]
    moscow = {"Cookie": f"{session}; zone=Europe/Moscow"}
    assert "job_" in reader.get("/calls?from=2026-01-02&to=2026-01-02", **moscow).text
    assert 'id="job_' not in reader.get("/calls?from=2026-01-02&to=2026-01-02").text
    assert "2 Jan" in reader.get("/calls", **moscow).text


@pytest.mark.parametrize(
    "asked",
    ["from=yesterday", "to=2026-13-01", "from=0000-00-00", "to=9999-12-31T23:59:59%2B99:00", "band=great",
     "state=fine", "category=video", "limit=0", "limit=-1", "limit=ten", "cursor=here", "cursor=1_x"],
)  # fmt: skip
def test_a_filter_that_is_none_is_refused_and_named(client: Client, asked: str) -> None:
    """400, and which field it is."""
    answer = client.get(f"/calls.json?{asked}", headers={"X-Api-Key": READ_KEY})
    assert answer.status_code == 400
    assert answer.json()["error"]["fields"].keys() == {asked.partition("=")[0]}


@pytest.mark.parametrize(
    "asked", ["to=9999-12-31", "from=0001-01-01", "q=%00", "q=%27%22*", "q=" + "x" * 3000]
)
def test_odd_filters_find_what_they_say(client: Client, archive: Archive, asked: str) -> None:
    """The ends of the calendar and any letters are no fault."""
    archive.put(call(1))
    assert client.get(f"/calls.json?{asked}", headers={"X-Api-Key": READ_KEY}).status_code == 200


def test_paging_goes_to_the_end(archive: Archive, client: Client, reader: Browser) -> None:
    """By `next`, each call once, newest first; the page links to the older ones with the filters kept."""
    for number in range(1, 61):
        archive.put(call(number))
    key, seen, cursor = {"X-Api-Key": READ_KEY}, [], ""
    while cursor is not None:
        told = client.get(f"/calls.json?limit=25&cursor={cursor}", headers=key).json()
        seen += [int(row["id"][4:]) for row in told["calls"]]
        cursor = told["next"]
    assert seen == list(range(60, 0, -1))
    page = reader.get("/calls?band=high").text
    assert page.count('<li id="job_') == 50
    assert 'rel="next"' in page
    older = page.partition('<p class="older"><a href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "band=high" in older
    assert reader.get(older).text.count('<li id="job_') == 10


def test_the_csv_is_the_whole_list_and_holds_no_formula(archive: Archive, client: Client) -> None:
    """All pages in one file, a column for each value; cells that a spreadsheet would run are text."""
    for number in range(1, 521):
        archive.put(call(number, segments=(), client="=HYPERLINK(0)" if number == 7 else None))
    text = client.get("/calls.csv", headers={"X-Api-Key": API_KEY}).content.decode()
    lines = list(csv.DictReader(io.StringIO(text)))
    assert len(lines) == 520
    assert lines[0]["entity.id"] == "4321"
    assert {line["phone"] for line in lines} == {"'+7 (912) 345-67-89"}
    assert [line["client"] for line in lines if line["client"]] == ["'=HYPERLINK(0)"]
    assert client.get("/calls.csv?excel=1", headers={"X-Api-Key": READ_KEY}).content[:3] == b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("phones_for", "seen"), [("read", [1, 1]), ("review", [0, 1]), ("operate", [0, 1]), ("nobody", [0, 0])]
)
def test_phones_are_seen_by_who_may(
    make_settings: Callable[..., Settings], phones_for: str, seen: list[int]
) -> None:
    """On the page and in both twins; others see their ends alone, and find no call by them."""
    with running(make_settings(read_key=READ_KEY, phones_for=phones_for)) as client:
        client.app.state.service.tools.archive.put(call(1, segments=(), reason="-"))
        for key, whole in zip((READ_KEY, API_KEY), seen, strict=True):
            for path in ("/calls", "/calls.json", "/calls.csv"):
                text = client.get(path, headers={"X-Api-Key": key, "Accept": "text/html"}).text
                assert ("345-67" in text) == bool(whole), (path, key)
                assert "89" in text
            found = client.get("/calls.json?q=912345", headers={"X-Api-Key": key}).json()["calls"]
            assert len(found) == whole, "digits would be guessed one by one"


def test_a_page_that_has_not_changed_is_not_sent_again(archive: Archive, reader: Browser) -> None:
    """By its ETag, which changes with what it shows."""
    archive.put(call(1))
    tag = reader.get("/calls").headers["etag"]
    assert reader.get("/calls", **{"If-None-Match": tag}).status_code == 304
    archive.put(call(2))
    assert reader.get("/calls", **{"If-None-Match": tag}).status_code == 200


def test_without_the_archive_pages_say_so(make_settings: Callable[..., Settings]) -> None:
    """503 with what to look after, and everything else goes on."""
    with running(make_settings(database_url="postgresql://nobody@127.0.0.1:9/none")) as client:
        browser = Browser(client, API_KEY)
        page = browser.get("/calls")
        assert page.status_code == 503
        assert "archive" in page.text
        assert browser.get("/jobs").status_code == 200
