"""Shorthands for the steps of audio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.audio.limits import UploadLimits
from pipeline.audio.split import gathered, split
from pipeline.domain.recording import Media, Plan
from tests.audio.signals import Read, decoded, read


@dataclass
class Cut:
    """A recording after sniff and split."""

    media: Media
    plan: Plan
    out: Path

    def words(self, channel: int | None = None) -> list[Read]:
        """What a recogniser would read in all chunks of one channel, on the recording's time axis."""
        found = []
        for chunk in self.plan.chunks:
            if chunk.channel == channel:
                for each in read(*decoded(self.out / chunk.blob)):
                    stretch = next(one for one in reversed(chunk.placed) if each.start >= one.at)
                    start = each.start - stretch.at + stretch.span.start
                    found.append(Read(each.number, start, each.torn))
        return found

    def bytes(self) -> list[bytes]:
        """The chunk files, in order."""
        return [(self.out / chunk.blob).read_bytes() for chunk in self.plan.chunks]


@pytest.fixture
def cut(tmp_path: Path) -> Callable[..., Cut]:
    """sniff and split one file; keyword arguments go to split."""
    runs = iter(range(1000))

    def run(path: Path, **given: Any) -> Cut:
        out = tmp_path / f"out{next(runs)}"
        arguments = {
            "sha256": "0" * 64,
            "content_type": None,
            "limits": UploadLimits(),
            "chunk_seconds": 600.0,
            "uploads_per_minute": 4.0,
            "name": "chunk",
        }
        return Cut(*gathered(split(path, out=out, **(arguments | given))), out)

    return run
