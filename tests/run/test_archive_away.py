"""A database that is away, full or read-only: calls go on, and are archived once it is well."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import event

from pipeline.archive.database import ArchiveUnavailable
from pipeline.domain.job import Entity, Job, JobId, Request, Source
from pipeline.sandbox.app import Sandbox
from pipeline.steps import archive_steps, flow
from pipeline.steps.tools import Tools
from tests.archive.conftest import served, start, stop
from tests.archive.test_archive import call as a_call
from tests.installation import Open, accept, recording, run

DEAL = Entity(type="deal", id=42)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """Pauses in hundredths."""
    monkeypatch.setattr(archive_steps, "LONGEST_PAUSE_SECONDS", 0.05)
    sandbox.crm.add_entity("deal", 42)


@pytest.fixture
def home(short_path: Path) -> Iterator[Path]:
    """The folder of a running PostgreSQL."""
    with served(short_path):
        yield short_path


def call(tools: Tools, sandbox: Sandbox, key: str) -> JobId:
    """A call of deal 42."""
    link = sandbox.crm.link(sandbox.base_url, recording(sandbox))
    return accept(tools, Request(file_url=link, language="en", entity=DEAL), Source.API, key)


def over(job: Job) -> bool:
    """Whether nothing of it is left to do."""
    return flow.advance(job, time.time()).closed


def written(job: Job) -> bool:
    """Whether its deal has its entry."""
    return flow.timeline(job).state == "written"


def test_postgresql_stops_in_the_middle(opened: Open, sandbox: Sandbox, home: Path) -> None:
    """What ends while it is down is answered and written to its deal, and archived when it is up again."""
    tools = opened(archive_days=365, database_url=f"postgresql://callscribe@/postgres?host={home}")
    (first,) = run(tools, call(tools, sandbox, "first"), until=over)
    stop(home)
    try:
        (second,) = run(tools, call(tools, sandbox, "second"), until=written)
        assert second.status == "done"
        assert not over(second)
    finally:
        start(home)
    tools.store.breakers.passed(archive_steps.BREAKER)
    run(tools, second.id, until=over)
    assert {row.id for row in tools.archive.calls().calls} == {first.id, second.id}


def no_larger(connection: sqlite3.Connection, _: object) -> None:
    """The file may have no page more than it has."""
    connection.execute("PRAGMA max_page_count = 1").fetchall()


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_disk_that_is_full_or_read_only_costs_no_call(
    opened: Open, sandbox: Sandbox, tmp_path: Path, fault: str
) -> None:
    """SQLite's own refusals are waited out as well."""
    place, well = tmp_path / "archive.sqlite", opened(archive_days=365)
    assert well.archive.count() == 0
    if fault == "full":
        tools = opened(archive_days=365)
        event.listen(tools.archive.database.engine, "connect", no_larger)
        for less in ({}, {"segments": (), "levels": (), "criteria": ()}):  # to the last page
            with suppress(ArchiveUnavailable):
                for number in range(10_000, 12_000):
                    tools.archive.put(a_call(number + 5_000 * bool(less), **less))
    else:
        tools = opened(archive_days=365, database_url=f"sqlite:///file:{place}?mode=ro&uri=true")
    (job,) = run(tools, call(tools, sandbox, fault), until=written)
    with pytest.raises(ArchiveUnavailable, match="full" if fault == "full" else "readonly"):
        tools.archive.put(archive_steps.call_of(job, None, {}))
    assert not over(job)
    well.store.breakers.passed(archive_steps.BREAKER)
    run(well, job.id, until=over)
    assert well.archive.call(job.id) is not None
