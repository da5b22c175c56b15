"""A store that has gone back says so."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pipeline.domain.job import PortalId
from pipeline.store import Store
from pipeline.store.watermark import Mark, keep_mark, read_mark
from tests.store.jobs import a_job, accept, claim


def test_a_store_that_goes_on_is_not_accused(store: Store) -> None:
    """Many claim at once, and their answers come in any order."""
    store.limit("media", {PortalId("acme"): 1000})
    for number in range(200):
        accept(store, a_job(store, number), limit=1000)

    def work() -> None:
        while store.claim("media", "node:t", lease_seconds=30):
            store.tick()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.unsettled_since() is None


@pytest.mark.parametrize("by", ["tick", "claim"])
def test_a_number_that_comes_twice_shows_that_the_store_went_back(store: Store, by: str) -> None:
    """Seen by the next look or claim; numbers that were given are not given again."""
    for number in range(3):
        accept(store, a_job(store, number))
    store.tick()
    for _ in range(2):
        before = int(claim(store).fence)
    store._redis.set("cs:fence", 1)  # as a replica that lagged has it
    if by == "tick":
        store.tick()
    else:
        claim(store)
    assert store.unsettled_since() is not None
    accept(store, a_job(store, 9))
    assert int(claim(store).fence) > before
    store._redis.delete("cs:back")
    store.tick()
    assert store.unsettled_since() is None  # it is said once, not at each look


def test_what_a_process_saw_is_known_to_the_next(store: Store, valkey: str, tmp_path: Path) -> None:
    """The mark outlives it in DATA_DIR: a copy of before, or another store, is told from the one that was."""
    store.tick()
    keep_mark(tmp_path, store.watermark.mark)
    kept = read_mark(tmp_path)
    assert kept.epoch
    assert kept == store.watermark.mark
    same, older, other = (Store(valkey) for _ in range(3))
    same.watermark.expect(kept)
    same.tick()
    assert same.unsettled_since() is None
    older.watermark.expect(Mark(epoch=kept.epoch, number=kept.number + 1000))
    older.tick()
    assert older.unsettled_since() is not None
    older._redis.delete("cs:back")
    other.watermark.expect(Mark(epoch="another", number=1))
    other.tick()
    assert other.unsettled_since() is not None
    for each in (same, older, other):
        each.close()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"epoch": 1, "number": "x"}'])
def test_a_mark_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    """It accuses nobody."""
    (tmp_path / "store.mark").write_text(text)
    assert read_mark(tmp_path) == Mark()
