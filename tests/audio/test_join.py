"""Several recordings of one call are one, in order."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from pipeline.audio.join import Joined, join
from pipeline.audio.limits import UploadLimits
from pipeline.audio.split import gathered, split
from pipeline.audio.tracks import Tracks
from pipeline.domain.errors import NotAudio, TooLong
from pipeline.domain.recording import Span
from tests.audio import signals

LOUD, QUIET = b"\x00\x40", b"\x00\x00"


def write(path: Path, *, seconds: float, channels: int = 1, rate: int = 8000, sounds: int = 0) -> Path:
    """A wav in which one of the channels holds a constant and the other nothing."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        frame = b"".join(LOUD if number == sounds else QUIET for number in range(channels))
        file.writeframes(frame * int(seconds * rate))
    return path


def channels_of(path: Path) -> tuple[int, list[bytes]]:
    """Rate and whole channels of what is decoded."""
    decoding, found = Tracks(path), []
    for block in decoding.blocks():
        found.append(block)
    return decoding.out_rate, [b"".join(part) for part in zip(*found, strict=True)]


def test_recordings_come_one_behind_the_other(tmp_path: Path) -> None:
    """Each channel stays its own, at the higher of their rates."""
    one = write(tmp_path / "1", seconds=1.0, channels=2, sounds=0)
    two = write(tmp_path / "2", seconds=0.5, channels=2, sounds=1, rate=16_000)
    assert join([one, two], out=tmp_path, name="joined", max_seconds=60) == Joined(0, ())
    rate, (left, right) = channels_of(tmp_path / "joined")
    assert (rate, len(left) // 2) == (16_000, 24_000)

    def sounds(channel: bytes, at: float) -> bool:
        return abs(int.from_bytes(channel[int(at * rate) * 2 :][:2], "little", signed=True)) > 8000

    assert [sounds(left, 0.5), sounds(right, 0.5)] == [True, False]
    assert [sounds(left, 1.25), sounds(right, 1.25)] == [False, True]


def test_one_of_one_channel_makes_all_of_one(tmp_path: Path) -> None:
    """Who spoke on which channel cannot be told for all of it."""
    one = write(tmp_path / "1", seconds=0.5, channels=2)
    two = write(tmp_path / "2", seconds=0.5)
    join([two, one], out=tmp_path, name="joined", max_seconds=60)
    rate, found = channels_of(tmp_path / "joined")
    assert (rate, len(found), len(found[0]) // 2) == (8000, 1, 8000)


def test_what_is_no_audio_is_left_out(tmp_path: Path) -> None:
    """A note beside the recordings is none; notes alone are an error."""
    note = tmp_path / "note"
    note.write_text("the client asks for a call")
    one = write(tmp_path / "1", seconds=0.5)
    assert join([note, one], out=tmp_path, name="joined", max_seconds=60) == Joined(1, ())
    assert len(channels_of(tmp_path / "joined")[1][0]) // 2 == 4000
    with pytest.raises(NotAudio):
        join([note, note], out=tmp_path, name="joined", max_seconds=60)


def test_together_they_may_be_too_long(tmp_path: Path) -> None:
    """The bound counts for the call, not for each recording."""
    one = write(tmp_path / "1", seconds=1.0)
    with pytest.raises(TooLong):
        join([one, one, one], out=tmp_path, name="joined", max_seconds=2.5)


def test_what_is_lost_of_them_is_missing(tmp_path: Path) -> None:
    """A recording that breaks off is told, and so is one of which nothing can be decoded, and where."""
    whole, cut, gone, page = (tmp_path / name for name in ("whole", "cut", "gone", "page"))
    signals.write(whole, signals.speech(8000, 2.0, first=30)[0], rate=8000)
    cut.write_bytes(whole.read_bytes()[:-16_000])
    gone.write_bytes(b"\x1c\xfe" * 4000)
    page.write_bytes(b"<!DOCTYPE html><html><body>This link has expired.</body></html>")
    joined = join([cut, gone, whole, page], out=tmp_path, name="joined", max_seconds=60)
    assert joined == Joined(
        0, (Span(start=1.0, end=2.0), Span(start=1.0, end=1.0), Span(start=3.0, end=3.0))
    )  # fmt: skip
    parts = split(
        tmp_path / "joined", sha256="0" * 64, content_type=None, missing=joined.missing, out=tmp_path / "out",
        limits=UploadLimits(), chunk_seconds=600.0, uploads_per_minute=4.0, name="chunk",
    )  # fmt: skip
    media, plan = gathered(parts)
    assert media.missing == plan.missing == joined.missing
