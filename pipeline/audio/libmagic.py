"""What bytes are that are no recording: libmagic's opinion, for people. It never rejects audio by itself."""

from __future__ import annotations

from pathlib import Path

import pylibmagic  # noqa: F401  (first: it tells `magic` where the library inside the wheel lies)

import magic  # isort: skip

HEAD_BYTES = 65_536
UNMARKED = {"mp3", "aac", "ac3", "eac3", "dts", "gsm", "mpeg", "mpegts", "mpc"}  # demuxers that guess
PACKED = {
    "application/pdf", "application/zip", "application/gzip",
    "application/x-tar", "application/x-7z-compressed", "application/x-rar", "application/x-bzip2",
    "application/x-xz", "application/zstd", "application/x-executable", "application/x-pie-executable",
    "application/x-sharedlib", "application/x-mach-binary", "application/vnd.microsoft.portable-executable",
    "application/x-dosexec", "application/msword", "application/vnd.ms-excel", "application/x-sqlite3",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "image/png", "image/jpeg", "image/gif", "image/webp", "image/tiff", "image/svg+xml",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}  # fmt: skip
FOREIGN = PACKED | {"application/json", "application/xml"}


def kind(path: Path, start: int = 0) -> str | None:
    """The MIME type of a file's bytes from `start` on as libmagic sees it; None where it knows none."""
    with path.open("rb") as file:
        file.seek(start)
        return _kind(file.read(HEAD_BYTES))


def _kind(head: bytes) -> str | None:
    try:
        found = str(magic.from_buffer(head, mime=True))
    except magic.MagicException:
        return None
    return found if found not in ("application/octet-stream", "") else None


def packed(head: bytes) -> bool:
    """Whether bytes begin an archive, a program, a picture: a recording inside of it is not looked for."""
    found = _kind(head) or ""
    return found in PACKED


def foreign(path: Path, start: int = 0, *, page: bool = True) -> bool:
    """Whether libmagic is sure that the bytes are something quite different: a program, a page, a picture.

    page: whether a page counts, as hosts give instead of a file. Only worth asking of formats without a
    signature, such as mp3: their frames turn up in any bytes.
    """
    found = kind(path, start) or ""
    return (found.startswith("text/") or found in FOREIGN) and (page or found != "text/html")
