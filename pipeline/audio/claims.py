"""What the headers of wav, w64, AIFF, CAF and .snd claim of the sound behind them."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import BinaryIO, Literal

from pipeline.audio.limits import MAX_CHANNELS, MAX_SAMPLE_RATE, MIN_SAMPLE_RATE

UNSET_BYTES = 0x7FFF0000  # a wav written to a pipe claims about 2 or 4 GiB
MAX_CHUNKS = 1000
W64_RIFF = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
W64_DATA = b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a")
W64_FORMAT = b"fmt " + bytes.fromhex("f3acd3118cd100c04f8edb8a")
W64_HEADER_BYTES = 24  # a name of 16, a length of 8 that counts them, all in steps of 8
LEAST_BYTES_PER_SECOND = MIN_SAMPLE_RATE  # of uncompressed sound that is taken at all
MOST_BYTES_PER_SECOND = MAX_SAMPLE_RATE * MAX_CHANNELS * 8
WAVE_PLAIN = {1, 3, 6, 7}  # WAVE_FORMAT_PCM, _IEEE_FLOAT, _ALAW, _MULAW
WAVE_EXTENSIBLE = 0xFFFE
# encodings of .snd (Sun's audio file format), and bytes a sample
SND_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}
# compression types of AIFF-C that are none, and bytes a sample where its own field tells another thing
AIFC_BYTES = {b"NONE": 0, b"sowt": 0, b"twos": 0, b"fl32": 4, b"FL32": 4, b"fl64": 8, b"alaw": 1, b"ALAW": 1,
              b"ulaw": 1, b"ULAW": 1, b"in24": 3, b"in32": 4, b"raw ": 1}  # fmt: skip
CAF_PLAIN = {b"lpcm", b"alaw", b"ulaw"}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a header says of the bytes of sound behind it.

    at, width, order: where the number stands in the file; own: how much of it is not sound. start: the first
    byte of sound. size: bytes of sound that it claims, None where it claims none, as streams do.
    """

    at: int
    width: int
    order: Literal["little", "big"]
    own: int
    start: int
    size: int | None


def claim_at(file: BinaryIO, start: int, size: int) -> Claim | None:
    """What the header at `start` claims; None where its kind claims nothing that FFmpeg minds."""
    file.seek(start)
    head = file.read(40)
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return _riff(file, start, size)
    if head[:4] == b"FORM" and head[8:11] == b"AIF":
        found = chunk(file, start + 12, size, b"SSND", "big", 4)
        return _of(found, order="big", width=4, own=8) if found else None
    if head[:4] == b"caff":
        found = chunk(file, start + 8, size, b"data", "big", 8)
        return _of(found, order="big", width=8, own=4) if found else None
    if head[:16] == W64_RIFF:
        found = w64_chunk(file, start + 40, size, W64_DATA)
        return _of(found, order="little", width=8, own=W64_HEADER_BYTES, inside=False) if found else None
    if head[:4] == b".snd":
        offset, claimed = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
        return Claim(
            at=start + 8, width=4, order="big", own=0, start=start + offset,
            size=claimed if 0 < claimed < 0xFFFFFFFF else None,
        )  # fmt: skip
    return None


def _riff(file: BinaryIO, start: int, size: int) -> Claim | None:
    found = chunk(file, start + 12, size, b"data", "little", 4)
    if found is None:
        return None
    long = chunk(file, start + 12, min(size, start + 4096), b"ds64", "little", 4)
    if long and found[1] == 0xFFFFFFFF:
        file.seek(long[0] + 4 + 8)
        claimed = int.from_bytes(file.read(8), "little")
        return Claim(
            at=long[0] + 4 + 8, width=8, order="little", own=0, start=found[0] + 4,
            size=claimed if 0 < claimed < 1 << 48 else None,
        )  # fmt: skip
    return _of(found, order="little", width=4, own=0)


