"""`callscribe backup`: a copy made while others write, that can be started from."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from pipeline.archive.archive import Archive
from pipeline.cli import attached
from pipeline.domain.job import JobId
from pipeline.settings.installation import load
from pipeline.store.watermark import read_mark
from tests.archive.test_archive import call
from tests.cli.conftest import Run
from tests.cli.test_listings import put


@pytest.fixture
def kept(run: Run) -> list[JobId]:
    """Three jobs, an audio file, a key and an archived call in ./var."""
    Path("var/store").mkdir(parents=True, mode=0o700)
    with attached.opened_store(load()) as store:
        made = [put(store, name, {}) for name in ("a", "b", "c")]
    Path("var/audio/job_x").mkdir(parents=True)
    Path("var/audio/job_x/recording").write_bytes(b"sound")
    Path("var/api-key").write_text("key-of-the-api")
    return made


def test_a_copy_can_be_started_from(run: Run, kept: list[JobId]) -> None:
    """Jobs, audio, key are in it; it is counted from the copy itself."""
    done = run("backup", "copy")
    assert done.code == 0, done.err
    assert "store: 3 jobs, counted in the copy" in done.out
    assert "audio: 1 files" in done.out
    shutil.rmtree("var")
    listed = run("jobs", "list", data_dir="copy")
    assert [job for job in kept if job not in listed.out] == []
    assert Path("copy/audio/job_x/recording").read_bytes() == b"sound"
    assert Path("copy/api-key").read_text() == "key-of-the-api"
    assert Path("copy").stat().st_mode & 0o777 == 0o700


def test_the_copy_knows_that_it_is_one(run: Run, kept: list[JobId]) -> None:
    """A service that starts from it sees that the store has gone back, and so looks before it writes."""
    assert run("backup", "copy").code == 0
    with attached.opened_store(load(data_dir=Path("copy"))) as store:
        store.watermark.expect(read_mark(Path("copy")))
        store.tick()
        assert store.unsettled_since()
    with attached.opened_store(load()) as store:
        store.watermark.expect(read_mark(Path("var")))
        store.tick()
        assert not store.unsettled_since()


def test_what_is_written_meanwhile_breaks_no_copy(run: Run, kept: list[JobId]) -> None:
    """While jobs come in and the server writes its file anew, every job of before is in the copy."""
    with attached.opened_store(load()) as store:
        ended = threading.Event()

        def write() -> None:
            number = 0
            while not ended.wait(0.002):
                number += 1
                put(store, f"more-{number % 9}", {})
                if number % 50 == 0:
                    store.disk.rewrite()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            done = run("backup", "copy")
        finally:
            ended.set()
            writer.join()
    assert done.code == 0, done.err
    listed = run("jobs", "list", data_dir="copy").out
    assert [job for job in kept if job not in listed] == []


def test_a_store_of_ones_own_is_copied_by_its_own_means(run: Run, valkey: str) -> None:
    """With REDIS_URL nothing is copied, and a folder that holds something is not written into."""
    assert "CALLSCRIBE_REDIS_URL" in run("backup", "copy", redis_url=valkey).err
    assert not Path("copy").exists()


def test_a_folder_that_holds_something_is_left_alone(run: Run, kept: list[JobId]) -> None:
    """An older copy is never written over."""
    Path("copy").mkdir()
    Path("copy/file").write_text("mine")
    done = run("backup", "copy")
    assert done.code == 2
    assert [path.name for path in Path("copy").iterdir()] == ["file"]


def test_the_archive_is_copied_whole(run: Run, kept: list[JobId]) -> None:
    """Its calls are counted in the copy, which others cannot read."""
    archive = Archive.open(load().archive_url)
    archive.put(call(1))
    archive.close()
    assert "archive: 1 calls, counted in the copy" in run("backup", "copy").out
    assert Path("copy/archive.sqlite").stat().st_mode & 0o777 == 0o600
