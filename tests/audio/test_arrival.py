"""What a body that was downloaded tells of its length before anything is decoded."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pipeline.audio.arrival import COMPRESSED_BYTES_PER_SECOND, likely_seconds
from pipeline.audio.limits import MIN_SAMPLE_RATE
from tests.audio.signals import speech, write

SECONDS = 20.0


@pytest.mark.parametrize(
    ("codec", "container"),
    [
        ("pcm_s16le", "wav"), ("pcm_s24le", "wav"), ("pcm_f32le", "wav"), ("pcm_alaw", "wav"),
        ("pcm_u8", "wav"), ("pcm_s16le", "w64"), ("pcm_mulaw", "w64"), ("pcm_s16be", "aiff"),
        ("pcm_s24be", "aiff"), ("pcm_alaw", "aiff"), ("pcm_s16be", "caf"), ("pcm_mulaw", "caf"),
        ("pcm_s16be", "au"), ("pcm_mulaw", "au"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rate", [8000, 44_100])
@pytest.mark.parametrize("sides", [1, 2])
def test_uncompressed_sound_tells_its_length(
    tmp_path: Path, codec: str, container: str, rate: int, sides: int
) -> None:
    """Whatever its samples, rate, channels and container are, also behind remains of HTTP."""
    pcm, _ = speech(rate, SECONDS)
    path = write(tmp_path / "a", *[pcm] * sides, rate=rate, codec=codec, container=container)
    assert likely_seconds(path) == pytest.approx(SECONDS, rel=0.02)
    (tmp_path / "b").write_bytes(b"HTTP/1.1 200 OK\r\n\r\n" + path.read_bytes())
    assert likely_seconds(tmp_path / "b") == pytest.approx(SECONDS, rel=0.02)


@pytest.mark.parametrize(
    ("codec", "container"), [("libmp3lame", "mp3"), ("libmp3lame", "wav"), ("flac", "flac")]
)
def test_compressed_sound_is_taken_for_64_kbit(tmp_path: Path, codec: str, container: str) -> None:
    """Its header tells no rate that could be relied on, in a wav neither."""
    path = write(tmp_path / "a", speech(8000, 3.0)[0], rate=8000, codec=codec, container=container)
    assert likely_seconds(path) == path.stat().st_size / COMPRESSED_BYTES_PER_SECOND


def test_no_header_breaks_it(tmp_path: Path) -> None:
    """Whatever bytes stand in a header, or are missing, the answer is a length that the size allows."""
    chance = random.Random(1)
    for container, codec in (("wav", "pcm_s16le"), ("w64", "pcm_s16le"), ("aiff", "pcm_s16be"),
                             ("caf", "pcm_s16be"), ("au", "pcm_s16be")):  # fmt: skip
        whole = write(
            tmp_path / container, speech(8000, 0.5)[0], rate=8000, codec=codec, container=container
        ).read_bytes()
        for _ in range(300):
            spoilt = bytearray(whole[: chance.choice([len(whole), chance.randrange(200)])])
            for _ in range(chance.randrange(8)):
                if spoilt:
                    spoilt[chance.randrange(min(len(spoilt), 150))] = chance.choice(
                        [0, 255, chance.randrange(256)]
                    )
            (tmp_path / "x").write_bytes(spoilt)
            assert 0 <= likely_seconds(tmp_path / "x") <= len(spoilt) / MIN_SAMPLE_RATE
