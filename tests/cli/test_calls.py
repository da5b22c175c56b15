"""`callscribe calls`: the archive from a shell."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from pipeline.archive.archive import Archive
from pipeline.archive.calls import Verdict
from pipeline.domain.job import JobId
from tests.archive.test_archive import NOW, call
from tests.cli.conftest import Run


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """Three calls in the archive of DATA_DIR, the second of which a spreadsheet would compute."""
    monkeypatch.setenv("CALLSCRIBE_DATA_DIR", str(tmp_path))
    archive = Archive.open(f"sqlite:///{tmp_path / 'archive.sqlite'}")
    archive.put(call(1))
    archive.put(call(2, client="=HYPERLINK(1)", reason="a\x1b[31m b\nc", band="low", score=20))
    archive.put(call(3, phone="+7 900 000-00-00", manager="Bob", manager_id="8"))
    return archive


def test_calls_are_found_as_in_the_console(run: Run, archive: Archive) -> None:
    """By words, phone, manager, band and day; the newest first."""
    ids = [call(number).id for number in (3, 2, 1)]
    assert [row["id"] for row in json.loads(run("calls", "list", "--json").out)["calls"]] == ids
    for asked, found in {
        ("-q", "345 67"): ids[1:], ("--manager", "Bob"): ids[:1], ("--band", "low"): ids[1:2],
        ("--from", "2026-01-01"): ids, ("--from", "2030-01-01"): [], ("--limit", "1"): ids[:1],
    }.items():  # fmt: skip
        listed = json.loads(run("calls", "list", "--json", *asked).out)["calls"]
        assert [row["id"] for row in listed] == found, asked
    assert ids[0] in run("calls", "list").out
    assert run("calls", "list", "--from", "yesterday").code == 2


def test_csv_holds_no_formula_and_no_escape(run: Run, archive: Archive) -> None:
    """One line a call, whatever stands in it."""
    rows = list(csv.DictReader(io.StringIO(run("calls", "export").out)))
    assert [row["id"] for row in rows] == [call(number).id for number in (3, 2, 1)]
    assert rows[1]["client"] == "'=HYPERLINK(1)"
    assert rows[0]["phone"] == "'+7 900 000-00-00"
    assert rows[1]["reason"] == "a[31m b c"


def test_a_call_is_shown_and_exported_whole(run: Run, archive: Archive) -> None:
    """With its words, its criteria and what people said; a line of JSON each."""
    archive.judge(call(1).id, Verdict(at=NOW, who="Olga", why="no", score=3, band="low"))
    shown = run("calls", "show", call(1).id).out
    assert "low (3/100, by the machine 75)" in shown
    assert call(1).segments[0].text in shown
    documents = [json.loads(line) for line in run("calls", "export", "--format", "json").out.splitlines()]
    one = documents[-1]
    assert one == json.loads(run("calls", "show", call(1).id, "--json").out)
    assert one["segments"][0]["text"] == call(1).segments[0].text
    assert [(said["who"], said["score"]) for said in one["verdicts"]] == [("Olga", 3)]
    assert run("calls", "show", "job_nobody").code == 1


def test_phones_that_nobody_may_see_are_masked(
    run: Run, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in exports."""
    monkeypatch.setenv("CALLSCRIBE_PHONES_FOR", "nobody")
    rows = json.loads(run("calls", "list", "--json").out)["calls"]
    assert rows[0]["phone"] == "+7 ••• •••-••-00"


def test_calls_are_erased_by_phone(
    run: Run, archive: Archive, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of that phone, by whatever prefix it is written with; who did it stays."""
    monkeypatch.setenv("CALLSCRIBE_REDIS_URL", valkey)
    done = run("calls", "erase", "--phone", "8 (900) 000 00 00", "--yes")
    assert (done.code, done.out) == (0, "1 calls are erased\n")
    assert [row.id for row in archive.calls().calls] == [call(2).id, call(1).id]
    (entry,) = archive.audited(call(3).id)[0]
    assert entry.who.endswith("at the shell")
    assert run("calls", "erase", "--phone", "8 (900) 000 00 00", "--yes").code == 1
    assert run("calls", "erase").code == 2
    assert run("calls", "erase", JobId("job_nobody"), "--yes").code == 1


def test_a_folder_without_an_archive_stays_without(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look from the wrong folder says so, and makes nothing."""
    monkeypatch.setenv("CALLSCRIBE_DATA_DIR", str(tmp_path / "nowhere"))
    found = run("calls", "list")
    assert (found.code, "there is no archive in" in found.err) == (3, True)
    assert not (tmp_path / "nowhere").exists()
