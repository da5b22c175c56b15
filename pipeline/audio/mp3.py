"""Cutting an mp3 without re-encoding: whole frames are copied, and the piece decodes to the very samples
that the whole recording gives there.

An mp3 frame may keep a part of its data in the frames before it (the bit reservoir), and is blended
with the frame before it. So a piece starts a few frames early, and its Info tag (Xing's, with LAME's
field for the encoder's delay) tells decoders to drop what they yield. Layout of the tag: the LAME tag
specification, http://gabriel.mp3-tech.org/mp3infotag.html, and FFmpeg's libavformat/mp3dec.c.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.audio.arrays import np
from pipeline.audio.decoding import Packets
from pipeline.audio.headers import KILOBITS, RATES, id3_bytes

DECODER_DELAY = 529  # samples that decoders drop besides the tag's delay
MAX_DELAY = 4095  # twelve bits
RUN_BYTES = 1 << 18  # frames are copied up to so many bytes at a time


@dataclass(frozen=True)
class _Frame:
    """The header of one layer III frame."""

    header: bytes
    version: int  # 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5
    sample_rate: int
    mono: bool
    crc: bool
    begin: int  # bytes of its data that lie in earlier frames

    @property
    def samples(self) -> int:
        return 1152 if self.version == 3 else 576

    @property
    def side_bytes(self) -> int:
        if self.version == 3:
            return 17 if self.mono else 32
        return 9 if self.mono else 17

    def data_bytes(self, size: int) -> int:
        return size - 4 - (2 if self.crc else 0) - self.side_bytes


def _frame(data: bytes) -> _Frame | None:
    if len(data) < 8 or data[0] != 0xFF or data[1] & 0xE6 != 0xE2:
        return None
    version, rate = data[1] >> 3 & 3, data[2] >> 2 & 3
    if version == 1 or rate == 3:
        return None
    crc = not data[1] & 1
    at = 6 if crc else 4
    begin = (data[at] << 1 | data[at + 1] >> 7) if version == 3 else data[at]
    sample_rate = RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    return _Frame(data[:4], version, sample_rate, data[3] >> 6 == 3, crc, begin)


class Mp3:
    """An mp3 whose frames are known; times are seconds on its decoded time axis."""

    def __init__(self, path: Path, packets: Packets, sample_rate: int) -> None:
        self._path, self._packets, self._rate = path, packets, sample_rate
        self._starts: list[int] = [0, *np.cumsum(packets.samples).tolist()]
        self._bytes: list[int] = [0, *np.cumsum(packets.size).tolist()]

    def copyable(self) -> bool:
        """Whether every packet is a frame of one kind, and lies where the demuxer said."""
        positions, sizes = self._packets.position, self._packets.size
        if not positions:
            return False
        first: _Frame | None = None
        with self._path.open("rb") as file:
            last = len(positions) - 1
            for index in sorted({0, min(1, last), len(positions) // 2, last}):
                file.seek(max(positions[index], 0))
                frame = _frame(file.read(min(sizes[index], 64)))
                if frame is None or frame.sample_rate != self._rate:
                    return False
                first = first or frame
                if (frame.version, frame.mono) != (first.version, first.mono):
                    return False
        return min(positions) >= 0

    def starts_clean(self) -> bool:
        """Whether the first frame, or a tag of the right length before it, stands at the file's start."""
        with self._path.open("rb") as file:
            head = file.read(10)
            at = 0
            if head[:3] == b"ID3" and len(head) == 10:
                at = 10 + id3_bytes(head)
            file.seek(at)
            return _frame(file.read(64)) is not None

    def snap(self, seconds: float) -> float:
        """The frame boundary nearest to a time."""
        sample = seconds * self._rate
        after = min(bisect_left(self._starts, sample), len(self._starts) - 1)
        before = max(after - 1, 0)
        nearest = min((before, after), key=lambda index: abs(self._starts[index] - sample))
        return self._starts[nearest] / self._rate

    def room(self, start: float, max_bytes: int) -> float:
        """Until when a piece that starts there keeps within max_bytes."""
        first = max(0, self._index(start) - MAX_DELAY // 576)
        last = bisect_right(self._bytes, self._bytes[first] + max_bytes - 4096) - 1
        return self._starts[last] / self._rate if last > first + 16 else start + 1.0

    def write(self, to: Path, start: float, end: float) -> None:
        """Copies the frames of [start, end), both on frame boundaries, with a tag before them."""
        first = min(self._index(start), len(self._packets.size) - 1)
        last = max(self._index(end), first + 1)  # one frame at the least
        with self._path.open("rb") as file:
            lead = self._lead(file, first)
            head = _frame(self._read(file, lead))
            assert head is not None
            skip = (first - lead) * head.samples + self._deficit(range(first, min(first + 4, last)), head)
            trim = self._deficit(range(last - 1, max(last - 4, first + 3), -1), head)
            sizes = self._packets.size[lead:last]
            body = sum(sizes)
            with to.open("wb") as out:
                out.write(
                    _tag(
                        head,
                        count=last - lead,
                        body=body,
                        skip=skip,
                        trim=trim,
                        vbr=max(sizes) - min(sizes) > 1,
                    )
                )
                for at, size in self._runs(lead, last):
                    file.seek(at)
                    out.write(file.read(size))

    def _index(self, seconds: float) -> int:
        return bisect_left(self._starts, round(seconds * self._rate))

    def _runs(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Where frames [first, last) lie, as places and bytes: one run where nothing stands between them."""
        at, size = self._packets.position[first], 0
        for place, its in zip(
            self._packets.position[first:last], self._packets.size[first:last], strict=True
        ):
            if place != at + size or size >= RUN_BYTES:
                yield at, size
                at, size = place, 0
            size += its
        yield at, size

    def _read(self, file: object, index: int) -> bytes:
        file.seek(self._packets.position[index])  # type: ignore[attr-defined]
        return bytes(file.read(self._packets.size[index]))  # type: ignore[attr-defined]

    def _deficit(self, indexes: range, head: _Frame) -> int:
        """Samples that the whole recording drops at one of its ends."""
        total = 0
        for index in indexes:
            missing = head.samples - self._packets.samples[index]
            if missing <= 0:
                break
            total += missing
        return total

    def _lead(self, file: object, first: int) -> int:
        """The frame from which decoding has to start to be right at `first`."""
        if first == 0:
            return 0
        before = _frame(self._read(file, first - 1))
        if before is None:
            return first
        if before.samples == 576 and first > 1:  # one granule a frame: blending reaches back two of them
            before = _frame(self._read(file, first - 2)) or before
        lead = max(0, first - 1152 // before.samples)
        need = before.begin
        most = (MAX_DELAY + DECODER_DELAY) // before.samples
        while need > 0 and lead > 0 and first - lead < most:
            frame = _frame(self._read(file, lead - 1))
            if frame is None:
                break
            lead -= 1
            need -= frame.data_bytes(self._packets.size[lead])
        return lead


def _tag(head: _Frame, *, count: int, body: int, skip: int, trim: int, vbr: bool) -> bytes:
    """A silent frame that tells length, bytes, and the samples to drop at the start and the end."""
    table = KILOBITS[3 if head.version == 3 else 2]
    needed = 4 + head.side_bytes + 16 + 36
    for index in range(1, 15):
        size = head.samples // 8 * table[index] * 1000 // head.sample_rate
        if size >= needed:
            break
    header = bytes([0xFF, head.header[1] | 1, index << 4 | head.header[2] & 0x0C, head.header[3]])
    delay = min(max(skip - DECODER_DELAY, 0), MAX_DELAY)
    padding = min(trim + DECODER_DELAY, MAX_DELAY) if trim else 0
    lame = b"Lavf".ljust(9, b"\0") + bytes(12) + (delay << 12 | padding).to_bytes(3, "big") if skip else b""
    content = (
        header
        + bytes(head.side_bytes)
        + (b"Xing" if vbr else b"Info")
        + struct.pack(">III", 3, count, body + size)
    )
    return (content + lame).ljust(size, b"\0")
