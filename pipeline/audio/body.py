"""Which bytes of a file are the recording: what stands before it, and what its header claims wrongly.

Hosts put blank lines, a byte order mark, a notice of their own or remains of HTTP before the first byte,
and recorders write a length into the header that nobody corrects. FFmpeg refuses the former and stops
early at the latter, so both are mended on the way to it; the file itself stays as it came.
"""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from pipeline.audio.claims import MAX_CHUNKS, W64_HEADER_BYTES, Claim, claim_at, plain_bytes_per_second
from pipeline.audio.headers import BINARY, HEAD_BYTES, is_text, junk_bytes, mp3_chain
from pipeline.audio.joined import SIGNATURE, SIGNATURE_BYTES, begins_near, next_by_structure, next_of
from pipeline.audio.libmagic import packed

MAX_JOINED = 1000
PADDING_BYTES = 4096
MOST_TRAILERS = 64  # places that are tried for where the notes behind the sound begin
BOM = b"\xef\xbb\xbf"
MARKED = (
    b"ID3",
    b"wvpk",
    b"MAC ",
    b"TTA1",
    b"MPCK",
    b"MP+",
    b"ea3",
)  # too short to be looked for elsewhere than at the very start
TEXT = re.compile(rb"[\t\n\r -~]|\xef\xbb\xbf")
TAG = re.compile(rb"ID3[\x02-\x04]\x00[\x00-\xff][\x00-\x7f]{4}")
NAME = re.compile(rb"[A-Za-z0-9_ -]{4}")
# chunks with notes about the sound; where the sound's length cannot be believed, only these end it
TELLING = re.compile(
    rb"LIST|list|id3 |ID3 |bext|iXML|cue |smpl|inst|fact|PEAK|DISP|afsp|_PMX|JUNK|junk|PAD |FLLR|SAUR"
    rb"|ANNO|NAME|AUTH|MARK|COMT|APPL|INST|AESD|info|strg|mark|regn|free|uuid"
)
W64_NAME = re.compile(rb".{10}(?:\x00\xc0\x4f\x8e\xdb\x8a|\x28\xdb\x04\xc1\x00\x00)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Body:
    """The bytes [start, end) of a file; sound_bytes: what their header should claim, where it is wrong.

    bytes_per_second: of uncompressed sound, by its header; 0 for any other.
    """

    start: int
    end: int
    claim: Claim | None = None
    sound_bytes: int | None = None
    whole: bool = True  # all of the file, as it came
    bytes_per_second: float = 0

    @property
    def as_it_came(self) -> bool:
        """Whether any reader would find the same in the file."""
        return self.whole and self.sound_bytes is None

    def open(self, path: Path) -> BinaryIO:
        """The body as a file for FFmpeg."""
        return io.BufferedReader(_Mended(path, self), 1 << 16)


def bodies(path: Path) -> list[Body]:
    """The recordings in a file: one, unless several files were joined end to end."""
    size = path.stat().st_size
    found: list[Body] = []
    with path.open("rb") as file:
        start: int | None = _start(path, file.read(HEAD_BYTES))
        while start is not None and len(found) < MAX_JOINED:
            claim = claim_at(file, start, size)
            if claim:
                end, following, sound = _extent(file, start, claim, size)
            else:
                following, sound = next_by_structure(file, start, size), None
                end = following or size
            whole = start == 0 and end == size
            rate = plain_bytes_per_second(file, start, size) if claim else 0
            body = Body(
                start=start, end=end, claim=claim, sound_bytes=sound, whole=whole, bytes_per_second=rate
            )
            found.append(body)
            start = following
    return found


def _start(path: Path, head: bytes) -> int:
    """Where the recording begins."""
    found = SIGNATURE.match(head)
    start = 0 if found else _sought(path, head)
    return 0 if start and packed(head) else start


def _sought(path: Path, head: bytes) -> int:
    """Where it begins in a file that does not begin with it for sure."""
    if head.startswith(MARKED):
        return junk_bytes(path)
    found = SIGNATURE.search(head)
    first_frame = mp3_chain(head, 0, found.start() if found else len(head))
    if found and first_frame is None:
        return found.start()
    if junk := junk_bytes(path):
        return junk
    tag = TAG.search(head, 0, first_frame or 0)
    if tag:
        return tag.start()
    text = BINARY.search(head)  # a page without any recording behind it has none
    if text is None or not TEXT.match(head):
        return 0
    if first_frame is not None:
        return first_frame if first_frame <= text.start() else 0
    return max(head.rfind(b"\n", 0, text.start()) + 1, len(BOM) if head.startswith(BOM) else 0)


def _extent(file: BinaryIO, begin: int, claim: Claim, size: int) -> tuple[int, int | None, int | None]:
    """Where the body ends, where the next recording begins, the bytes of sound where the claim is wrong."""
    there = size - claim.start
    if claim.size is not None:
        if claim.size >= there:
            return size, None, None  # what is missing is told by comparing
        after = claim.start + claim.size
        honest, following = _chain(file, after + claim.size % 2, size, claim)
        if not honest and claim.size % 2:
            honest, following = _chain(file, after, size, claim)
        if not honest:
            following = begins_near(file, after)
        if honest or following:
            return following or size, following, None
        file.seek(after)
        if there - claim.size <= HEAD_BYTES and is_text(file.read()):
            return size, None, None  # remains of HTTP, or what a page would say
    if there <= 0:
        return size, None, None
    following = next_of(file, begin, claim.start, size)
    return following or size, following, (following or _trailer(file, claim, size)) - claim.start


def _chain(file: BinaryIO, at: int, size: int, claim: Claim) -> tuple[bool, int | None]:
    """Whether from there on only chunks follow, up to the end; and where among them a recording begins."""
    if claim.own == W64_HEADER_BYTES:
        return _w64_chain(file, at + (claim.start - at) % 8, size)
    width = 8 if claim.width == 8 and claim.order == "big" else 4
    for _ in range(MAX_CHUNKS):
        file.seek(at)
        head = file.read(SIGNATURE_BYTES)
        if not any(head):
            return size - at <= PADDING_BYTES and not any(file.read()), None
        if SIGNATURE.match(head):
            return True, at
        if not NAME.fullmatch(head[:4]) or len(head) < 4 + width:
            return False, None
        length = int.from_bytes(head[4 : 4 + width], claim.order)
        at += 4 + width + length + (length % 2 if width == 4 else 0)
        if at >= size:
            return at - size <= 1 or TELLING.match(head) is not None, None
    return False, None


def _w64_chain(file: BinaryIO, at: int, size: int) -> tuple[bool, int | None]:
    for _ in range(MAX_CHUNKS):
        if at >= size:
            return True, None
        file.seek(at)
        head = file.read(SIGNATURE_BYTES)
        if SIGNATURE.match(head):
            return True, at
        if not W64_NAME.match(head):
            return size - at <= PADDING_BYTES and not any(head + file.read()), None
        at += max(W64_HEADER_BYTES, -(-int.from_bytes(head[16:24], "little") // 8) * 8)
    return False, None


def _trailer(file: BinaryIO, claim: Claim, size: int) -> int:
    """Where chunks begin that tell of the sound, behind sound of a length that nobody knows; else the end."""
    begin = max(claim.start, size - HEAD_BYTES)
    file.seek(begin)
    tail = file.read()
    for found in islice(TELLING.finditer(tail), MOST_TRAILERS):
        at = begin + found.start()
        if _chain(file, at, size, claim)[0]:
            return at
    return size


class _Mended(io.RawIOBase):
    """A file from the body's first byte to its last, with its claim put right."""

    def __init__(self, path: Path, body: Body) -> None:
        self._file = path.open("rb", buffering=0)
        self._body = body
        self._at = 0
        self._patch = (0, b"")
        if body.claim and body.sound_bytes is not None:
            number = min(body.sound_bytes + body.claim.own, (1 << 8 * body.claim.width) - 2)
            at = body.claim.at - body.start
            self._patch = (at, number.to_bytes(body.claim.width, body.claim.order))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._body.end - self._body.start}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._file.seek(self._body.start + self._at)
        left = max(0, self._body.end - self._body.start - self._at)
        data = bytearray(self._file.read(min(len(buffer), left)))
        at, right = self._patch
        for index, byte in enumerate(right):
            if 0 <= at + index - self._at < len(data):
                data[at + index - self._at] = byte
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
