"""Recordings of machine-readable words, cut and encoded: every word once, in order, none torn."""

from __future__ import annotations

import audioop
import math
import os
import random
from array import array
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.audio.halve import halve
from pipeline.audio.levels import scan
from pipeline.audio.limits import UploadLimits, encoding, longest_piece
from pipeline.audio.sniff import sniff
from pipeline.domain.errors import NoSpeech, TooLong
from tests.audio.conftest import Cut
from tests.audio.signals import decoded, mixed, noise, read, speech, word, write

CASES = [
    ("pcm_s16le", "wav", 8000, None, 20.0),
    ("pcm_alaw", "wav", 8000, None, 33.0),
    ("adpcm_ms", "wav", 8000, None, 20.0),
    ("libmp3lame", "mp3", 8000, 16_000, 20.0),
    ("libmp3lame", "mp3", 16_000, 24_000, 27.0),
    ("libmp3lame", "mp3", 44_100, 64_000, 20.0),
    ("libopus", "ogg", 48_000, 24_000, 33.0),
    ("libopus", "webm", 48_000, 24_000, 600.0),
    ("aac", "ipod", 16_000, 32_000, 33.0),
    ("libopencore_amrnb", "amr", 8000, 12_200, 20.0),
    ("flac", "flac", 11_025, None, 20.0),
    ("wmav2", "asf", 44_100, 64_000, 40.0),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}")
def test_every_word_once(
    tmp_path: Path, cut: Callable[..., Cut], case: tuple[str, str, int, int | None, float]
) -> None:
    """Every word is in exactly one chunk, whole, at its time, whatever the codec and the limit."""
    codec, container, rate, bit_rate, longest = case
    pcm, said = speech(rate, 45)
    path = write(tmp_path / "call", pcm, rate=rate, codec=codec, container=container, bit_rate=bit_rate)
    found = cut(path, chunk_seconds=longest)
    words = found.words()
    assert [each.number for each in words] == [each.number for each in said]
    assert not any(each.torn for each in words)
    assert max(abs(one.start - other.start) for one, other in zip(words, said, strict=True)) < 0.08
    spans = [chunk.span for chunk in found.plan.chunks]
    assert spans[0].start == 0
    assert spans[-1].end == pytest.approx(found.plan.seconds)
    assert all(before.end == after.start for before, after in pairwise(spans))
    assert all(span.seconds <= longest for span in spans)
    assert found.plan.seconds == pytest.approx(45, abs=0.2)
    assert not found.plan.missing


