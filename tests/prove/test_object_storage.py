"""Audio on a real S3 server: kept, listed, read in parts, removed."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.storage.blobs import BlobMissing, Blobs, StorageFails
from tests.prove.hosts import answering
from tests.prove.test_two_hosts import SERVER
from tests.sandbox.test_portal import wait_until


@pytest.fixture
def blobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Blobs]:
    """A bucket of its own."""
    assert SERVER.exists(), "the S3 server is not installed: `make prove` does it"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {
        "AWS_ACCESS_KEY_ID": "S3RVER",
        "AWS_SECRET_ACCESS_KEY": "S3RVER",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    server = subprocess.Popen(
        [
            SERVER,
            "--directory",
            tmp_path / "s3",
            "--port",
            str(port),
            "--configure-bucket",
            "calls",
            "--silent",
        ],
        env=dict(os.environ),
    )
    try:
        wait_until(lambda: answering("127.0.0.1", port), 60)
        yield Blobs.open("s3://calls/audio")
    finally:
        server.terminate()
        server.wait(10)


def test_a_copy_on_an_object_store_is_read_in_parts(blobs: Blobs, tmp_path: Path) -> None:
    """Whole, by ranges, at its end; its size without reading it; and once it is gone, that it is."""
    content = bytes(range(256)) * 4096
    (tmp_path / "copy").write_bytes(content)
    blobs.put("job_1/copy.mp3", tmp_path / "copy")
    assert blobs.size("job_1/copy.mp3") == len(content)
    for start, end in ((0, 2), (700_000, 700_010), (len(content) - 3, len(content)), (0, len(content))):
        assert blobs.read("job_1/copy.mp3", start, end) == content[start:end]
    with blobs.get("job_1/copy.mp3") as path:
        assert path.read_bytes() == content
    assert [(each.key, each.size_bytes) for each in blobs.listed("job_1")] == [
        ("job_1/copy.mp3", len(content))
    ]
    blobs.delete_prefix("job_1")
    for ask in (lambda: blobs.size("job_1/copy.mp3"), lambda: blobs.read("job_1/copy.mp3", 0, 1)):
        with pytest.raises(BlobMissing):
            ask()
    blobs.usable()


def test_an_object_store_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a failing storage, and as no missing recording."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nobody")
    with pytest.raises(StorageFails):
        Blobs.open("s3://away/audio").size("job_1/copy.mp3")
