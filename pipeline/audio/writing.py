"""How the pieces of a recording are written: as it came, by copying mp3 frames, or encoded anew."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat
from pathlib import Path
from string import ascii_lowercase
from typing import Literal

from pipeline.audio.encoding import CONTENT_TYPES, SHORTEST_SECONDS, encode, gain
from pipeline.audio.levels import Scan, sounding_seconds
from pipeline.audio.limits import UploadLimits, encoding, longest_piece
from pipeline.audio.mp3 import Mp3
from pipeline.audio.pcm import Pcm
from pipeline.audio.pieces import Upload
from pipeline.audio.speaking import Speaking
from pipeline.domain.recording import Chunk, Span

LEAD_SECONDS = 0.6  # frames before a copied piece, for decoders to start from
MOST_BESIDE = 4  # pieces that are encoded at a time: other recordings are read on this machine, too
How = Literal["as it came", "copied", "encoded"]
PCM = {"pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_u8", "pcm_f32le", "pcm_alaw", "pcm_mulaw"}


@dataclass(frozen=True, kw_only=True)
class Piece:
    """An upload to be written; chunk: what it will be, its size apart."""

    upload: Upload
    chunk: Chunk
    how: How


class Writing:
    """Writes uploads of one scanned recording as chunks, the same bytes every time; pcm: its sound."""

    def __init__(self, path: Path, scan: Scan, speaking: Speaking, limits: UploadLimits, pcm: Pcm) -> None:
        self._path, self._scan, self._speaking, self._limits = path, scan, speaking, limits
        self._pcm = pcm
        self._mixed = len(speaking.channels) == 1 and speaking.picked is None
        self._mp3 = self._copied()

    def longest(self, chunk_seconds: float, *, packed: bool = False) -> float:
        """Seconds that one piece may have; packed: it is no single span of the recording."""
        if self._mp3 and not packed:
            return max(1.0, min(chunk_seconds, self._limits.max_seconds - LEAD_SECONDS))
        return longest_piece(self._pcm.rate, self._limits, chunk_seconds)

    def room(self, start: float) -> float:
        """Until when a piece that starts there keeps within the byte limit."""
        return self._mp3.room(start, self._limits.max_bytes) if self._mp3 else float("inf")

    def snap(self, seconds: float) -> float:
        """Where a cut can really lie."""
        return self._mp3.snap(seconds) if self._mp3 else seconds

    def pieces(self, uploads: Sequence[Upload], ids: Sequence[str], name: str) -> list[Piece]:
        """One per upload, with its chunk as far as that is known before it is written; `Chunk.blob` is the
        name of its file.
        """
        whole = self._as_it_came(uploads)
        copied = self._mp3 is not None and all(map(self._on_frames, uploads))
        found = []
        for upload, chunk_id in zip(uploads, ids, strict=True):
            ending = whole or ("mp3" if copied else encoding(upload.seconds, self._pcm.rate, self._limits))
            how: How = "as it came" if whole else "copied" if copied else "encoded"
            chunk = self._chunk(upload, chunk_id, f"{name}-{_number(chunk_id)}.{ending}")
            found.append(Piece(upload=upload, chunk=chunk, how=how))
        return found

    def written(self, pieces: Sequence[Piece], out: Path) -> Iterator[Chunk]:
        """Their chunks, each once its file is written into `out`; encoded side by side, as far as the machine
        has processors: the encoders run without Python's lock.
        """
        beside = min(MOST_BESIDE, _processors())
        if beside == 1 or sum(piece.how == "encoded" for piece in pieces) < 2:
            yield from (self.write(piece, out) for piece in pieces)
            return
        with ThreadPoolExecutor(beside) as pool:
            yield from pool.map(self.write, pieces, repeat(out))

    def write(self, piece: Piece, out: Path) -> Chunk:
        """Its chunk, once its file is written into `out`."""
        path, upload = out / piece.chunk.blob, piece.upload
        if piece.how == "as it came":
            shutil.copyfile(self._path, path)
        elif piece.how == "copied":
            assert self._mp3
            self._mp3.write(path, upload.spans[0].start, upload.spans[0].end)
        else:
            channel = upload.channel if self._speaking.picked is None else self._speaking.picked
            encode(
                path,
                self._pcm,
                None if self._mixed else channel,
                upload.stretches,
                decibels=self._gains[upload.channel],
            )
        return replace(piece.chunk, size_bytes=path.stat().st_size)

    @cached_property
    def _gains(self) -> list[float]:
        """dB per channel: two speakers are brought to one level."""
        speaking = self._speaking
        if len(speaking.channels) < 2:
            return [0.0, 0.0]
        pairs = zip(speaking.channels, speaking.speech, strict=True)
        return [gain(level, channel.peak) for channel, level in pairs]

    def _chunk(self, upload: Upload, chunk_id: str, filename: str) -> Chunk:
        stretches = tuple(
            replace(each, span=Span(start=round(each.span.start, 6), end=round(each.span.end, 6)))
            for each in upload.stretches
        )
        channel, step = self._speaking.channels[upload.channel], self._scan.step
        return Chunk(
            id=chunk_id,
            channel=upload.channel if len(self._speaking.channels) == 2 else None,
            span=Span(start=stretches[0].span.start, end=stretches[-1].span.end),
            blob=filename,
            filename=filename,
            content_type=CONTENT_TYPES[filename.rpartition(".")[2]],
            size_bytes=0,
            sounding_seconds=round(sum(sounding_seconds(channel, step, each.span) for each in stretches), 3),
            stretches=stretches if len(stretches) > 1 else (),
        )

    def _on_frames(self, upload: Upload) -> bool:
        """Whether it is one span that begins and ends where a cut can really lie."""
        return len(upload.spans) == 1 and all(
            math.isclose(self.snap(at), at, abs_tol=1e-6)
            for at in (upload.spans[0].start, upload.spans[0].end)
        )

    def _copied(self) -> Mp3 | None:
        """The recording as mp3 frames to copy, where nothing about it asks for decoding."""
        found = self._scan.decoding
        plain = found.container == "mp3" and found.codec == "mp3" and found.uniform and not found.holes
        if not plain or not self._mixed or not self._limits.takes("mp3"):
            return None
        mp3 = Mp3(self._path, found.packets, found.sample_rate)
        return mp3 if mp3.copyable() else None

    def _as_it_came(self, uploads: Sequence[Upload]) -> str | None:
        """The canonical ending under which the whole file can be sent unchanged, or None."""
        found, scan = self._scan.decoding, self._scan
        spans = [span for upload in uploads for span in upload.spans]
        whole = len(spans) == 1 and spans[0].start <= 0 and spans[0].end >= scan.seconds
        if not whole or not self._mixed or not found.sound:
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


def _processors() -> int:
    """How many this process may use, where its system tells that (macOS tells how many there are)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _is_webm(path: Path) -> bool:
    with path.open("rb") as file:
        return b"webm" in file.read(64)


def _number(chunk_id: str) -> str:
    digits = chunk_id.rstrip(ascii_lowercase)
    return digits.zfill(3) + chunk_id[len(digits) :]
