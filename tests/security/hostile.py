"""Files that want to hurt who opens them, made byte by byte; none of them is large."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path


def wav(
    *,
    rate: int = 8000,
    channels: int = 1,
    bits: int = 16,
    tag: int = 1,
    align: int | None = None,
    data: bytes = bytes(16000),
    claimed: int | None = None,
) -> bytes:
    """A RIFF file whose header says what it is told to say."""
    align = channels * bits // 8 if align is None else align
    head = struct.pack(
        "<HHIIHH",
        tag,
        channels & 0xFFFF,
        rate & 0xFFFFFFFF,
        (rate * align) & 0xFFFFFFFF,
        align & 0xFFFF,
        bits,
    )
    body = b"fmt " + struct.pack("<I", len(head)) + head
    body += b"data" + struct.pack("<I", len(data) if claimed is None else claimed) + data
    return b"RIFF" + struct.pack("<I", 4 + len(body) & 0xFFFFFFFF) + b"WAVE" + body


def flac_silence(hours: float, *, rate: int = 8000) -> bytes:
    """Hours of true digital silence in FLAC: 15 bytes for every 8 seconds."""
    block = 65535
    info = struct.pack(">HH", block, block) + bytes(6)
    info += ((rate << 44) | (0 << 41) | (15 << 36)).to_bytes(8, "big") + bytes(16)
    out = bytearray(b"fLaC" + bytes([0x80]) + len(info).to_bytes(3, "big") + info)
    for number in range(int(hours * 3600 * rate / block)):
        # sync, fixed blocks; 16 bit block size, rate from the header; mono, 16 bit; the frame's number
        head = b"\xff\xf8\x70\x08" + _utf8(number) + struct.pack(">H", block - 1)
        frame = head + bytes([_crc(head, 0x07, 8)]) + b"\x00" + bytes(2)  # a constant subframe of zero
        out += frame + struct.pack(">H", _crc(frame, 0x8005, 16))
    return bytes(out)


def _utf8(number: int) -> bytes:
    return chr(number).encode("utf-8", "surrogatepass")


def _crc(data: bytes, polynomial: int, bits: int) -> int:
    value, top, mask = 0, 1 << bits - 1, (1 << bits) - 1
    for byte in data:
        value ^= byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
    return value


def box(kind: bytes, *parts: bytes, size: int | None = None) -> bytes:
    """An MP4 box."""
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8 if size is None else size) + kind + body


def mp4(table: bytes, *, kind: bytes = b"alac") -> bytes:
    """An audio track with a sample table of its own making."""
    entry = box(
        kind, bytes(6), struct.pack(">H", 1), bytes(8), struct.pack(">HHHHI", 1, 16, 0, 0, 8000 << 16)
    )
    tables = box(b"stbl", box(b"stsd", bytes(4), struct.pack(">I", 1), entry), table)
    media = box(
        b"mdia",
        box(b"mdhd", bytes(12), struct.pack(">II", 8000, 8000), bytes(4)),
        box(b"hdlr", bytes(8), b"soun", bytes(13)),
        box(b"minf", box(b"smhd", bytes(8)), tables),
    )
    head = bytes(8) + struct.pack(">I", 1) + bytes(72)
    movie = box(b"moov", box(b"mvhd", bytes(100)), box(b"trak", box(b"tkhd", head), media))
    return box(b"ftyp", b"M4A \x00\x00\x02\x00isomiso2") + movie + box(b"mdat", bytes(1000))


def deep(levels: int) -> bytes:
    """Boxes in boxes in boxes."""
    body = b""
    for _ in range(levels):
        body = box(b"moov", body)
    return box(b"ftyp", b"M4A \x00\x00\x02\x00") + body


def aiff(rate: bytes, *, channels: int = 1, frames: int = 8000) -> bytes:
    comm = struct.pack(">hIh", channels, frames, 16) + rate
    body = b"COMM" + struct.pack(">I", len(comm)) + comm
    body += b"SSND" + struct.pack(">I", 16008) + bytes(16008)
    return b"FORM" + struct.pack(">I", 4 + len(body)) + b"AIFF" + body


def png() -> bytes:
    return bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002000001"
        "0005fe02fea7000000000049454e44ae426082"
    )


def archive() -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as file:
        file.writestr("call.wav", wav())
    return memory.getvalue()


def tar() -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as file:
        entry = tarfile.TarInfo("call.wav")
        entry.size = len(wav())
        file.addfile(entry, io.BytesIO(wav()))
    return memory.getvalue()


def never_recordings(secret: Path) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) that must be refused; `secret` is a real recording that scripts try to reach."""
    yield "empty", b""
    yield "one-byte", b"\x00"
    yield "zeros", bytes(100_000)
    yield "html", b"<!DOCTYPE html><html><body>Please log in</body></html>"
    yield "json", b'{"error": "expired_token", "error_description": "The access token has expired"}'
    yield "xml", b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'
    yield "text", b"just words\n" * 1000
    yield "cyrillic", "Запись удалена\n".encode() * 100
    yield "pdf", b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF"
    yield "elf", b"\x7fELF\x02\x01\x01" + bytes(2000)
    yield "zip", archive()
    yield "tar", tar()
    yield "gzip", gzip.compress(wav())
    yield "png", png()
    yield (
        "gif",
        b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;",
    )
    yield (
        "bmp",
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 58, 0, 0, 54, 40, 1, 1, 1, 24, 0, 4, 0, 0, 0, 0) + bytes(4),
    )
    yield "svg", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    # scripts that make FFmpeg open other files
    yield "ffconcat", f"ffconcat version 1.0\nfile '{secret}'\n".encode()
    yield "ffconcat-relative", f"ffconcat version 1.0\nfile {secret.name}\n".encode()
    yield (
        "concat-protocol",
        f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\nconcat:{secret}\n#EXT-X-ENDLIST\n".encode(),
    )
    yield "hls", f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10.0,\n{secret}\n#EXT-X-ENDLIST\n".encode()
    yield (
        "hls-file",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10.0,\nfile://{secret}\n#EXT-X-ENDLIST\n".encode(),
    )
    yield "hls-http", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:1/x\n#EXT-X-ENDLIST\n"
    yield "hls-in-avi", b"RIFF\x00\x00\x00\x00AVI #EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    yield (
        "dash",
        f'<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>file://{secret}</BaseURL></Representation></AdaptationSet></Period></MPD>'.encode(),
    )
    yield "pls", f"[playlist]\nFile1={secret}\nNumberOfEntries=1\n".encode()
    yield "sdp", b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n"
    yield "ffmetadata", b";FFMETADATA1\ntitle=x\n"
    yield (
        "imf",
        b'<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"></CompositionPlaylist>',
    )
    yield "lrc", b"[00:00.00]words\n[00:01.00]words\n"
    yield "srt", b"1\n00:00:00,000 --> 00:00:01,000\nwords\n\n"
    # rates, channels and shapes that no telephone has
    yield "wav-1-hz", wav(rate=1, data=bytes(5_000_000))
    yield "wav-0-hz", wav(rate=0)
    yield "wav-1-ghz", wav(rate=1_000_000_000)
    yield "wav-4-ghz", wav(rate=0xFFFFFFFF)
    yield "wav-3999-hz", wav(rate=3999)
    yield "wav-65535-channels", wav(channels=65535, align=2)
    yield "wav-9-channels", wav(channels=9, data=bytes(18 * 800))
    yield "wav-0-channels", wav(channels=0, align=2)
    yield "wav-no-data", wav(data=b"")
    yield "wav-unknown-codec", wav(tag=0xBEEF)
    yield "wav-999-bits", wav(bits=999)
    yield "wav-head-alone", wav()[:20]
    yield "aiff-infinite-rate", aiff(b"\x7f\xff" + b"\x80" + bytes(7))
    yield "aiff-nan-rate", aiff(b"\x7f\xff" + b"\xff" * 8)
    yield "aiff-negative-rate", aiff(b"\xc0\x0b\xfa" + bytes(7))
    # counts and sizes that promise gigabytes
    huge = struct.pack(">I", 0xFFFFFFFF)
    yield "mp4-4g-sizes", mp4(box(b"stsz", bytes(8), huge))
    yield "mp4-4g-times", mp4(box(b"stts", bytes(4), huge))
    yield "mp4-4g-chunks", mp4(box(b"stco", bytes(4), huge))
    yield "mp4-4g-map", mp4(box(b"stsc", bytes(4), huge))
    one = box(b"stts", bytes(4), struct.pack(">III", 1, 0x7FFFFFFF, 1))
    yield "mp4-2g-samples", mp4(one + box(b"stsz", bytes(4), struct.pack(">II", 1, 0x7FFFFFFF)))
    yield "mp4-box-of-nothing", box(b"ftyp", b"M4A \x00\x00\x02\x00") + box(b"moov", size=1) + bytes(8)
    yield "mp4-deep", deep(5000)
    yield "id3-256m", b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + bytes(5000)
    yield "id3-html", b"ID3\x03\x00\x00\x00\x00\x00\x0a" + bytes(10) + b"<html>not found</html>" * 50
    yield "id3-apic", b"ID3\x03\x00\x00\x00\x00\x10\x00APIC\x7f\xff\xff\xff\x00\x00" + bytes(2048)
    yield "ogg-laces", (b"OggS\x00\x02" + bytes(20) + b"\xff" + b"\xff" * 255) * 50
    yield "mkv-8e-bytes", b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xfe" + bytes(1000)
    yield (
        "mkv-void",
        b"\x1a\x45\xdf\xa3\x84\x42\x82\x81w\x18\x53\x80\x67\x01" + b"\xff" * 7 + b"\xec\x01" + b"\xff" * 6,
    )
    yield "flac-head-alone", flac_silence(0)
    yield "caf-negative", b"caff\x00\x01\x00\x00desc" + struct.pack(">q", -1) + bytes(100)
    yield "amr-head-alone", b"#!AMR\n"
    yield "flv-head-alone", b"FLV\x01\x05\x00\x00\x00\x09" + bytes(4)
    yield "avi-0-streams", b"RIFF\xff\xff\xff\xffAVI LIST\xff\xff\xff\xffhdrlavih" + bytes(100)


def lying(secret: Path) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of files that lie in their headers, and may still be read as what little they hold."""
    yield "au-4g-head", b".snd" + struct.pack(">IIIII", 0xFFFFFFFF, 0xFFFFFFFF, 3, 8000, 1) + bytes(1000)
    yield "wav-0-align", wav(align=0)
    yield "wav-4g-data", wav(data=secret.read_bytes()[44:], claimed=0xFFFFFFFF)
    yield "wav-odd-data", wav(data=secret.read_bytes()[44:], claimed=3)
    yield "wav-then-html", secret.read_bytes() + b"<html>" * 1000
