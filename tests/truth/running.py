"""What the tests of truth share: the service and a real Whisper, started once; what a row has to hold."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bench.truth import bounds, measuring, recordings
from bench.truth.measuring import Bench
from bench.truth.recordings import Recording

SHORT = ("ru-call", "en-call", "ru-call-echo-20-0", "ringing")  # a minute, in `make test`


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recording]:
    """All recordings of the benchmark by name."""
    return recordings.every(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with measuring.bench() as running:
        yield running


def holds(bench: Bench, recording: Recording) -> None:
    """The recording goes through the service and keeps every bound; else its transcript is shown."""
    row = bench.measured(recording)
    told = json.dumps(row.transcript.get("segments"), ensure_ascii=False, indent=1)
    assert bounds.missed(row) == [], f"{row.figures}\n{row.uploads} uploads\n{told}"
