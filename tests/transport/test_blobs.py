"""Audio on the file system: whole or not at all, under its key and nowhere else."""

from __future__ import annotations

import stat
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.errors import BadRequest, SettingsError, StoreUnavailable
from pipeline.storage.blobs import BlobMissing, Blobs


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs.open((tmp_path / "my audio").as_uri())


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_put_and_get(blobs: Blobs, tmp_path: Path) -> None:
    """What was put is what is got, from the same place without copying; putting again replaces it."""
    source = write(tmp_path / "a", b"one")
    for data in (b"one", b"one", b"two, longer"):
        source = write(tmp_path / data.decode(), data)
        blobs.put("job_1/recording", source)
        assert source.read_bytes() == data
        with blobs.get("job_1/recording") as path:
            assert path.read_bytes() == data
    with blobs.get("job_1/recording") as again:
        assert again == path
    assert blobs.exists("job_1/recording")


def test_blobs_are_private(blobs: Blobs, tmp_path: Path) -> None:
    """Recordings are personal data: no other user of the machine may read or list them."""
    source = write(tmp_path / "a", b"one")
    source.chmod(0o644)
    blobs.put("job_1/recording", source)
    with blobs.get("job_1/recording") as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700


def test_put_works_over_file_systems(blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file cannot be linked it is copied, and no temporary file stays."""

    def refuse(*_: object) -> None:
        raise OSError("cross-device link")

    monkeypatch.setattr("os.link", refuse)
    blobs.put("job_1/recording", write(tmp_path / "a", b"one"))
    with blobs.get("job_1/recording") as path:
        assert path.read_bytes() == b"one"
        assert list(path.parent.iterdir()) == [path]


def test_a_missing_source_harms_nothing(blobs: Blobs, tmp_path: Path) -> None:
    """A put that fails leaves the blob as it was, and nothing beside it."""
    blobs.put("job_1/recording", write(tmp_path / "a", b"one"))
    with pytest.raises(StoreUnavailable):
        blobs.put("job_1/recording", tmp_path / "missing")
    with blobs.get("job_1/recording") as path:
        assert path.read_bytes() == b"one"
        assert list(path.parent.iterdir()) == [path]


def test_a_missing_blob_is_named(blobs: Blobs) -> None:
    """Asking for what is not there says which key, and is a failure of the storage."""
    assert not blobs.exists("job_1/recording")
    with pytest.raises(BlobMissing, match="job_1/recording"), blobs.get("job_1/recording"):
        pass


def test_delete_takes_a_job_and_no_other(blobs: Blobs, tmp_path: Path) -> None:
    """A prefix is a whole part of the path: job_1 is not job_10; deleting twice is fine."""
    source = write(tmp_path / "a", b"one")
    for key in ("job_1/recording", "job_1/chunks/000.flac", "job_10/recording", "job_2"):
        blobs.put(key, source)
    for _ in range(2):
        blobs.delete_prefix("job_1/")
        blobs.delete_prefix("job_2")
    assert [blobs.exists(key) for key in ("job_1/recording", "job_1/chunks/000.flac", "job_2")] == [False] * 3
    assert blobs.exists("job_10/recording")


def test_deletes_may_race(blobs: Blobs, tmp_path: Path) -> None:
    """Two workers that delete the same job at once both succeed."""
    source = write(tmp_path / "a", b"one")
    for number in range(200):
        blobs.put(f"job_1/chunk-{number:03d}", source)
    failures: list[BaseException] = []

    def delete() -> None:
        try:
            blobs.delete_prefix("job_1")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=delete) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert not blobs.exists("job_1/chunk-000")


BAD_KEYS = [
    "", "/", "/etc/passwd", "..", "../x", "job_1/../../x", "job_1/..", "./x", "job_1//x", "job_1/", "a\\b",
    "a b", "a\x00b", "a\n", ".hidden", "job_1/.x", "~", "запись", "a" * 201,
]  # fmt: skip


@pytest.mark.parametrize("key", BAD_KEYS)
def test_keys_cannot_escape(blobs: Blobs, tmp_path: Path, key: str) -> None:
    """What is no plain key is refused by every method."""
    source = write(tmp_path / "a", b"one")
    with pytest.raises(BadRequest):
        blobs.put(key, source)
    with pytest.raises(BadRequest), blobs.get(key):
        pass
    with pytest.raises(BadRequest):
        blobs.exists(key)
    if not key.endswith("/") or key == "/":
        with pytest.raises(BadRequest):
            blobs.delete_prefix(key)


@given(st.text(alphabet="ab./\\~_-\x00", max_size=12))
def test_no_key_leaves_the_root(key: str) -> None:
    """Whatever the text: it is refused, or names a path below the root."""
    blobs = Blobs.open("file:///nowhere/at-all")
    try:
        blobs.exists(key)
    except BadRequest:
        return
    assert Path("/nowhere/at-all", key).resolve().is_relative_to("/nowhere/at-all")


def test_usable_tells_the_truth(tmp_path: Path) -> None:
    """A directory that can be made and written is usable, leaving nothing in it; one below a file is not."""
    blobs = Blobs.open((tmp_path / "new" / "audio").as_uri())
    blobs.usable()
    assert list((tmp_path / "new" / "audio").iterdir()) == []
    write(tmp_path / "file", b"")
    with pytest.raises(StoreUnavailable):
        Blobs.open((tmp_path / "file" / "audio").as_uri()).usable()


@pytest.mark.parametrize("url", ["", "/var/audio", "file://host/x", "file:x", "file://", "s3:", "s3:///x"])
def test_urls_that_name_no_storage(url: str) -> None:
    """The setting is named, and what was expected."""
    with pytest.raises(SettingsError, match="CALLSCRIBE_STORAGE_URL"):
        Blobs.open(url)


def test_object_stores_are_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, s3:// says what to install."""
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(SettingsError, match=r"callscribe\[s3\]"):
        Blobs.open("s3://bucket/prefix")
