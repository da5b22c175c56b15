"""What FFmpeg does not tell of a file's first bytes: where sound begins, and how long it was meant to be."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

HEAD_BYTES = 65_536
BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
UTF8 = codecs.getincrementaldecoder("utf-8")
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
RATES = (44100, 48000, 32000)
KILOBITS = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG-1 layer III
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG-2 and 2.5
}


def junk_bytes(path: Path) -> int:
    """Bytes at the file's start that are no part of the recording: zeros, or a tag that claims too much.

    Some recorders leave zeros before the first mp3 frame, more than FFmpeg looks through. An ID3 tag
    whose length is wrong would make FFmpeg skip sound.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        at = 0
        while head and not any(head):
            at += len(head)
            head = file.read(HEAD_BYTES)
        if at:
            return at + next((index for index, byte in enumerate(head) if byte), 0)
    if head[:3] == b"ID3" and len(head) > 10:
        claimed = 10 + sum(
            (byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True)
        )
        first = mp3_chain(head, 10, min(claimed, len(head)))
        if first is not None and first < claimed:
            return first
    return 0


def is_text(data: bytes) -> bool:
    """Whether bytes are nothing but text, as no recording is."""
    try:
        return BINARY.search(data) is None and bool(UTF8().decode(data))  # its last letter may be cut
    except UnicodeDecodeError:
        return False


def id3_bytes(head: bytes) -> int:
    """The length that an ID3v2 header of ten bytes gives for what follows it."""
    return sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))


def declared_asf(path: Path) -> float | None:
    """Seconds that the File Properties Object of an ASF file claims; None where nobody filled it in.

    Source: Advanced Systems Format specification, section 3.2.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    at = head.find(ASF_PROPERTIES)
    if at < 0 or len(head) < at + 92 or head[at + 88] & 1:  # 1: broadcast, its times are not valid
        return None
    play_ticks = int.from_bytes(head[at + 64 : at + 72], "little")
    preroll_ms = int.from_bytes(head[at + 80 : at + 88], "little")
    return max(0.0, play_ticks / 10_000_000 - preroll_ms / 1000) or None


def declared_mp3(path: Path, first_frame: int) -> tuple[int, int] | None:
    """Frames that a tag just before the first frame claims (Xing, Info, VBRI), and samples that it drops."""
    start = max(0, first_frame - 2048)
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(first_frame - start)
    vbri = data.rfind(b"VBRI")  # Fraunhofer's tag, always 32 bytes behind its frame's header
    if vbri >= 36 and len(data) >= vbri + 18 and frame_bytes(data[vbri - 36 : vbri - 32]):
        return int.from_bytes(data[vbri + 14 : vbri + 18], "big"), 0
    at = max(data.rfind(b"Xing"), data.rfind(b"Info"))
    if at < 4 or len(data) < at + 12 or not data[at + 7] & 1:
        return None
    frames = int.from_bytes(data[at + 8 : at + 12], "big")
    flags = data[at + 7]
    lame = at + 12 + 4 * bool(flags & 2) + 100 * bool(flags & 4) + 4 * bool(flags & 8)
    pads = data[lame + 21 : lame + 24]
    known = data[lame : lame + 4] in (b"LAME", b"Lavf", b"Lavc") and len(pads) == 3
    return (frames, (pads[0] << 4 | pads[1] >> 4) + ((pads[1] & 15) << 8 | pads[2])) if known else (frames, 0)


def mp3_chain(data: bytes, start: int, end: int) -> int | None:
    """Where four mp3 frames of one kind follow one another, from `start` on; None where they do not."""
    at = data.find(b"\xff", start)
    while 0 <= at < end:
        position = at
        for _ in range(4):
            length = frame_bytes(data[position : position + 4])
            if not length or data[position + 1] != data[at + 1] or (data[position + 2] ^ data[at + 2]) & 0x0C:
                break
            position += length
        else:
            return at
        at = data.find(b"\xff", at + 1)
    return None


def frame_bytes(header: bytes) -> int:
    """The length of the layer III frame with that header; 0 for anything else."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, bits, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or rate == 3 or bits in (0, 15):
        return 0
    hertz = RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    kilobits = KILOBITS[3 if version == 3 else 2][bits]
    return (144 if version == 3 else 72) * kilobits * 1000 // hertz + (header[2] >> 1 & 1)
