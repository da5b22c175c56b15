"""Whether a body that was downloaded may be less than the recording: not there yet, or still being written.

Read off the first bytes alone, without any decoding, since nothing else is lost by asking again.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.audio.body import BINARY, claim_at, is_text
from pipeline.audio.headers import HEAD_BYTES

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
