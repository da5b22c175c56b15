"""All that is in a file is heard or named: every track, what stands behind a wrong length or a blemish."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.audio.frame import AudioFrame

from pipeline.audio.body import MAX_JOINED, bodies
from pipeline.audio.limits import MAX_TRACKS
from pipeline.audio.sniff import sniff
from pipeline.domain.errors import NotAudio
from tests.audio.conftest import Cut
from tests.audio.signals import Read, Said, noise, placed, speech, write

SECONDS = 12.0


def tracks(
    path: Path, *sounds: Sequence[bytes], rates: Sequence[int], codec: str, container: str, late: float = 0.0
) -> Path:
    """A file with one track for each of `sounds`, of one or two channels; the last begins `late` seconds."""
    with av.open(str(path), "w", format=container) as made:
        streams = [
            made.add_stream(codec, rate=rate, layout="stereo" if len(channels) == 2 else "mono")
            for channels, rate in zip(sounds, rates, strict=True)
        ]
        for number, (stream, channels, rate) in enumerate(zip(streams, sounds, rates, strict=True)):
            samples = len(channels[0]) // 2
            given = AudioFrame(format="s16p", layout=stream.codec_context.layout, samples=samples)
            for plane, pcm in zip(given.planes, channels, strict=True):
                plane.update(pcm.ljust(plane.buffer_size, b"\0"))
            given.sample_rate = rate
            fifo = av.AudioFifo()
            wanted = av.AudioResampler(format=stream.codec_context.format, layout=stream.codec_context.layout)
            for frame in wanted.resample(given):
                frame.pts = None
                fifo.write(frame)
            at = round(late * rate) if number == len(streams) - 1 else 0
            while part := fifo.read(stream.codec_context.frame_size or 1024, partial=True):
                part.pts, part.time_base = at, Fraction(1, rate)
                at += part.samples
                made.mux(stream.encode(part))
            made.mux(stream.encode(None))
    return path


def assert_words(found: Sequence[Read], said: Sequence[Said], late: float = 0.0) -> None:
    """Just these words are heard, at their times, and none of them twice."""
    assert [each.number for each in found] == [each.number for each in said]
    for one, other in zip(found, said, strict=True):
        assert one.start == pytest.approx(other.start + late, abs=0.2)


def spoken(rate: int, first: int, seconds: float = SECONDS, seed: int = 1) -> tuple[bytes, list[Said]]:
    return speech(rate, seconds, first=first, seed=seed)


@pytest.mark.parametrize(
    ("codec", "container", "rate"),
    [
        ("aac", "mp4", 16_000),
        ("aac", "mov", 16_000),
        ("libopus", "matroska", 48_000),
        ("pcm_s16le", "avi", 8000),
        ("aac", "mpegts", 16_000),
        ("pcm_s16le", "matroska", 8000),
    ],
)
def test_two_tracks_are_two_sides(
    tmp_path: Path, cut: Callable[..., Cut], codec: str, container: str, rate: int
) -> None:
    """A speaker on each of two tracks has a channel of his own, whichever container holds them."""
    left, said = spoken(rate, 30)
    right, answered = spoken(rate, 300, seed=2)
    found = cut(tracks(tmp_path / "a", [left], [right], rates=[rate] * 2, codec=codec, container=container))
    assert (found.plan.channels, found.media.channels) == (2, 2)
    assert not found.plan.missing
    assert_words(found.words(0), said)
    assert_words(found.words(1), answered)


def test_tracks_of_other_lengths_and_rates(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """A shorter track of another rate, that begins later, keeps its time beside the longer one."""
    left, said = spoken(48_000, 30)
    right, answered = spoken(16_000, 300, seconds=5, seed=2)
    found = cut(
        tracks(
            tmp_path / "a", [left], [right], rates=[48_000, 16_000], codec="libopus", container="matroska",
            late=3.0,
        )
    )  # fmt: skip
    assert found.plan.seconds == pytest.approx(SECONDS, abs=0.1)
    assert not found.plan.missing
    assert_words(found.words(0), said)
    assert_words(found.words(1), answered, late=3.0)


def test_one_track_behind_the_other(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Tracks that are not interleaved in the file are heard side by side."""
    left, said = spoken(8000, 30)
    right, answered = spoken(8000, 300, seed=2)
    path = tracks(tmp_path / "a", [left], [right], rates=[8000] * 2, codec="pcm_s16le", container="mov")
    found = cut(path)
    assert_words(found.words(0), said)
    assert_words(found.words(1), answered)


