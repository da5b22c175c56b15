"""The archive's libraries and its opening cost intake nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from pipeline.archive.archive import Archive
from pipeline.steps.tools import Tools
from pipeline.web.console.pages import PAGES
from tests.archive.test_archive import call
from tests.web.console.conftest import Browser


def test_the_api_starts_without_the_archives_libraries() -> None:
    """They take a third of its start, and are loaded by the first page that shows a call."""
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
