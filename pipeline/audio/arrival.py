"""What a body that was downloaded tells at once: whether it may be less than the recording, not there yet or
still being written, and about how long it is.

Read off the first bytes alone, without any decoding: no more is lost by an error than a moment, or a turn.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.audio.claims import claim_at, plain_bytes_per_second
from pipeline.audio.headers import BINARY, HEAD_BYTES, is_text
from pipeline.audio.joined import SIGNATURE
from pipeline.audio.limits import COMPRESSED_BYTES_PER_SECOND

WORTH_BYTES = 4096
MAX_BOXES = 1000


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
        rate = plain_bytes_per_second(file, found.start(), size) if found else 0
    return size / (rate or COMPRESSED_BYTES_PER_SECOND)


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
