"""The console in a real browser: a system's Chromium, at a phone's and a desk's width; `make browser`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from sqlalchemy import update

from pipeline.archive.archive import Archive
from pipeline.archive.schema import calls
from pipeline.domain.job import JobId
from pipeline.domain.transcript import Segment
from pipeline.settings.installation import Settings
from pipeline.storage.blobs import Blobs
from pipeline.store import Store
from tests.web.conftest import API_KEY, PORTAL, TOKEN
from tests.web.console.conftest import READ_KEY, REVIEW_KEY
from tests.web.test_live import serving

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZES = {"phone": {"width": 390, "height": 844}, "desk": {"width": 1280, "height": 900}}
KEYS = {"read": READ_KEY, "review": REVIEW_KEY, "operate": API_KEY}
FIXTURES = Path(__file__).parents[2] / "fixtures" / "audio"
RECORDING = "russian-call"  # mp3, as browsers play it


def found_chromium() -> str:
    """The system's Chromium, or CALLSCRIBE_CHROMIUM."""
    named = os.environ.get("CALLSCRIBE_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        raise pytest.UsageError(
            "These tests take a Chromium, and none is here (" + ", ".join(NAMES) + "). Debian: "
            "apt-get install chromium; macOS: brew install --cask chromium; or name it by CALLSCRIBE_CHROMIUM"
        )
    return found


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser, for all tests of the run."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found_chromium(), args=FLAGS)
        yield browser
        browser.close()


@dataclass(kw_only=True)
class Console:
    """A running console and what it shows."""

    address: str
    archive: Archive
    blobs: Blobs

    def keep(self, call: JobId, recording: Path) -> None:
        """Keeps a copy of the call's recording, as the step of the flow does."""
        key = f"{call}/recording.mp3"
        self.blobs.put(key, recording)
        with self.archive.database.writing() as connection:
            connection.execute(update(calls).where(calls.c.id == call).values(audio=key))


@pytest.fixture
def console(valkey: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Console]:
    """An empty console with a key for each role."""
    monkeypatch.chdir(tmp_path)
    settings = Settings(
        redis_url=valkey,
        data_dir=tmp_path / "var",
        portal_url=PORTAL,
        portal_token=TOKEN,
        api_key=API_KEY,
        review_key=REVIEW_KEY,
        read_key=READ_KEY,
    )
    archive = Archive.open(settings.archive_url)
    with serving(settings) as port:
        yield Console(address=f"http://127.0.0.1:{port}", archive=archive, blobs=Blobs.open(settings.storage))
    archive.close()


@dataclass(kw_only=True)
class Visitor:
    """Somebody at the console; what her browser complains of, or asks of others, fails the test."""

    page: Page
    console: Console
    complaints: list[str]

    def sign_in(self, role: str, *, name: str = "Olga") -> None:
        """By the form, as a person does."""
        self.page.goto("/")
        self.complaints.clear()  # a browser takes the form's 401 for one
        self.page.fill("input[name=key]", KEYS[role])
        self.page.fill("input[name=name]", name)
        self.page.press("input[name=name]", "Enter")
        self.page.wait_for_selector("nav")

    def accessible(self) -> None:
        """axe finds nothing, and the page is not wider than the screen."""
        violations = Axe().run(self.page).response["violations"]
        told = [
            f"{found['id']}: {found['help']}: {node['html'][:200]} {node.get('failureSummary', '')}"
            for found in violations
            for node in found["nodes"][:3]
        ]
        assert told == [], self.page.url
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert self.page.evaluate(wide) <= 0, f"{self.page.url} is wider than the screen"


Visit = Callable[..., Visitor]


@pytest.fixture(params=list(SIZES))
def size(request: pytest.FixtureRequest) -> str:
    """A phone's width and a desk's."""
    return str(request.param)


@pytest.fixture
def visit(chromium: Browser, console: Console, size: str) -> Iterator[Visit]:
    """Opens a browser of somebody's own: visit(locale="ru-RU", scheme="dark")."""
    opened: list[tuple[BrowserContext, Visitor]] = []

    def come(*, locale: str = "en-GB", scheme: Any = "light", zone: str = "Europe/Moscow") -> Visitor:
        context = chromium.new_context(
            viewport=SIZES[size],
            locale=locale,
            timezone_id=zone,
            color_scheme=scheme,
            base_url=console.address,
            has_touch=size == "phone",
        )
        page = context.new_page()
        visitor = Visitor(page=page, console=console, complaints=[])
        page.on(
            "console", lambda told: visitor.complaints.append(told.text) if told.type == "error" else None
        )
        page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (visitor.complaints.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda asked: foreign(asked.url, visitor))
        opened.append((context, visitor))
        return visitor

    def foreign(url: str, visitor: Visitor) -> None:
        if urlsplit(url).netloc != urlsplit(console.address).netloc and not url.startswith(
            ("data:", "blob:")
        ):
            visitor.complaints.append(f"asks {url}")

    yield come
    for context, visitor in opened:
        context.close()
        assert visitor.complaints == []


def script_of(recording: str) -> tuple[float, tuple[Segment, ...]]:
    """How long a fixture is, and what is said in it."""
    told = json.loads((FIXTURES / "MANIFEST.json").read_text(encoding="utf-8"))[recording]
    return told["seconds"], tuple(
        Segment(start=line["start"], end=line["end"], speaker=line["speaker"], text=line["text"])
        for line in told["script"]
    )


@pytest.fixture
def store(valkey: str) -> Iterator[Store]:
    """The store behind the console."""
    opened = Store(valkey)
    yield opened
    opened.close()
