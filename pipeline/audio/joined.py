"""Where in a file the next recording begins: some exchanges and archives join files end to end.

FFmpeg reads the first one and stops, or takes the second one's header for sound. Lengths that the first one
gives lead to its end; where a format has none, the beginning of the next one is looked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import BinaryIO

from pipeline.audio.headers import mp3_chain

# how recordings begin: each long enough not to turn up by chance, so short names with what follows them
SIGNATURE = re.compile(
    rb"(?:RIFF|RF64|BW64)....WAVE|RIFF....AVI |riff\x2e\x91\xcf\x11|OggS\x00\x02|fLaC[\x00\x80]\x00\x00\x22"
    rb"|\x00...ftyp[ -~]{4}|\x1aE\xdf\xa3(?=.{0,64}(?:matroska|webm))|#!AMR(?:-WB)?\n|FORM....AIF[FC]"
    rb"|caff\x00\x01\x00\x00|\.snd\x00\x00.{6}\x00\x00\x00|\x30\x26\xb2\x75\x8e\x66\xcf\x11"
    rb"|Creative Voice File\x1a|FLV\x01[\x01\x04\x05]\x00\x00\x00\x09|\.RMF\x00\x00\x00",
    re.DOTALL,
)
SIGNATURE_BYTES = 80  # as far as it looks
NEAR_BYTES = 4096  # a blemish between two recordings is no longer
BLOCK_BYTES = 1 << 20
MAX_PARTS = 100_000  # boxes or objects of one recording
ASF = bytes.fromhex("3026b2758e66cf11")
# how its top-level objects begin: header, data, and four kinds of index
OBJECTS = tuple(map(bytes.fromhex, ("3026b275", "3626b275", "90080033", "d829e2d6", "f803b1fe", "d03fb73c")))
BOX = re.compile(rb"[A-Za-z0-9 \xa9_-]{4}")
READ_ON = {b"OggS": (b"OggS\x00\x02", b"fLaC"), b"fLaC": (b"fLaC",)}  # FFmpeg reads on there by itself
# what recordings begin with, and where in it: each is confirmed by SIGNATURE
BEGINNINGS = ((b"RIFF", 0), (b"fLaC", 0), (b"ftyp", 4), (b"#!AMR", 0), (b"OggS\x00\x02", 0))


def begins_near(file: BinaryIO, at: int) -> int | None:
    """Where a recording begins at a place or right behind it."""
    file.seek(at)
    head = file.read(NEAR_BYTES + SIGNATURE_BYTES)
    found = SIGNATURE.search(head)
    first = mp3_chain(head, 0, min(NEAR_BYTES, len(head)))
    places = [place for place in (found.start() if found else None, first) if place is not None]
    return at + min(places) if places else None


def next_of(file: BinaryIO, begin: int, at: int, size: int) -> int | None:
    """Where a recording of the same kind as the one at `begin` begins, from `at` on."""
    file.seek(begin)
    return _sought(file, [(file.read(4), 0)], at, size)


def next_by_structure(file: BinaryIO, start: int, size: int) -> int | None:
    """Where a recording begins behind the one at `start`, which has no header that claims bytes of sound."""
    file.seek(start)
    head = file.read(SIGNATURE_BYTES)
    if head[4:8] == b"ftyp":
        return _behind(file, start, size, _box)
    if head.startswith(ASF):
        return _behind(file, start, size, _object)
    known = SIGNATURE.match(head)
    if known and not head.startswith((b"#!AMR", *READ_ON)):
        return None  # FFmpeg reads on by itself, or what is inside may be anything
    own = READ_ON.get(head[:4], ())
    beginnings = [each for each in BEGINNINGS if each[0] not in own]
    return _sought(file, beginnings, start + len(head), size)


def _behind(file: BinaryIO, start: int, size: int, length: Callable[[bytes], int | None]) -> int | None:
    """The next recording behind parts that tell their length; 0: up to the end, None: this is no part."""
    at = start
    for number in range(MAX_PARTS):
        file.seek(at)
        head = file.read(SIGNATURE_BYTES)
        if not head:
            break
        if number and SIGNATURE.match(head):
            return at
        step = length(head)
        if step is None:
            return begins_near(file, at)
        if not step or at + step >= size:
            break
        at += step
    return None


def _box(head: bytes) -> int | None:
    """Source: ISO/IEC 14496-12, section 4.2."""
    length = int.from_bytes(head[:4], "big")
    if length == 1:
        length = max(16, int.from_bytes(head[8:16], "big"))
    return length if BOX.fullmatch(head[4:8]) and (length >= 8 or not length) else None


def _object(head: bytes) -> int | None:
    """Source: Advanced Systems Format specification, section 2.1; what is broadcast gives no length."""
    if not head.startswith(OBJECTS):
        return None
    length = int.from_bytes(head[16:24], "little")
    return length if length >= 24 else 0


def _sought(file: BinaryIO, beginnings: Sequence[tuple[bytes, int]], at: int, size: int) -> int | None:
    """The first place from `at` on where a recording begins with one of them, at that offset.

    bytes.find is as fast as reading; only a block that holds one of them is looked at closely, and once.
    """
    while at < size:
        file.seek(at)
        block = file.read(BLOCK_BYTES + SIGNATURE_BYTES)
        places = [block.find(beginning) - offset for beginning, offset in beginnings if beginning in block]
        if places:
            for found in SIGNATURE.finditer(block, max(0, min(places)), BLOCK_BYTES + SIGNATURE_BYTES):
                if any(block.startswith(each, found.start() + offset) for each, offset in beginnings):
                    return at + found.start()
        at += BLOCK_BYTES
    return None
