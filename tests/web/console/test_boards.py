"""/todo, /team and /quality: figures over many calls, and what is to be done about some."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from pipeline.archive.archive import Archive
from pipeline.archive.calls import WEEK_SECONDS, Gap, Verdict
from pipeline.domain.job import PortalId
from pipeline.scoring.golden import read_cases
from pipeline.settings.installation import Settings
from pipeline.web.console.drawing import trend
from pipeline.web.console.team import SHOWN
from pipeline.web.console.todo import GROUPS
from pipeline.web.console.usage import MOST_PORTALS
from tests.archive.test_archive import call
from tests.web.conftest import TOKEN, Client, audio_request, running
from tests.web.console.conftest import API_KEY, READ_KEY, Browser

NOW = time.time()


PORTAL = "portal"  # the one of the settings of these tests


def said(archive: Archive, number: int, **changes: object) -> None:
    archive.put(call(number, started_at=NOW - 60 * number, **changes))


# -- to do


def test_calls_that_lack_something_are_grouped_by_what_and_why(archive: Archive, reader: Browser) -> None:
    """Each group says how many, shows the newest, and leads to all of them."""
    for number in range(1, 8):
        said(archive, number, gaps=(Gap(kind="unlinked", why="two equal calls"),))
    said(archive, 8, gaps=(Gap(kind="unlinked", why="no deal"), Gap(kind="partial", why="2 s are missing")))
    said(archive, 9)
    page = reader.get("/todo").text
    assert "not linked: two equal calls" in page
    assert "7 calls" in page
    assert page.count("/calls/job_") == 5 + 1 + 1
    assert "Do all again" not in page  # a reader's
    found = reader.get("/calls.json?state=unlinked&why=two+equal+calls").json()
    assert len(found["calls"]) == 7


def test_groups_are_rows_for_machines(archive: Archive, client: Client) -> None:
    """What lacks, why, and how many calls lack it, the most first."""
    said(archive, 1, gaps=(Gap(kind="unscored", why="no chat model"),))
    said(archive, 2, gaps=(Gap(kind="unscored", why="no chat model"),))
    said(archive, 3, gaps=(Gap(kind="failed", why="no speech"),))
    told = client.get("/todo.json", headers={"X-Api-Key": READ_KEY}).json()
    assert told["todo"] == [
        {"lack": "unscored", "why": "no chat model", "calls": 2},
        {"lack": "failed", "why": "no speech", "calls": 1},
    ]


def test_a_group_of_calls_whose_records_are_gone_cannot_be_done_again(
    archive: Archive, operator: Browser
) -> None:
    """The page says so, and the audit log has who tried."""
    said(archive, 1, gaps=(Gap(kind="unscored", why="no chat model"),))
    answer = operator.post("/todo/retry", "/todo", kind="unscored", why="no chat model")
    assert answer.status_code == 303
    assert "Nothing+here+can+be+done+again" in answer.headers["set-cookie"]
    (entry,) = archive.audited()[0]
    assert (entry.who, entry.what) == ("Olga", "retried")


def test_only_operators_do_again(archive: Archive, reviewer: Browser) -> None:
    """A reviewer's form, and one without the page's token, are refused."""
    said(archive, 1, gaps=(Gap(kind="unscored", why=""),))
    assert reviewer.post("/todo/retry", "/calls", kind="unscored", why="").status_code == 403


# -- team


def test_managers_have_their_figures(archive: Archive, reader: Browser, client: Client) -> None:
    """Calls, average score, share of talk and of criteria met, weeks; the page draws the weeks."""
    said(archive, 1, score=80, portal=PORTAL)
    archive.put(call(2, started_at=NOW - WEEK_SECONDS, score=40, portal=PORTAL))
    said(archive, 3, manager_id="8", manager="Boris", score=None, band=None, criteria=())
    told = client.get("/team.json", headers={"X-Api-Key": READ_KEY}).json()["team"]
    assert [(row["manager"], row["calls"], row["score"]) for row in told] == [
        ("Анна Петрова", 2, 60.0),
        ("Boris", 1, None),
    ]
    assert told[0]["talk_share"] == pytest.approx(20.5 / 50.75, abs=0.001)
    assert told[0]["met"] == {"budget": 1.0, "time": 0.0}
    assert [week["score"] for week in told[0]["weeks"]] == [40.0, 80.0]
    page = reader.get("/team").text
    assert page.count("<circle") == 2
    assert "40 %" in page  # of the talk
    assert "manager=7&amp;from=" in page


def test_the_share_of_talk_is_the_managers(archive: Archive, make_settings: Callable[..., Settings]) -> None:
    """The manager's seconds stand first, however the channels lie; where nobody knows, none is told."""
    for channels, share in (("client,manager", 20.5 / 50.75), ("", None)):
        with running(make_settings(read_key=READ_KEY, channels=channels)) as other:
            other.app.state.service.tools.archive.put(call(1, started_at=NOW, portal=PORTAL))
            (row,) = other.get("/team.json", headers={"X-Api-Key": READ_KEY}).json()["team"]
            assert row["talk_share"] == (None if share is None else pytest.approx(share, abs=0.001))