def _of(
    found: tuple[int, int], *, order: Literal["little", "big"], width: int, own: int, inside: bool = True
) -> Claim:
    """inside: the claim counts the first bytes behind it, `own` of them, before the sound begins."""
    at, claimed = found
    unset = claimed <= own or claimed >= (UNSET_BYTES if width == 4 else 1 << 48)
    start = at + width + (own if inside else 0)
    return Claim(at=at, width=width, order=order, own=own, start=start, size=None if unset else claimed - own)


def chunk(
    file: BinaryIO, at: int, size: int, wanted: bytes, order: Literal["little", "big"], width: int
) -> tuple[int, int] | None:
    """Where the length of a chunk stands, and the length; chunks of eight bytes' length are not padded."""
    for _ in range(MAX_CHUNKS):
        if at >= size:
            return None
        file.seek(at)
        head = file.read(4 + width)
        if len(head) < 4 + width:
            return None
        length = int.from_bytes(head[4:], order)
        if head[:4] == wanted:
            return at + 4, length
        at += 4 + width + length + (length % 2 if width == 4 else 0)
    return None


def w64_chunk(file: BinaryIO, at: int, size: int, wanted: bytes) -> tuple[int, int] | None:
    """As `chunk`, of a w64, where names have 16 bytes."""
    for _ in range(MAX_CHUNKS):
        if at >= size:
            return None
        file.seek(at)
        head = file.read(24)
        if len(head) < 24:
            return None
        length = int.from_bytes(head[16:], "little")
        if head[:16] == wanted:
            return at + 16, length
        at += max(24, length + -length % 8)
    return None


def plain_bytes_per_second(file: BinaryIO, start: int, size: int) -> float:
    """What the header at `start` says of uncompressed sound; 0 for any other, and where no sound has that."""
    try:
        rate = _plain_rate(file, start, size)
    except (struct.error, OverflowError, ZeroDivisionError):  # it ends within its header, or that is none
        return 0
    return rate if LEAST_BYTES_PER_SECOND <= rate <= MOST_BYTES_PER_SECOND else 0


def _plain_rate(file: BinaryIO, start: int, size: int) -> float:
    file.seek(start)
    head = file.read(24)
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        found = chunk(file, start + 12, size, b"fmt ", "little", 4)
        return _wave(_at(file, found[0] + 4, 26)) if found else 0
    if head[:4] == b"riff":
        found = w64_chunk(file, start + 40, size, W64_FORMAT)
        return _wave(_at(file, found[0] + 8, 26)) if found else 0
    if head[:4] == b"FORM":
        found = chunk(file, start + 12, size, b"COMM", "big", 4)
        return _aiff(_at(file, found[0] + 4, 22), packed=head[8:12] == b"AIFC") if found else 0
    if head[:4] == b"caff":
        found = chunk(file, start + 8, size, b"desc", "big", 8)
        return _caf(_at(file, found[0] + 8, 24)) if found else 0
    if head[:4] == b".snd":
        encoding, rate, channels = struct.unpack_from(">3I", head, 12)
        return float(SND_BYTES.get(encoding, 0) * rate * channels)
    return 0


def _at(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)


def _wave(told: bytes) -> float:
    """By a WAVEFORMATEX."""
    tag, _, rate, _, block = struct.unpack_from("<HHIIH", told)
    if tag == WAVE_EXTENSIBLE:
        (tag,) = struct.unpack_from("<H", told, 24)
    return float(rate * block) if tag in WAVE_PLAIN else 0


def _aiff(told: bytes, *, packed: bool) -> float:
    """By a common chunk, whose rate is a number of 80 bits; packed: it names its compression."""
    channels, _, bits, power, number = struct.unpack_from(">HIHHQ", told)
    width = AIFC_BYTES.get(told[18:22]) if packed else 0
    return 0 if width is None else math.ldexp(number, power - 16446) * channels * (width or -(-bits // 8))


def _caf(told: bytes) -> float:
    """By an audio description."""
    rate, kind, _, size_bytes, frames = struct.unpack_from(">d4s3I", told)
    return rate * size_bytes / frames if kind in CAF_PLAIN else 0
