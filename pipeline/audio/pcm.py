"""A recording's sound on disk, as it was decoded: so that it is decoded once, and cut anywhere."""

from __future__ import annotations

import audioop
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

BLOCK_SECONDS = 1.0
BUFFER_BYTES = 1 << 18  # what is written a second at a time costs the system three times as much


class Pcm:
    """16 bit samples of native order, a file per channel, emptied at the end; it goes with its folder.

    folder: where there is room for it: 32 KB a second and channel at the most. The files have names, so that
    whoever started this process can tell what it takes. rate: samples a second, known
    once something was added.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[IO[bytes]] = []
        self.rate = 0

    def __enter__(self) -> Pcm:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.truncate(0)
            file.close()

    def add(self, block: Sequence[bytes], rate: int) -> None:
        """What was decoded next, a run of bytes per channel."""
        if not self._files:
            self.rate = rate
            self._files = [
                tempfile.NamedTemporaryFile(dir=self._folder, delete=False, buffering=BUFFER_BYTES)  # noqa: SIM115
                for _ in block
            ]
        for file, pcm in zip(self._files, block, strict=True):
            file.write(pcm)

    def read(self, channel: int | None, start: float, end: float) -> Iterator[bytes]:
        """From second to second of one channel, None: of all of them mixed; a second at a time at the most.

        What lies behind the recording's end is left out. Several threads may read at a time.
        """
        files = self._files if channel is None else [self._files[channel]]
        for file in files:
            file.flush()
        at, last = round(start * self.rate) * 2, round(end * self.rate) * 2
        size = int(BLOCK_SECONDS * self.rate) * 2
        while at < last:
            parts = []
            for file in files:
                parts.append(os.pread(file.fileno(), min(size, last - at), at))
            if not parts[0]:
                return
            at += len(parts[0])
            yield _mixed(parts)


def _mixed(parts: Sequence[bytes]) -> bytes:
    if len(parts) == 1:
        return parts[0]
    one, other = (audioop.mul(part, 2, 0.5) for part in parts)
    return audioop.add(one, other, 2)