def test_a_time_without_calls_says_so(archive: Archive, reader: Browser) -> None:
    """And a time that is none is refused with the field's name."""
    archive.put(call(1, started_at=NOW - 20 * 86_400))
    assert "No calls in this time." in reader.get("/team?days=7").text
    assert "Анна" in reader.get("/team?days=30").text
    refused = reader.get("/team?days=many")
    assert refused.status_code == 400
    assert "days" in refused.text


def test_a_week_without_a_score_breaks_the_line() -> None:
    """Points that are not neighbours are not joined, and what has no value is no point."""
    weeks = [0.0, 1.0, 2.0, 4.0, 5.0]
    drawn = trend([(at * WEEK_SECONDS, 50.0 if at != 1.0 else None, 3) for at in weeks])
    assert len(drawn.dots) == 4
    assert len(drawn.lines) == 1
    assert drawn.lines[0].count(",") == 2
    assert trend([]).dots == ()


# -- quality


def test_people_are_compared_with_the_machine(archive: Archive, reader: Browser, client: Client) -> None:
    """Agreement on the score's band and on each criterion; too few are said to be too few."""
    for number in range(1, 4):
        said(archive, number)
        archive.judge(
            call(number).id, Verdict(at=NOW, who="Olga", why="no budget", score=20 + number, band="low")
        )
        archive.judge(call(number).id, Verdict(at=NOW, who="Olga", why="heard", criterion="budget", met=True))
    told = client.get("/quality.json", headers={"X-Api-Key": READ_KEY}).json()["agreement"]
    assert [(row["name"], row["pairs"], row["agreed"]) for row in told] == [
        (None, 3, 0.0),
        ("budget", 3, 1.0),
    ]
    page = reader.get("/quality").text
    assert page.count("Too few to rely on.") == 2
    assert "Judged calls" in page


def test_judged_calls_are_a_golden_set(archive: Archive, reader: Browser, tmp_path: Path) -> None:
    """The chosen ones are a file that `callscribe golden --cases` reads, with what people said."""
    for number in (1, 2):
        said(archive, number)
        archive.judge(call(number).id, Verdict(at=NOW, who="Olga", why="no budget", score=20, band="low"))
    said(archive, 3)  # nobody judged it
    answer = reader.get(f"/quality/golden.json?call={call(1).id}&call={call(3).id}")
    path = tmp_path / "golden.json"
    path.write_bytes(answer.content)
    (case,) = read_cases(path)
    assert (case.name, case.expected, case.why) == (call(1).id, "low", "no budget")
    assert [segment.speaker for segment in case.transcript.segments] == ["manager", "client"]
    assert len(json.loads(reader.get("/quality/golden.json").content)["cases"]) == 2


# -- try


def test_an_uploaded_recording_becomes_a_call(client: Client, operator: Browser) -> None:
    """The form is taken with the page's token, and leads to the call's page; empty fields say nothing."""
    answer = tried(client, operator, token_of(operator), language="", entity_type="", entity_id="")
    assert answer.status_code == 303, answer.text
    (job,) = operator.get("/jobs.json").json()["jobs"]
    assert answer.headers["location"] == f"/calls/{job['id']}"
    assert operator.get(answer.headers["location"]).status_code == 200


def test_an_upload_without_the_pages_token_keeps_nothing(
    client: Client, operator: Browser, settings: Settings
) -> None:
    """No job, and no recording on the storage."""
    assert tried(client, operator, "another").status_code == 403
    assert operator.get("/jobs.json").json()["jobs"] == []
    assert [path for path in (settings.data_dir / "audio").rglob("*") if path.is_file()] == []


def test_a_wrong_field_of_an_upload_is_named(client: Client, operator: Browser) -> None:
    """And a person reads it on a page."""
    refused = tried(client, operator, token_of(operator), language="Klingonish")
    assert refused.status_code == 400
    assert "language: expected" in refused.text


def test_only_operators_may_try(reviewer: Browser) -> None:
    """It costs money."""
    assert reviewer.get("/try").status_code == 403
    assert '"/try"' not in reviewer.get("/calls").text


def token_of(browser: Browser) -> str:
    return browser.get("/try").text.partition('name="token" value="')[2].partition('"')[0]


def tried(client: Client, browser: Browser, token: str, **fields: str) -> httpx.Response:
    recording = {"file": ("call", b"RIFF....WAVE", "application/octet-stream")}
    return client.post("/try", data={"token": token, **fields}, files=recording, headers=browser.headers)


