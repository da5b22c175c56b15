"""How the pieces of a recording are written: as it came, by copying mp3 frames, or encoded anew."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.audio.encoding import CONTENT_TYPES, SHORTEST_SECONDS, Piece, encode, gain
from pipeline.audio.levels import Channel, Scan, sounding_seconds
from pipeline.audio.limits import UploadLimits, encoding, longest_piece
from pipeline.audio.mp3 import Mp3
from pipeline.audio.pieces import Stretch
from pipeline.domain.recording import Chunk, Span

LEAD_SECONDS = 0.6  # frames before a copied piece, for decoders to start from
PCM = {"pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_u8", "pcm_f32le", "pcm_alaw", "pcm_mulaw"}


class Writing:
    """Writes stretches of one scanned recording as chunks, the same bytes every time.

    sides: the parties, from `parties(scan)`.
    """

    def __init__(self, path: Path, scan: Scan, channels: Sequence[Channel], limits: UploadLimits) -> None:
        self._path, self._scan, self._channels, self._limits = path, scan, channels, limits
        self._mp3 = self._copied()

    def longest(self, chunk_seconds: float) -> float:
        """Seconds that one piece may have."""
        if self._mp3:
            return max(1.0, min(chunk_seconds, self._limits.max_seconds - LEAD_SECONDS))
        return longest_piece(self._scan.decoding.sample_rate, self._limits, chunk_seconds)

    def room(self, start: float) -> float:
        """Until when a piece that starts there keeps within the byte limit."""
        return self._mp3.room(start, self._limits.max_bytes) if self._mp3 else float("inf")

    def snap(self, seconds: float) -> float:
        """Where a cut can really lie."""
        return self._mp3.snap(seconds) if self._mp3 else seconds

    def write(self, stretches: Sequence[Stretch], ids: Sequence[str], out: Path, name: str) -> list[Chunk]:
        """One chunk file per stretch in `out`; `Chunk.blob` is the file's name."""
        out.mkdir(parents=True, exist_ok=True)
        whole = self._as_it_came(stretches)
        if whole:
            path = out / f"{name}-{_number(ids[0])}.{whole}"
            shutil.copyfile(self._path, path)
            return [self._chunk(stretches[0], ids[0], path)]
        paths = []
        pieces = []
        for stretch, chunk_id in zip(stretches, ids, strict=True):
            ending = self._ending(stretch)
            path = out / f"{name}-{_number(chunk_id)}.{ending}"
            paths.append(path)
            if self._mp3:
                self._mp3.write(path, stretch.start, stretch.end)
            else:
                pieces.append(Piece(channel=stretch.channel, start=stretch.start, end=stretch.end, path=path))
        if pieces:
            encode(
                self._path,
                pieces,
                sample_rate=self._scan.decoding.sample_rate,
                mix="sides" if len(self._channels) == 2 else "left" if self._scan.opposed else "mixed",
                gains=[
                    gain(channel.speech, channel.peak) if len(self._channels) == 2 else 0.0
                    for channel in self._channels
                ],
                last=self._scan.seconds,
            )
        return [self._chunk(*each) for each in zip(stretches, ids, paths, strict=True)]

    def _chunk(self, stretch: Stretch, chunk_id: str, path: Path) -> Chunk:
        span = Span(start=round(stretch.start, 6), end=round(stretch.end, 6))
        return Chunk(
            id=chunk_id,
            channel=stretch.channel if len(self._channels) == 2 else None,
            span=span,
            blob=path.name,
            filename=path.name,
            content_type=CONTENT_TYPES[path.suffix[1:]],
            size_bytes=path.stat().st_size,
            sounding_seconds=sounding_seconds(self._channels[stretch.channel], self._scan.step, span),
        )

    def _ending(self, stretch: Stretch) -> str:
        if self._mp3:
            return "mp3"
        rate = min(16_000, self._scan.decoding.sample_rate)
        return encoding(stretch.end - stretch.start, rate, self._limits)

    def _copied(self) -> Mp3 | None:
        """The recording as mp3 frames to copy, where nothing about it asks for decoding."""
        found = self._scan.decoding
        plain = found.container == "mp3" and found.codec == "mp3" and found.uniform and not found.holes
        if not plain or len(self._channels) == 2 or self._scan.opposed or not self._limits.takes("mp3"):
            return None
        mp3 = Mp3(self._path, found.packets, found.sample_rate)
        return mp3 if mp3.copyable() else None

    def _as_it_came(self, stretches: Sequence[Stretch]) -> str | None:
        """The canonical ending under which the whole file can be sent unchanged, or None."""
        found, scan = self._scan.decoding, self._scan
        whole = len(stretches) == 1 and stretches[0].start <= 0 and stretches[0].end >= scan.seconds
        if not whole or len(self._channels) == 2 or scan.opposed or not found.sound:
            return None
        if scan.seconds < SHORTEST_SECONDS or found.has_video:
            return None
        if self._path.stat().st_size > self._limits.max_bytes:
            return None
        ending = None
        if found.container == "wav" and found.codec in PCM:
            ending = "wav"
        elif found.container == "flac":
            ending = "flac"
        elif found.container == "ogg" and found.codec in ("opus", "vorbis"):
            ending = "ogg"
        elif found.container.startswith("mov") and found.codec in ("aac", "mp3"):
            ending = "m4a"
        elif found.container.startswith("matroska") and found.codec in ("opus", "vorbis"):
            ending = "webm" if _is_webm(self._path) else None
        elif self._mp3 and self._mp3.starts_clean():
            ending = "mp3"
        return ending if ending and self._limits.takes(ending) else None


def _is_webm(path: Path) -> bool:
    with path.open("rb") as file:
        return b"webm" in file.read(64)


def _number(chunk_id: str) -> str:
    digits = chunk_id.rstrip("ab")
    return digits.zfill(3) + chunk_id[len(digits) :]
