"""What a body that was downloaded tells at once: whether it may be less than the recording, not there yet or
still being written, and about how long it is.

Read off the first bytes alone, without any decoding: no more is lost by an error than a moment, or a turn.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO

from pipeline.audio.claims import W64_FORMAT, chunk, claim_at, w64_chunk
from pipeline.audio.headers import BINARY, HEAD_BYTES, is_text
from pipeline.audio.joined import SIGNATURE
from pipeline.audio.limits import COMPRESSED_BYTES_PER_SECOND, MAX_CHANNELS, MAX_SAMPLE_RATE, MIN_SAMPLE_RATE

WORTH_BYTES = 4096
MAX_BOXES = 1000
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


def unready(path: Path) -> str | None:
    """Why the link may have more to give in a moment, for people; None where nothing speaks for it.

    An empty body, a page of text, fewer bytes of sound than the header claims, an mp4 without its index.
    """
    size = path.stat().st_size
    if not size:
        return "the link gives an empty file"
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if is_text(head) or (head.lstrip()[:1] in (b"<", b"{", b"[") and not BINARY.search(head)):
            return "the link gives a page of text instead of a recording"
        file.seek(max(0, size - HEAD_BYTES))
        if not any(head) and not any(file.read()):
            return "the link gives a file of zeros"
        claim = claim_at(file, 0, size)
        if claim and claim.size is not None:
            lacking = claim.size - (size - claim.start)
            if lacking > max(WORTH_BYTES, claim.size // 100):
                return f"the link gives {size} bytes, {lacking} less than the recording's header claims"
        if head[4:8] == b"ftyp" and not _has_index(path, size):
            return "the link gives an mp4 without its index"
    return None


def likely_seconds(path: Path) -> float:
    """About how long a recording is, by its size and what its header says of uncompressed sound.

    For the order of work, and nothing else: compressed sound is taken for 64 kbit/s, and headers lie.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        found = SIGNATURE.search(file.read(HEAD_BYTES))
        try:
            rate = _bytes_per_second(file, found.start(), size) if found else 0.0
        except (struct.error, OverflowError, ZeroDivisionError):  # it ends within its header, or that is none
            rate = 0.0
    believed = LEAST_BYTES_PER_SECOND <= rate <= MOST_BYTES_PER_SECOND
    return size / (rate if believed else COMPRESSED_BYTES_PER_SECOND)


def _bytes_per_second(file: BinaryIO, start: int, size: int) -> float:
    """Of uncompressed sound whose header is there; 0 for any other."""
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


def _has_index(path: Path, size: int) -> bool:
    """Whether an mp4 has its `moov` box, and no box reaches beyond the file (ISO/IEC 14496-12, 4.2)."""
    at, found = 0, False
    with path.open("rb") as file:
        for _ in range(MAX_BOXES):
            if at + 8 > size:
                break
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if length and (length < 8 or at + length > size):
                return False
            found = found or head[4:8] == b"moov"
            at += length or size
    return found
