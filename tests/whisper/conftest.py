"""One recogniser for all tests of the folder: a real model, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.system.processes import Process, environment, short_folder

KEY = "whisper-test-key"


class Served:
    """`callscribe whisper` on a free port, and a client of it; closed by `end`."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.process = Process("whisper", "--port", "0", env=environment(**settings), cwd=folder)
        self.url = self.process.line("whisper listens at", seconds=120).split("listens at ")[1].split(";")[0]
        self.http = httpx.Client(base_url=self.url, timeout=120, trust_env=False)

    def ask(self, path: Path, *, key: str | None = KEY, **fields: str | list[str]) -> httpx.Response:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        files = {"file": ("recording", path.read_bytes())}
        return self.http.post("/audio/transcriptions", data=fields, files=files, headers=headers)

    def end(self) -> int:
        """Its exit code after SIGTERM."""
        self.http.close()
        return self.process.end()


@pytest.fixture(scope="session")
def whisper() -> Iterator[Served]:
    with short_folder() as folder:
        served = Served(folder, whisper_key=KEY)
        yield served
        assert served.end() == 0