def test_same_plan_same_bytes(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Cutting again gives the same plan and the same bytes, copied or encoded."""
    pcm, _ = speech(8000, 50)
    for codec, container in (("libmp3lame", "mp3"), ("pcm_alaw", "wav")):
        path = write(tmp_path / container, pcm, rate=8000, codec=codec, container=container)
        one, other = cut(path, chunk_seconds=20.0), cut(path, chunk_seconds=20.0)
        assert one.plan == other.plan
        assert len(one.plan.chunks) > 2
        assert one.bytes() == other.bytes()
    small = UploadLimits(max_bytes=200_000)  # mp3 at 64 kbit/s
    assert (
        cut(path, limits=small, chunk_seconds=20.0).bytes()
        == cut(path, limits=small, chunk_seconds=20.0).bytes()
    )


@pytest.mark.parametrize(
    ("codec", "container", "rate", "ending"),
    [
        ("libmp3lame", "mp3", 8000, "mp3"),
        ("pcm_s16le", "wav", 8000, "wav"),
        ("libopus", "ogg", 48_000, "ogg"),
        ("libopus", "webm", 48_000, "webm"),
        ("aac", "ipod", 16_000, "m4a"),
        ("flac", "flac", 16_000, "flac"),
    ],
)
def test_sent_as_it_came(
    tmp_path: Path, cut: Callable[..., Cut], codec: str, container: str, rate: int, ending: str
) -> None:
    """A short call in an accepted format is sent unchanged, under a canonical name."""
    path = write(tmp_path / "call", speech(rate, 12)[0], rate=rate, codec=codec, container=container)
    found = cut(path)
    assert found.bytes() == [path.read_bytes()]
    assert found.plan.chunks[0].filename == f"chunk-000.{ending}"
    only_flac = cut(path, limits=UploadLimits(formats=("flac",)))
    assert only_flac.plan.chunks[0].filename == "chunk-000.flac"


def test_limits_hold(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """No chunk is longer, bigger or of another format than the model takes."""
    pcm, said = speech(16_000, 70)
    path = write(tmp_path / "call", pcm, rate=16_000)
    for limits in (
        UploadLimits(max_bytes=120_000),
        UploadLimits(max_bytes=400_000, formats=("flac",)),
        UploadLimits(max_seconds=20),
        UploadLimits(max_bytes=300_000, formats=("wav",)),
    ):
        found = cut(path, limits=limits)
        assert [each.number for each in found.words()] == [each.number for each in said]
        for chunk in found.plan.chunks:
            pcm_bytes, rate = decoded(found.out / chunk.blob)
            assert chunk.size_bytes == (found.out / chunk.blob).stat().st_size <= limits.max_bytes
            assert len(pcm_bytes) / 2 / rate <= limits.max_seconds
            assert chunk.filename.rpartition(".")[2] in limits.formats


def test_copied_mp3_within_bytes(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Copied mp3 frames keep within the byte limit as well."""
    pcm, said = speech(16_000, 120)
    path = write(tmp_path / "call", pcm, rate=16_000, codec="libmp3lame", container="mp3", bit_rate=64_000)
    found = cut(path, limits=UploadLimits(max_bytes=200_000))
    assert max(chunk.size_bytes for chunk in found.plan.chunks) <= 200_000
    assert len(found.plan.chunks) < 9
    assert [each.number for each in found.words()] == [each.number for each in said]


@pytest.mark.parametrize(("rate", "seconds"), [(8000, 600), (16_000, 600), (16_000, 1500), (4000, 30)])
def test_by_construction(rate: int, seconds: float) -> None:
    """The longest piece that is planned fits in the format that is chosen for it."""
    for limits in (UploadLimits(), UploadLimits(max_bytes=1_000_000), UploadLimits(formats=("wav",))):
        longest = longest_piece(rate, limits, seconds)
        assert longest <= seconds
        assert encoding(longest, rate, limits) in limits.formats


def test_silence_is_not_sent(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Nothing but silence is refused; long silence inside a call is in no chunk; all words still are."""
    path = write(tmp_path / "silent", noise(8000, 20, 20), rate=8000)
    with pytest.raises(NoSpeech):
        cut(path)
    pcm, said = speech(8000, 12)
    path = write(tmp_path / "hold", pcm + bytes(16_000 * 50) + pcm, rate=8000)
    found = cut(path)
    assert sum(chunk.span.seconds for chunk in found.plan.chunks) < 30
    assert [each.number for each in found.words()] == 2 * [each.number for each in said]


def test_quiet_speech_is_heard(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Speech at -50 dBFS is sent, also next to loud speech."""
    loud, _ = speech(8000, 12, level=16_000)
    quiet, _ = speech(8000, 40, level=150)
    found = cut(write(tmp_path / "call", quiet + loud + quiet, rate=8000))
    assert sum(chunk.span.seconds for chunk in found.plan.chunks) == pytest.approx(92)
    alone = cut(write(tmp_path / "quiet", quiet, rate=8000))
    assert alone.plan.chunks[0].sounding_seconds > 10


def test_too_long(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """A longer recording than allowed is refused as soon as that much was decoded."""
    path = write(tmp_path / "call", bytes(2 * 8000 * 90), rate=8000, codec="flac", container="flac")
    with pytest.raises(TooLong):
        cut(path, max_seconds=30)


@pytest.mark.parametrize(("codec", "container"), [("flac", "flac"), ("libopus", "ogg"), ("aac", "ipod")])
def test_too_long_at_once(tmp_path: Path, codec: str, container: str) -> None:
    """Hours of sound are refused by a look past the limit; a header that only claims them is not believed."""
    path = write(tmp_path / "call", bytes(2 * 48_000 * 40), rate=48_000, codec=codec, container=container)
    with pytest.raises(TooLong):
        sniff(path, sha256="", content_type=None, max_seconds=30)
    assert sniff(path, sha256="", content_type=None, max_seconds=41).codec
    if container == "flac":
        data = bytearray(path.read_bytes())
        data[21:26] = data[21:22] + (48_000 * 3600 * 5).to_bytes(4, "big")  # STREAMINFO: total samples
        path.write_bytes(data)
        assert sniff(path, sha256="", content_type=None, max_seconds=3600).codec == "flac"


def test_halves(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """A chunk asked again is cut at a pause near its middle; both halves together hold its words."""
    pcm, _ = speech(8000, 60)
    for codec, container in (("libmp3lame", "mp3"), ("pcm_s16le", "wav")):
        path = write(tmp_path / container, pcm, rate=8000, codec=codec, container=container)
        found = cut(path, chunk_seconds=25.0)
        chunk = found.plan.chunks[1]
        first, second = halve(path, chunk, out=found.out, limits=UploadLimits())
        assert (first.id, second.id) == (f"{chunk.id}a", f"{chunk.id}b")
        assert (first.span.start, second.span.end) == (chunk.span.start, chunk.span.end)
        assert first.span.end == second.span.start
        assert abs(first.span.seconds - second.span.seconds) < chunk.span.seconds / 2 + 0.1
        whole = read(*decoded(found.out / chunk.blob))
        parts = read(*decoded(found.out / first.blob)) + read(*decoded(found.out / second.blob))
        assert [each.number for each in parts] == [each.number for each in whole]
        assert replace(first, sounding_seconds=0) != replace(second, sounding_seconds=0)


@pytest.mark.parametrize("seconds", [0.1, 1.5, 5.0])
def test_a_short_sentence_is_asked_for_again_whole(
    tmp_path: Path, cut: Callable[..., Cut], seconds: float
) -> None:
    """Down to a tenth of a second, a short sentence is written again as one, and never cut in a word."""
    pcm = word(5, 8000)[:1600] if seconds < 1 else speech(8000, seconds)[0]
    for codec, container in (("libmp3lame", "mp3"), ("pcm_s16le", "wav")):
        path = write(tmp_path / container, pcm, rate=8000, codec=codec, container=container)
        found = cut(path)
        chunk = found.plan.chunks[0]
        (again,) = halve(path, chunk, out=found.out, limits=UploadLimits())
        assert again.id == "0a"
        assert again.span.start <= chunk.span.start < chunk.span.end <= again.span.end
        whole = read(*decoded(found.out / chunk.blob))
        assert [each.number for each in read(*decoded(found.out / again.blob))] == [
            each.number for each in whole
        ]


def test_one_second(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """A call of a second, and one of a single word, are whole."""
    pcm, said = speech(8000, 1.0, pause=(0.2, 0.3), start=0.2)
    assert [each.number for each in cut(write(tmp_path / "a", pcm, rate=8000)).words()] == [said[0].number]
    tiny = word(5, 8000)[:1000]  # 62 ms: recognisers refuse uploads under 100
    found = cut(write(tmp_path / "b", tiny, rate=8000))
    assert len(decoded(found.out / found.plan.chunks[0].blob)[0]) >= 0.2 * 16_000


def test_a_voice_is_no_offset(tmp_path: Path) -> None:
    """The offset of a converter is taken from where nobody speaks: a lopsided voice has a mean of its own."""
    lopsided = array("h", (12_000 if at % 40 < 8 else -1000 for at in range(6000))).tobytes()
    quiet = bytes(2 * 2000)
    found = scan(write(tmp_path / "voice", quiet + lopsided + bytes(2 * 32_000), rate=8000), max_seconds=99)
    assert max(found.channels[0].windows[:12]) == 0
    assert max(found.channels[0].windows[52:]) == 0
    biased = [audioop.bias(pcm, 2, 400) for pcm in (lopsided, bytes(2 * 32_000))]
    found = scan(write(tmp_path / "bias", b"".join(biased), rate=8000), max_seconds=99)
    assert max(found.channels[0].windows[52:]) == 0


@pytest.mark.parametrize(("decibels", "told"), [(12, 12), (25, 25), (60, 60)])
def test_how_far_speech_is_above_noise(
    tmp_path: Path, cut: Callable[..., Cut], decibels: float, told: float
) -> None:
    """A plan tells per channel by how much its speech is louder than what sounds all the time."""
    pcm, _ = speech(8000, 30, pause=(0.6, 0.9))
    level = 8000 / math.sqrt(2) * 10 ** (-decibels / 20)
    chance = random.Random(3)
    hiss = array("h", (round(chance.gauss(0, level)) for _ in range(len(pcm) // 2))).tobytes()
    found = cut(write(tmp_path / "a", mixed(pcm, hiss), rate=8000))
    assert found.plan.above_noise == (pytest.approx(told, abs=2.5),)


def test_pieces_encoded_side_by_side_are_the_same(
    tmp_path: Path, cut: Callable[..., Cut], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many processors a machine has, the same bytes come of a recording, in the same order."""
    path = write(tmp_path / "a", speech(8000, 90)[0], rate=8000)
    found = []
    for processors in (1, 4):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, count=processors: set(range(count)))
        found.append(cut(path, chunk_seconds=12.0))
    one, several = found
    assert len(one.plan.chunks) >= 8
    assert one.plan == several.plan
    assert one.bytes() == several.bytes()
