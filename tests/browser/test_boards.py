"""The pages of figures and of what is to be done, in a real browser, at two widths."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from playwright.sync_api import expect

from pipeline.archive.calls import Gap, Verdict
from pipeline.domain.job import JobId
from pipeline.domain.lead import Criterion
from pipeline.run.spending import last_days
from tests.browser.conftest import FIXTURES, RECORDING, Console, Visit
from tests.browser.test_journeys import told

DAY = 86_400
NAMES = ("Анна Петрова", "Boris Miller", "Ольга Константинопольская-Верхневолжская")
RUBRIC = ("budget", "decision maker", "need", "next step", "timeline")


def filled(console: Console) -> None:
    """Eight weeks of three managers, some calls that lack something, some that people judged."""
    now = time.time()
    for number in range(1, 97):
        manager = number % 3
        score = (number * 17 + manager * 25) % 101
        band = "high" if score >= 70 else "medium" if score >= 40 else "low"
        made = told(
            number,
            started_at=now - (number * 14 + 3) * 3600,
            manager_id=str(manager),
            manager=NAMES[manager],
            score=score,
            band=band,
            machine_score=score,
            machine_band=band,
            talk=(10.0 + number % 30, 20.0),
            criteria=tuple(
                Criterion(name=name, met=(number + at * manager) % 3 > 0, weight=20)
                for at, name in enumerate(RUBRIC)
            ),
        )
        if number % 9 == 0:
            made = replace(made, gaps=(Gap(kind="unlinked", why="two equal calls"),))
        if number % 16 == 0:
            made = replace(
                made, score=None, band=None, gaps=(Gap(kind="unscored", why="the chat model did not answer"),)
            )
        console.archive.put(made)
        if number % 4 == 0:
            console.archive.judge(
                JobId(made.id), Verdict(at=now, who="Olga", why="no budget", score=20, band="low")
            )
            for name in RUBRIC:
                console.archive.judge(
                    JobId(made.id),
                    Verdict(at=now, who="Olga", why="heard", criterion=name, met=number % 8 > 0),
                )


def used(valkey: str) -> None:
    """Some days of two models, as they are counted."""
    server = redis.Redis.from_url(valkey)
    for back, day in enumerate(last_days(30)):
        if back % 6:
            counts = {"paid_seconds:whisper-1": 100 * back, "paid_calls:whisper-1": 3, "jobs_done": 3}
            tokens = {"prompt_tokens:gpt": 900, "completion_tokens:gpt": 90, "paid_calls:gpt": 3}
            server.hset(f"cs:usage:portal:{day}", mapping=counts | tokens)
    server.close()


PATHS = ("/todo", "/team", "/team?days=90&order=score", "/quality?days=90", "/usage", "/health-board", "/try")


@pytest.mark.parametrize("path", PATHS)
def test_boards_are_accessible(console: Console, valkey: str, visit: Visit, size: str, path: str) -> None:
    """In light and English, in dark and Russian; nothing is wider than the screen."""
    filled(console)
    used(valkey)
    for locale, scheme in (("en-GB", "light"), ("ru-RU", "dark")):
        visitor = visit(locale=locale, scheme=scheme)
        visitor.sign_in("operate")
        visitor.page.goto(path)
        expect(visitor.page.locator("main").locator("li, td, input[type=file]").first).to_be_visible()
        visitor.accessible()
        if folder := os.environ.get("CALLSCRIBE_SHOTS"):
            name = path.strip("/").partition("?")[0]
            visitor.page.screenshot(path=Path(folder) / f"{name}-{size}-{scheme}.png", full_page=True)


def test_from_a_manager_to_her_calls(console: Console, visit: Visit) -> None:
    """One press on a name leads to that manager's calls of that time."""
    filled(console)
    visitor = visit()
    visitor.sign_in("read")
    visitor.page.goto("/team?days=7")
    visitor.page.get_by_role("link", name="Boris Miller").click()
    expect(visitor.page.locator("#calls li").first).to_contain_text("Boris Miller")
    expect(visitor.page.locator("#calls li", has_text="Анна")).to_have_count(0)


def test_a_golden_set_of_the_chosen_calls(console: Console, visit: Visit) -> None:
    """What is ticked off is left out of the file."""
    filled(console)
    visitor = visit()
    visitor.sign_in("read")
    visitor.page.goto("/quality?days=90")
    boxes = visitor.page.get_by_role("checkbox")
    many = boxes.count()
    boxes.first.uncheck()
    with visitor.page.expect_download() as download:
        visitor.page.get_by_role("button", name="Get the golden set").click()
    cases = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))["cases"]
    assert len(cases) == many - 1


def test_a_recording_of_ones_own(console: Console, visit: Visit) -> None:
    """Chosen, sent, and one is on its call's page, which says that it is under way."""
    visitor = visit()
    visitor.sign_in("operate")
    visitor.page.goto("/try")
    visitor.accessible()
    visitor.page.get_by_label("Recording").set_input_files(FIXTURES / RECORDING)
    visitor.page.get_by_role("button", name="Transcribe and score").click()
    visitor.page.wait_for_url("**/calls/job_*")
    expect(visitor.page.locator("main")).to_contain_text("This page becomes the call's")
    visitor.accessible()
