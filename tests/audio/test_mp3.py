"""Copying mp3 frames: pieces decode to the very samples of the whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from tests.audio.conftest import Cut
from tests.audio.signals import speech, write


def samples(path: Path) -> bytes:
    """What the decoder gives, unconverted."""
    with av.open(str(path)) as container:
        frames = container.decode(container.streams.audio[0])
        return b"".join(bytes(memoryview(frame.planes[0])[: frame.samples * 4]) for frame in frames)


@pytest.mark.parametrize(
    ("rate", "bit_rate"),
    [(8000, 16_000), (8000, 8_000), (16_000, 32_000), (44_100, 64_000), (48_000, 128_000)],
)
def test_pieces_decode_to_the_whole(
    tmp_path: Path, cut: Callable[..., Cut], rate: int, bit_rate: int
) -> None:
    """The pieces' samples, one after another, are the recording's, to the bit: frames lean on none before."""
    pcm, _ = speech(rate, 50)
    path = write(tmp_path / "a", pcm, rate=rate, codec="libmp3lame", container="mp3", bit_rate=bit_rate)
    found = cut(path, chunk_seconds=20.0)
    assert len(found.plan.chunks) >= 3
    assert all(chunk.filename.endswith(".mp3") for chunk in found.plan.chunks)
    whole = samples(path)
    parts = b"".join(samples(found.out / chunk.blob) for chunk in found.plan.chunks)
    assert len(parts) == len(whole)
    assert parts == whole
    copied = sum(chunk.size_bytes for chunk in found.plan.chunks)
    assert copied < path.stat().st_size * 1.05 + 4096


def mp3(tmp_path: Path, seconds: float, *, rate: int = 8000, name: str = "a") -> bytes:
    pcm, _ = speech(rate, seconds)
    path = tmp_path / name
    return write(path, pcm, rate=rate, codec="libmp3lame", container="mp3", bit_rate=32_000).read_bytes()


def test_length_from_samples(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Joined recordings, leading zeros and a tag of a wrong length change nothing about what is heard."""
    one = mp3(tmp_path, 20)
    tag = one[:10]
    lying = one[:6] + bytes([0, 0, 0x7F, 0x7F]) + one[10:]
    for name, data, seconds in (
        ("joined", one + one, 40.0),
        ("zeros", bytes(3000) + one, 20.0),
        ("many zeros", bytes(2_000_000) + one, 20.0),
        ("bad tag", lying, 20.0),
        ("cut mid-frame", one[:-37], 20.0),
        ("other rate", one + mp3(tmp_path, 20, rate=16_000, name="b"), 40.0),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        found = cut(path)
        assert found.plan.seconds == pytest.approx(seconds, abs=0.2), name
        assert not found.plan.missing, name
        assert len(found.words()) == len(cut(tmp_path / "a").words()) * round(seconds / 20), name
    assert tag[:3] == b"ID3"


@pytest.mark.parametrize("tail", [b"\0", b"\r\n", b"\xff", b"\n\0\n"])
def test_bytes_behind_the_last_frame(tmp_path: Path, cut: Callable[..., Cut], tail: bytes) -> None:
    """A few bytes behind a recording are no sound: it is cut and copied as without them."""
    data = mp3(tmp_path, 50)
    path = tmp_path / "longer"
    path.write_bytes(data + tail)
    found, clean = cut(path, chunk_seconds=20.0), cut(tmp_path / "a", chunk_seconds=20.0)
    assert found.plan == clean.plan
    assert found.bytes() == clean.bytes()
    assert all(chunk.filename.endswith(".mp3") for chunk in found.plan.chunks)


def test_truncated(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """A recording that breaks off is taken as far as it goes, and what its header promised is missing."""
    data = mp3(tmp_path, 40)
    path = tmp_path / "half"
    path.write_bytes(data[: len(data) // 2])
    (missing,) = cut(path).plan.missing
    assert missing.start == pytest.approx(20, abs=0.3)
    assert missing.end == pytest.approx(40, abs=0.3)


def test_hole(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """A damaged stretch is missing at its place, and what follows keeps its time."""
    data = bytearray(mp3(tmp_path, 40))
    size = len(data)
    data[size // 4 : size // 2] = b"\x55" * (size // 2 - size // 4)
    path = tmp_path / "hole"
    path.write_bytes(data)
    found = cut(path)
    (missing,) = found.plan.missing
    assert missing.start == pytest.approx(10, abs=0.5)
    assert missing.end == pytest.approx(20, abs=0.5)
    assert found.plan.seconds == pytest.approx(40, abs=0.5)
    clean = cut(tmp_path / "a").words()
    late = [each for each in clean if each.start > 21]
    heard = [each for each in found.words() if each.start > 20.7]
    assert [each.number for each in heard] == [each.number for each in late]
    assert abs(heard[-1].start - late[-1].start) < 0.3


def test_truncated_wav(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """A wav that breaks off is partial; one that was written to a pipe, with sizes unset, is not."""
    pcm, said = speech(8000, 20)
    data = bytearray(write(tmp_path / "a", pcm, rate=8000).read_bytes())
    at = data.index(b"data") + 4
    path = tmp_path / "half"
    path.write_bytes(data[: len(data) // 2])
    (missing,) = cut(path).plan.missing
    assert missing.end == pytest.approx(20, abs=0.1)
    for claimed in (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\xf0\xff\x7f"):
        data[at : at + 4] = claimed
        path.write_bytes(data)
        found = cut(path)
        assert not found.plan.missing
        assert found.plan.seconds == pytest.approx(20, abs=0.1)
        assert [each.number for each in found.words()] == [each.number for each in said]
        assert found.plan.chunks[0].filename.endswith(".flac")  # the header would mislead the recogniser
