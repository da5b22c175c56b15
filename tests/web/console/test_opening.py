"""The archive's libraries and its opening cost intake nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
import structlog

from pipeline.archive.archive import Archive
from pipeline.settings.installation import Settings
from pipeline.steps.tools import Tools
from pipeline.web import app
from pipeline.web.console import view
from pipeline.web.console.pages import PAGES
from pipeline.web.console.view import environment, warm
from pipeline.web.service import Service
from tests.archive.test_archive import call
from tests.web.conftest import running
from tests.web.console.conftest import Browser


def test_the_api_starts_without_the_archives_libraries() -> None:
    """They take a third of its start, and are loaded once it serves."""
    told = "import sys, pipeline.web.app; print(sorted({'sqlalchemy', 'alembic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_archive_is_opened_beside_the_loop(
    archive: Archive, operator: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening and bringing it up to date takes a second, in which portals' requests have to be answered."""
    archive.put(call(1))
    asked: list[bool] = []

    def opened(tools: Tools) -> Archive:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asked.append(False)
        else:
            asked.append(True)
        return archive

    monkeypatch.setattr(Tools, "archive", property(opened))
    for page in PAGES:
        if page.method == "GET":
            operator.get(page.path.format(id=call(1).id, format="txt"))
    operator.post("/todo/retry", "/jobs", kind="partial", why="")
    assert len(asked) > 8
    assert not any(asked)


def test_what_the_first_page_takes_is_loaded_soon_after_the_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that is opened then waits for no library, no migration and no template."""
    done = threading.Event()

    def warmed(service: Service) -> None:
        warm(service)
        done.set()

    monkeypatch.setattr(app, "WARM_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(view, "warm", warmed)
    with running(settings) as client:
        assert done.wait(30)
        assert "_archive" in vars(client.app.state.service.tools)
        kept = environment().cache
        assert kept is not None
        assert len(kept) >= len(environment().list_templates())


def test_loading_ahead_harms_nothing_where_the_archive_is_away(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, ends, and whoever asks for calls is told."""
    with running(make_settings(database_url="postgresql://nobody@127.0.0.1:9/none")) as client:
        with structlog.testing.capture_logs() as logs:
            warm(client.app.state.service)
        assert [each["event"] for each in logs] == ["archive_not_warmed"]
        assert client.get("/ready").status_code == 200