def test_a_silent_track_is_no_channel(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Beside a silent track a stereo one keeps its two speakers."""
    left, said = spoken(16_000, 30)
    right, answered = spoken(16_000, 300, seed=2)
    silent = bytes(len(left))
    found = cut(
        tracks(
            tmp_path / "a", [silent], [left, right], rates=[16_000] * 2, codec="aac", container="mp4"
        )
    )  # fmt: skip
    assert found.plan.channels == 2
    assert_words(found.words(0), said)
    assert_words(found.words(1), answered)


def test_a_stereo_and_a_mono_track(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Three speakers on a stereo and a mono track are all heard, the tracks as one channel each."""
    first, said = speech(16_000, 4, first=30)
    second, then = speech(16_000, 4, first=300, start=0.3, seed=2)
    third, last = spoken(16_000, 600, seed=3)
    pause = bytes(len(first))
    found = cut(
        tracks(
            tmp_path / "a", [first + pause, pause + second], [third], rates=[16_000] * 2, codec="aac",
            container="mp4",
        )
    )  # fmt: skip
    heard = found.words(0)
    assert [each.number for each in heard] == [each.number for each in (*said, *then)]
    assert_words(found.words(1), last)


def test_the_same_on_both_tracks(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """One voice on both tracks is one channel, every word once."""
    pcm, said = spoken(16_000, 30)
    found = cut(tracks(tmp_path / "a", [pcm], [pcm], rates=[16_000] * 2, codec="aac", container="mp4"))
    assert found.plan.channels == 1
    assert_words(found.words(), said)


def test_three_tracks_are_heard_as_one(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """More speakers than two channels can hold are mixed, and nobody is lost."""
    places = [[Said(number + 100 * part, 0.5 + 1.5 * number + 0.5 * part) for number in range(7)] for part in
              range(1, 4)]  # fmt: skip
    sounds = [[placed(16_000, SECONDS, said)] for said in places]
    found = cut(tracks(tmp_path / "a", *sounds, rates=[16_000] * 3, codec="aac", container="mp4"))
    assert found.plan.channels == 1
    assert_words(found.words(), sorted((each for said in places for each in said), key=lambda s: s.start))


def test_too_many_tracks_are_refused(tmp_path: Path) -> None:
    """More tracks than a call has are refused with their number, instead of hearing some of them."""
    sounds = [[noise(8000, 0.5, 500)]] * (MAX_TRACKS + 1)
    path = tracks(
        tmp_path / "a", *sounds, rates=[8000] * len(sounds), codec="pcm_s16le", container="matroska"
    )
    with pytest.raises(NotAudio, match=f"{MAX_TRACKS + 1} audio tracks"):
        sniff(path, sha256="0" * 64, content_type=None, max_seconds=60)


def data_chunk(data: bytes, container: str) -> tuple[int, str, int]:
    """Where the length of the sound stands, how it is packed, and what it counts beside the sound."""
    return {
        "wav": (data.find(b"data") + 4, "<I", 0),
        "aiff": (data.find(b"SSND") + 4, ">I", 8),
        "caf": (data.find(b"data") + 4, ">q", 4),
        "au": (8, ">I", 0),
        "w64": (data.find(b"data", 40) + 16, "<q", 24),
        "rf64": (28, "<Q", 0),
    }[container]


UNCOMPRESSED = [
    ("pcm_s16le", "wav"),
    ("pcm_alaw", "wav"),
    ("pcm_s16le", "rf64"),
    ("pcm_s16be", "aiff"),
    ("pcm_s16be", "caf"),
    ("pcm_s16be", "au"),
    ("pcm_s16le", "w64"),
]


def uncompressed(path: Path, pcm: bytes, codec: str, container: str) -> Path:
    options = {"rf64": "always"} if container == "rf64" else None
    kind = "wav" if container == "rf64" else container
    return write(path, pcm, rate=8000, codec=codec, container=kind, options=options)


def claiming(path: Path, container: str, wanted: int | None) -> Path:
    """With another length of the sound in its header; None: as streams leave it."""
    data = bytearray(path.read_bytes())
    at, form, own = data_chunk(data, container)
    streamed = {"wav": 0xFFFFFFFF, "aiff": 0, "caf": -1, "au": 0xFFFFFFFF, "w64": 0, "rf64": 0}
    struct.pack_into(form, data, at, streamed[container] if wanted is None else wanted + own)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("codec", "container"), UNCOMPRESSED)
@pytest.mark.parametrize("claimed", [None, 0, 0.25, 0.9])
def test_a_header_that_claims_less(
    tmp_path: Path, cut: Callable[..., Cut], codec: str, container: str, claimed: float | None
) -> None:
    """Sound behind the length that a header claims is heard all the same, and nothing is missing."""
    pcm, said = spoken(8000, 30)
    path = uncompressed(tmp_path / "a", pcm, codec, container)
    length = round(len(pcm) * (0.5 if codec == "pcm_alaw" else 1) * (claimed or 0)) // 8 * 8
    found = cut(claiming(path, container, None if claimed is None else length))
    assert found.plan.seconds == pytest.approx(SECONDS, abs=0.01)
    assert not found.plan.missing
    assert_words(found.words(), said)


@pytest.mark.parametrize(("codec", "container"), [("pcm_s16le", "rf64"), ("pcm_s16be", "caf")])
def test_a_header_that_claims_more(
    tmp_path: Path, cut: Callable[..., Cut], codec: str, container: str
) -> None:
    """What a header claims beyond the file's end is missing."""
    pcm, _ = spoken(8000, 30)
    path = uncompressed(tmp_path / "a", pcm, codec, container)
    (missing,) = cut(claiming(path, container, 2 * len(pcm))).plan.missing
    assert (missing.start, missing.end) == pytest.approx((SECONDS, 2 * SECONDS), abs=0.1)


def list_chunk(seconds: float) -> bytes:
    """Half a minute's worth of notes, which would be heard as noise."""
    notes = b"INFOICMT" + bytes(range(1, 251)) * round(seconds * 16_000 / 250)
    return b"LIST" + struct.pack("<I", len(notes)) + notes


@pytest.mark.parametrize("claimed", ["right", "none", "zero", "less"])
def test_notes_behind_the_sound_are_no_sound(tmp_path: Path, cut: Callable[..., Cut], claimed: str) -> None:
    """A LIST chunk behind the sound is never heard, whatever length the header claims."""
    pcm, said = spoken(8000, 30)
    path = write(tmp_path / "a", pcm, rate=8000)
    path.write_bytes(path.read_bytes() + list_chunk(2))
    wanted = {"right": len(pcm), "none": None, "zero": 0, "less": len(pcm) // 2}[claimed]
    found = cut(claiming(path, "wav", wanted))
    assert found.plan.seconds == pytest.approx(SECONDS, abs=0.01)
    assert not found.plan.missing
    assert_words(found.words(), said)


def test_joined_wavs(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Of wav files that were joined end to end all are heard, also of another rate."""
    pcm, said = spoken(8000, 30)
    other, then = spoken(16_000, 300)
    one = write(tmp_path / "one", pcm, rate=8000).read_bytes()
    two = write(tmp_path / "two", other, rate=16_000).read_bytes()
    path = tmp_path / "a"
    path.write_bytes(one + two)
    found = cut(path)
    assert found.plan.seconds == pytest.approx(2 * SECONDS, abs=0.05)
    assert [each.number for each in found.words()] == [each.number for each in (*said, *then)]


JOINED = [
    ("pcm_s16le", "wav", 8000),
    ("mp3", "wav", 16_000),
    ("pcm_s16le", "w64", 8000),
    ("pcm_s16be", "aiff", 8000),
    ("pcm_s16be", "caf", 8000),
    ("pcm_mulaw", "au", 8000),
    ("libmp3lame", "mp3", 16_000),
    ("libopus", "ogg", 48_000),
    ("flac", "ogg", 16_000),
    ("flac", "flac", 8000),
    ("aac", "mp4", 16_000),
    ("libopencore_amrnb", "3gp", 8000),
    ("libopencore_amrnb", "amr", 8000),
    ("wmav2", "asf", 16_000),
    ("aac", "adts", 16_000),
    ("libopus", "webm", 48_000),
    ("pcm_s16le", "avi", 8000),
]


def parts(folder: Path, codec: str, container: str, rate: int, first: int) -> tuple[bytes, list[Said]]:
    pcm, said = spoken(rate, first, seconds=6.0)
    bit_rate = {"libopencore_amrnb": 12_200, "wmav2": 64_000}.get(codec)
    path = write(folder / "part", pcm, rate=rate, codec=codec, container=container, bit_rate=bit_rate)
    return path.read_bytes(), said


@pytest.mark.parametrize("between", [b"", b"\r\n"])
@pytest.mark.parametrize(("codec", "container", "rate"), JOINED)
def test_joined_files(
    tmp_path: Path, cut: Callable[..., Cut], codec: str, container: str, rate: int, between: bytes
) -> None:
    """Of files of any kind that were joined end to end all are heard, and nothing between them is."""
    one, said = parts(tmp_path, codec, container, rate, 30)
    two, then = parts(tmp_path, codec, container, rate, 300)
    path = tmp_path / "a"
    path.write_bytes(one + between + two)
    found = cut(path)
    assert found.plan.seconds == pytest.approx(12, abs=0.5)
    heard = [each.number for each in found.words() if not each.torn]  # two bytes may make a click
    assert heard == [each.number for each in (*said, *then)]


@pytest.mark.parametrize(("codec", "container", "rate"), JOINED[6:13])
def test_joined_files_of_two_kinds(
    tmp_path: Path, cut: Callable[..., Cut], codec: str, container: str, rate: int
) -> None:
    """A wav before or behind a recording of another kind is heard as well."""
    one, said = parts(tmp_path, codec, container, rate, 30)
    two, then = parts(tmp_path, "pcm_s16le", "wav", 8000, 300)
    path = tmp_path / "a"
    path.write_bytes(one + two)
    assert [each.number for each in cut(path).words()] == [each.number for each in (*said, *then)]
    path.write_bytes(two + one)
    assert [each.number for each in cut(path).words()] == [each.number for each in (*then, *said)]


def test_joined_streams(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Files that were written as streams, with no length in their headers, are all heard where joined."""
    pcm, said = spoken(8000, 30)
    other, then = spoken(8000, 300)
    path = tmp_path / "a"
    for codec, container in UNCOMPRESSED:
        streamed = [
            claiming(uncompressed(tmp_path / "part", sound, codec, container), container, None).read_bytes()
            for sound in (pcm, other)
        ]
        path.write_bytes(b"".join(streamed))
        heard = [each.number for each in cut(path).words()]
        assert heard == [each.number for each in (*said, *then)], container


def test_a_file_of_nothing_but_beginnings(tmp_path: Path) -> None:
    """Of what pretends to hold thousands of recordings no more than the bound are looked at, in order."""
    pretended = claiming(write(tmp_path / "a", noise(8000, 0.05, 500), rate=8000), "wav", None)
    data = pretended.read_bytes()
    pretended.write_bytes(data * (MAX_JOINED + 500))
    found = bodies(pretended)
    assert len(found) == MAX_JOINED
    assert [(body.start, body.end) for body in found[:2]] == [(0, len(data)), (len(data), 2 * len(data))]


BLEMISHES = {
    "bom": b"\xef\xbb\xbf",
    "newline": b"\n",
    "blank lines": b"\r\n \r\n\r\n",
    "php": b"<br />\n<b>Warning</b>:  Undefined variable $id in <b>/rec.php</b> on line <b>17</b><br />\n",
    "notice": "Внимание: запись передаётся\r\n".encode(),
    "http": b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Length: 12\r\n\r\n",
    "chunk": b"1f40\r\n",
    "form": b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n',
    "zeros": bytes(3000),
    "stray": b"\x00\x01\xfe\x7f\x80",
}
KINDS = [
    ("pcm_s16le", "wav", 8000),
    ("pcm_s16le", "w64", 8000),
    ("libmp3lame", "mp3", 16_000),
    ("libopus", "ogg", 48_000),
    ("flac", "flac", 8000),
    ("aac", "mp4", 16_000),
    ("libopencore_amrnb", "amr", 8000),
    ("libopencore_amrnb", "3gp", 8000),
    ("libopus", "webm", 48_000),
    ("aac", "adts", 16_000),
    ("pcm_s16be", "aiff", 8000),
    ("pcm_s16be", "caf", 8000),
    ("pcm_mulaw", "au", 8000),
    ("wmav2", "asf", 16_000),
    ("aac", "mpegts", 16_000),
    ("pcm_s16le", "avi", 8000),
]


@pytest.mark.parametrize("blemish", BLEMISHES)
@pytest.mark.parametrize(("codec", "container", "rate"), KINDS)
def test_a_blemish_before_the_recording(
    tmp_path: Path, cut: Callable[..., Cut], codec: str, container: str, rate: int, blemish: str
) -> None:
    """What a host put before the first byte of a recording costs no word, and is not sent on."""
    seconds = 4.0
    pcm, said = speech(rate, seconds)
    bit_rate = {"libopencore_amrnb": 12_200, "wmav2": 64_000}.get(codec)
    path = write(tmp_path / "a", pcm, rate=rate, codec=codec, container=container, bit_rate=bit_rate)
    clean = cut(path).plan.seconds
    path.write_bytes(BLEMISHES[blemish] + path.read_bytes())
    found = cut(path)
    assert found.plan.seconds == pytest.approx(clean, abs=0.1)
    assert [each.number for each in found.words()] == [each.number for each in said]
    assert not any(
        BLEMISHES[blemish] in sent for sent in found.bytes() if len(BLEMISHES[blemish].strip(b"\0")) > 20
    )


def test_a_page_with_the_names_of_formats_is_no_recording(tmp_path: Path) -> None:
    """A page that tells of RIFF and OggS holds no recording."""
    path = tmp_path / "a"
    path.write_bytes(b"<html>RIFF0000WAVE, OggS, fLaC, ID3, ftypM4A </html>\n" * 100)
    with pytest.raises(NotAudio, match="text"):
        sniff(path, sha256="0" * 64, content_type=None, max_seconds=60)


def test_remains_behind_the_recording(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Remains of HTTP behind a wav are not heard."""
    pcm, said = spoken(8000, 30)
    path = write(tmp_path / "a", pcm, rate=8000)
    path.write_bytes(path.read_bytes() + b"\r\n--x--\r\n" + b"<p>Sent by the exchange</p>\n" * 500)
    found = cut(path)
    assert found.plan.seconds == pytest.approx(SECONDS, abs=0.01)
    assert_words(found.words(), said)
