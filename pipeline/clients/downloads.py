"""What a recording's host answers: whether it is the recording, and its bytes without their coding."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping

from pipeline.clients.retry_after import retry_after_seconds
from pipeline.domain.errors import DownloadFailed, RecordingGone, TooLarge

PIECE_BYTES = 65_536
# what servers write although the bytes are plain: S3's framing of uploads, charsets, words for "nothing"
PLAIN_CODINGS = {"", "identity", "aws-chunked", "binary", "none", "8bit", "7bit", "utf-8"}
ZLIB_CODINGS = {"gzip", "x-gzip", "deflate"}
AUTOMATIC = zlib.MAX_WBITS | 32  # gzip or zlib, whichever the bytes are
PASSING = {408, 425, 429}  # the statuses from 400 to 499 that may pass with time
NEVER = {
    402,
    405,
    406,
    411,
    413,
    414,
    415,
    416,
    417,
    421,
    426,
    431,
    451,
    501,
    505,
}  # they will say the same tomorrow


def codings(headers: Mapping[str, str]) -> list[str]:
    """How a body is coded beyond what changes nothing in its bytes."""
    named = (name.strip().lower() for name in headers.get("content-encoding", "").split(","))
    return [name for name in named if name not in PLAIN_CODINGS]


def accept(status: int, headers: Mapping[str, str], max_bytes: int) -> None:
    """Raises unless the answer is a whole recording of a size that we take."""
    if status in (204, 205) or (400 <= status < 500 and status not in PASSING) or status in NEVER:
        gone = RecordingGone(f"The recording's host answers {status}.")
        gone.early = status not in NEVER
        raise gone
    if status not in (200, 203):
        raise DownloadFailed(
            f"The recording's host answers {status}.",
            http_status=status,
            retry_after_seconds=retry_after_seconds(headers),
        )
    length = headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and int(length) > max_bytes:
        raise TooLarge(f"The recording is larger than {max_bytes} bytes.")


def unpacked(pieces: Iterable[bytes], codings: list[str]) -> Iterator[bytes]:
    """A body without its gzip or deflate coding, at most PIECE_BYTES at a time.

    Labels lie: what does not begin as they say, and any other coding, is given as it came; decoding judges.
    Raises DownloadFailed over damaged or incomplete bytes.
    """
    if len(codings) != 1 or codings[0] not in ZLIB_CODINGS:
        yield from pieces
        return
    inflating, begun = zlib.decompressobj(AUTOMATIC), b""
    coded: bool | None = None  # not known yet
    for piece in pieces:
        if coded is None:
            begun += piece
            if len(begun) < 2:
                continue
            coded, piece = _is_zlib(begun), begun
        if not coded:
            yield piece
            continue
        try:
            while piece:
                yield inflating.decompress(piece, PIECE_BYTES)
                piece = inflating.unconsumed_tail
                if inflating.eof and inflating.unused_data:  # gzip may be several members
                    piece, inflating = inflating.unused_data, zlib.decompressobj(AUTOMATIC)
        except zlib.error:
            raise DownloadFailed("What the recording's host sends cannot be unpacked.") from None
    if coded is None and begun:
        yield begun
    if coded:
        yield inflating.flush()
        if not inflating.eof:
            raise DownloadFailed("The recording's host broke off a compressed body.")


def _is_zlib(head: bytes) -> bool:
    """gzip (RFC 1952) or zlib (RFC 1950) by its first two bytes."""
    return head[:2] == b"\x1f\x8b" or (head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0)
