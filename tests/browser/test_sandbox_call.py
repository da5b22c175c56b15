"""The sandbox's call, through the whole service, as a supervisor sees it; README's picture is made of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from pipeline.cli.rehearsal import Rehearsal, rehearse
from tests.browser.conftest import SIZES
from tests.system.processes import until

PICTURES = Path(__file__).parents[2] / "docs" / "img"


def archived(whole: Rehearsal, *, seconds: float = 120) -> dict[str, Any]:
    """The one call, once it is archived with its deal and a copy to be heard."""

    def looked() -> dict[str, Any] | None:
        whole.look()
        found = whole.api.get("/calls.json").json()["calls"]
        if not (found and found[0]["entity"]["id"]):
            return None
        heard = whole.api.get(f"/calls/{found[0]['id']}/audio", headers={"Range": "bytes=0-1"})
        return dict(found[0]) if heard.status_code == 206 else None

    call = until(looked, seconds=seconds, tell=whole.last_words)
    assert call
    return call


@pytest.mark.timeout(240)
def test_the_sandboxs_call_is_seen_and_heard(chromium: Browser, tmp_path: Path) -> None:
    """From the portal's request to the page: who spoke, the deal, lanes, criteria, and a quote that plays.

    With CALLSCRIBE_PICTURES set the pictures of the README are made anew.
    """
    pictures = PICTURES if os.environ.get("CALLSCRIBE_PICTURES") else tmp_path
    with rehearse(rubric="default") as whole:
        whole.register()
        assert whole.send("sales-call")["accepted"]
        call = archived(whole)
        complaints: list[str] = []
        for name, size in SIZES.items():
            context = chromium.new_context(
                viewport=size, base_url=whole.api_url, locale="en-GB", timezone_id="Europe/Berlin"
            )
            page = context.new_page()
            page.goto("/")
            page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.fill("input[name=key]", whole.api_key)
            page.fill("input[name=name]", "Olga")
            page.press("input[name=name]", "Enter")
            page.locator(".calls .open").first.click()
            expect(page.locator("h1")).to_contain_text("Robert Miller")
            expect(page.locator(".wave path")).to_have_count(2)
            expect(page.locator(".headline .chip.high")).to_have_count(1)
            quotes = page.locator("button.quote")
            assert quotes.count() >= 3
            page.screenshot(path=pictures / f"call-{name}.png")
            quotes.first.click()
            expect(page.locator(".turns .now")).to_have_count(1, timeout=10_000)
            length = page.evaluate("() => document.querySelector('audio').duration")
            assert abs(length - call["seconds"]) < 0.5
            page.get_by_role("link", name="What happened").click()
            expect(page.locator(".steps .step").first).to_have_text("accept")
            context.close()
        assert complaints == []
        heard = whole.api.get("/audit.json").json()["audit"]
        assert {(entry["who"], entry["what"]) for entry in heard} >= {("Olga", "listened")}
