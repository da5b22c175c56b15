"""What several areas share: a real store of the tests' own."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from pipeline.store import embedded


@contextmanager
def embedded_store(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """An embedded store with its files in `folder` (keep its path short): the process and the URL."""
    socket = folder / "redis.sock"
    command = embedded.command(folder / "store", socket)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        embedded.wait(process, socket)
        yield process, f"unix://{socket}"
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A new directory whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="cs-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[str]:
    """The URL of an embedded store that lives as long as the test run."""
    with tempfile.TemporaryDirectory(prefix="cs-") as folder, embedded_store(Path(folder)) as (_, url):
        yield url


@pytest.fixture
def valkey(valkey_server: str) -> str:
    """The URL of a store that is empty."""
    with redis.Redis.from_url(valkey_server) as client:
        client.flushall()
    return valkey_server