def test_boards_of_hundreds_show_the_first_and_their_files_all(archive: Archive, operator: Browser) -> None:
    """A page says where it ends; machines get every manager, and every reason."""
    many = max(GROUPS, SHOWN) + 5
    for number in range(many):
        why = (Gap(kind="unlinked", why=f"reason {number}"),)
        said(archive, number, manager_id=str(number), manager=f"Manager {number}", gaps=why)
    for path, shown, mark in (("/team", SHOWN, "member"), ("/todo", GROUPS, "card group")):
        page = operator.get(path).text
        assert page.count(f'class="{mark}"') + page.count(f'class="card {mark}"') == shown
        assert f"The first {shown} are shown" in page
        assert len(operator.get(f"{path}.json").json()[path[1:]]) == many


# -- usage


def test_what_a_portal_used_is_told_by_model_and_day(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """With its cost where prices are set, and today's share of the cap."""
    prices = tmp_path / "prices.toml"
    prices.write_text('["whisper-1"]\nminute = 0.6\n')
    settings = make_settings(prices_file=prices, daily_paid_seconds=1000)
    with running(settings) as client:
        client.app.state.service.tools.store.usage.add(
            PortalId("portal"), {"paid_seconds": 300.0, "paid_calls": 2}, model="whisper-1"
        )
        operator = Browser(client, API_KEY)
        page = operator.get("/usage").text
        assert "Today: 300 of 1,000 paid seconds" in page
        assert page.count("<rect") == 1
        one, whole = operator.get("/usage.json").json()["usage"]
        assert (one["model"], one["paid_seconds"], one["cost"]) == ("whisper-1", 300.0, 3.0)
        assert (whole["model"], whole["cost"]) == ("all", 3.0)
        assert operator.get("/usage?portal=other").status_code == 400


def test_costs_are_not_told_without_prices(operator: Browser) -> None:
    """And the page says which setting would."""
    page = operator.get("/usage").text
    assert "CALLSCRIBE_PRICES_FILE" in page
    assert operator.get("/usage.json").json()["usage"][0]["cost"] is None


def test_usage_of_many_portals_is_told_whole(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    """A page shows the first ones and says so; JSON goes on by its cursor, CSV to the last of them."""
    names = [f"p{number:02}" for number in range(2 * MOST_PORTALS + 5)]
    path = tmp_path / "portals.toml"
    tables = [f'[{name}]\ntokens = ["{name}{"t" * 24}"]\nurl = "https://{name}.example"' for name in names]
    path.write_text("\n".join(tables))
    with running(make_settings(portal_url=None, portal_token=None, portals_file=path)) as client:
        operator = Browser(client, API_KEY)
        assert f"The first {MOST_PORTALS} portals" in operator.get("/usage").text
        told, cursor = [], ""
        while cursor is not None:
            answer = operator.get(f"/usage.json?cursor={cursor}").json()
            told += [row["portal"] for row in answer["usage"]]
            cursor = answer["next"]
        assert told == names
        assert operator.get("/usage.csv").text.count("\n") == len(names) + 1
        assert [row["portal"] for row in operator.get("/usage.json?portal=p07").json()["usage"]] == ["p07"]


# -- health


def test_the_board_tells_how_work_stands(operator: Browser, client: Client) -> None:
    """Who lives and who is missing, and by and by what the checks find, each with its mend."""
    page = operator.get("/health-board").text
    assert "Start what is missing" in page  # no worker runs in these tests
    for _ in range(200):
        told = operator.get("/health-board.json").json()["checks"]
        if any(row["name"] == "media libraries" for row in told):
            break
        time.sleep(0.1)
    named = {row["name"]: row for row in told}
    assert named["processes"]["state"] == "failed"
    assert named["media libraries"]["state"] == "ok"
    assert named["store"]["state"] in ("ok", "failed")
    failed = [row for row in told if row["state"] == "failed"]
    assert all(row["hint"] for row in failed), failed
    page = operator.get("/health-board").text
    assert "Being checked" not in page
    assert "PyAV and libmagic read a recording" in page


def test_the_nearest_deadline_leads_to_its_job(operator: Browser, client: Client) -> None:
    """With the portal, and the time that is left."""
    accepted = client.post(f"/engines/{TOKEN}/audio", json=audio_request())
    assert accepted.status_code == 202
    (job,) = operator.get("/jobs.json").json()["jobs"]
    page = operator.get("/health-board").text
    assert f'href="/jobs/{job["id"]}"' in page
    assert "left" in page
    assert '<td class="number">1</td>' in page


def test_readers_see_no_board_of_operators(reader: Browser) -> None:
    """Health, usage and the audit log are not theirs."""
    assert {reader.get(path).status_code for path in ("/health-board", "/usage", "/usage.csv")} == {403}
