"""What is lost inside or at the end of a recording is listed, and what follows keeps its time."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import av
import pytest

from pipeline.audio.decoding import MAX_SKIPPED_SECONDS, Decoding
from pipeline.domain.recording import Span
from tests.audio.conftest import Cut
from tests.audio.signals import Read, Said, placed, speech, write

SECONDS = 40.0
LOST = Span(start=12.0, end=17.0)


def call(path: Path, codec: str, container: str, rate: int, **given: object) -> list[Said]:
    """Writes a call of SECONDS; what is said in it."""
    pcm, said = speech(rate, SECONDS)
    channels = [pcm] * (2 if codec == "vorbis" else 1)  # FFmpeg's own encoder of it knows nothing else
    write(path, *channels, rate=rate, codec=codec, container=container, **given)  # type: ignore[arg-type]
    return said


def remuxed(
    source: Path, to: Path, container: str, moved: Callable[[float], float | None], **options: str
) -> Path:
    """The same packets with other times; those for which `moved` gives None are left out."""
    with av.open(str(source)) as given, av.open(str(to), "w", container, container_options=options) as made:
        stream = given.streams.audio[0]
        out = made.add_stream_from_template(stream)
        for packet in given.demux(stream):
            if packet.pts is None or packet.time_base is None:
                continue
            time = moved(float(packet.pts * packet.time_base))
            if time is not None:
                packet.pts = packet.dts = round(time / packet.time_base)
                packet.stream = out
                made.mux(packet)
    return to


def damaged(path: Path, start: float = LOST.start, end: float = LOST.end) -> Path:
    """Overwrites what lies between those parts of SECONDS."""
    data = bytearray(path.read_bytes())
    first, last = round(len(data) * start / SECONDS), round(len(data) * end / SECONDS)
    data[first:last] = b"\x55" * (last - first)
    path.write_bytes(data)
    return path


def cut_off(path: Path) -> Path:
    """Keeps the first half of the bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def without(lost: Span, time: float) -> float | None:
    return None if lost.start <= time < lost.end else time


def assert_heard(found: Iterable[Read], said: Sequence[Said], missing: Sequence[Span]) -> None:
    """All words outside of what is missing are heard at their time."""
    heard = list(found)
    for each in said:
        if not any(gap.start - 0.4 < each.start < gap.end + 0.1 for gap in missing):
            assert any(one.number == each.number and abs(one.start - each.start) < 0.15 for one in heard), (
                each
            )


GAPS = [
    ("libopus", "ogg", 48_000, "damaged"),
    ("vorbis", "ogg", 44_100, "damaged"),
    ("libopus", "webm", 48_000, "damaged"),
    ("libopus", "ogg", 48_000, "left out"),
    ("libopus", "webm", 48_000, "left out"),
    ("libopus", "webm", 48_000, "left out live"),  # as browsers record: no duration in the header
    ("aac", "ipod", 16_000, "left out"),
]


@pytest.mark.parametrize(("codec", "container", "rate", "how"), GAPS)
def test_lost_inside(
    tmp_path: Path, cut: Callable[..., Cut], codec: str, container: str, rate: int, how: str
) -> None:
    """A stretch that a demuxer skips without a word is missing, and every later word keeps its time."""
    path = tmp_path / "call"
    said = call(path, codec, container, rate)
    if how == "damaged":
        path = damaged(path)
    else:
        options = {"live": "1"} if how.endswith("live") else {}
        path = remuxed(path, tmp_path / "gap", container, lambda at: without(LOST, at), **options)
    for found in (cut(path), cut(path, chunk_seconds=9.0)):
        (missing,) = found.plan.missing
        near = 3.5 if how == "damaged" else 0.1  # damage takes whole pages or clusters with it
        assert (missing.start, missing.end) == pytest.approx((LOST.start, LOST.end), abs=near)
        assert found.plan.seconds == pytest.approx(SECONDS, abs=0.1)
        assert_heard(found.words(), said, [missing])
    assert len(found.plan.chunks) >= 5


def test_pause(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """A recorder that paused for minutes: the times are those that players show, the pause is not sent."""
    said = call(tmp_path / "call", "libopus", "webm", 48_000)
    pause = Span(start=20.0, end=320.0)

    def later(time: float) -> float:
        return time + pause.seconds if time >= pause.start else time

    path = remuxed(tmp_path / "call", tmp_path / "paused", "webm", later, live="1")
    found = cut(path)
    (missing,) = found.plan.missing
    assert (missing.start, missing.end) == pytest.approx((pause.start, pause.end), abs=0.1)
    assert sum(chunk.span.seconds for chunk in found.plan.chunks) < SECONDS + 5
    moved = [Said(each.number, later(each.start)) for each in said if not 19.5 < each.start < 20.1]
    assert_heard(found.words(), moved, [])
    assert max(len(channel) for block in Decoding(path).blocks() for channel in block) <= 2 * 48_000


@pytest.mark.parametrize(("container", "options"), [("webm", {}), ("ogg", {"page_duration": "20000"})])
def test_nothing_sent_while_nobody_speaks(
    tmp_path: Path, cut: Callable[..., Cut], container: str, options: dict[str, str]
) -> None:
    """Codecs may leave out packets of silence: times stay true, and nothing is missing."""
    said = [Said(number, 0.5 + 2 * number) for number in range(15)]
    path = write(
        tmp_path / "call", placed(48_000, 31, said), rate=48_000, codec="libopus", container=container
    )

    def sent(time: float) -> float | None:
        since = (time - 1.2) % 2  # 1.2 seconds of silence between two words
        return None if since < 1.2 and round(since / 0.02) % 20 else time

    path = remuxed(path, tmp_path / "sparse", container, sent, **options)
    found = cut(path)
    assert not found.plan.missing
    assert found.plan.seconds == pytest.approx(31, abs=0.5)
    assert_heard(found.words(), said, [])


def test_times_that_lie(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Times that jump by hours, or to and fro, make no hours of silence."""
    call(tmp_path / "call", "libopus", "webm", 48_000)
    for name, moved in (
        ("hours", lambda at: at + 7200 if at > 20 else at),
        ("more and more", lambda at: at * 500),
    ):
        path = remuxed(tmp_path / "call", tmp_path / name, "webm", moved, live="1")
        assert cut(path).plan.seconds <= SECONDS + MAX_SKIPPED_SECONDS + 0.1, name
    assert cut(tmp_path / "hours").plan.seconds == pytest.approx(SECONDS, abs=0.1)


def test_wavering_times(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Times of arrival that waver around the truth add nothing."""
    said = call(tmp_path / "call", "libopus", "webm", 48_000)

    def arrived(time: float) -> float:
        return max(time, 0.0) - 0.9 * (max(time, 0.0) % 0.34)

    path = remuxed(tmp_path / "call", tmp_path / "live", "webm", arrived, live="1")
    found = cut(path)
    assert not found.plan.missing
    assert found.plan.seconds == pytest.approx(SECONDS, abs=0.1)
    assert [each.number for each in found.words()] == [each.number for each in said]


def test_joined(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Recordings that were joined begin again at 0: nothing is missing between them."""
    said = call(tmp_path / "call", "libopus", "ogg", 48_000)
    path = tmp_path / "joined"
    path.write_bytes((tmp_path / "call").read_bytes() * 2)
    found = cut(path)
    assert not found.plan.missing
    assert [each.number for each in found.words()] == 2 * [each.number for each in said]


@pytest.mark.parametrize(
    ("codec", "container", "rate"),
    [("wmav2", "asf", 16_000), ("pcm_s16be", "caf", 8000), ("flac", "flac", 8000)],
)
def test_cut_off(tmp_path: Path, cut: Callable[..., Cut], codec: str, container: str, rate: int) -> None:
    """What the header promised and the file does not hold is missing; a whole file misses nothing."""
    path = tmp_path / "call"
    call(path, codec, container, rate, bit_rate=32_000)
    assert not cut(path).plan.missing
    (missing,) = cut(cut_off(path)).plan.missing
    assert missing.start == pytest.approx(cut(path).plan.seconds)
    assert missing.end == pytest.approx(SECONDS, abs=0.1)


def test_cut_off_by_little(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Half a second that was lost at the end is told."""
    path = tmp_path / "call"
    call(path, "pcm_s16le", "wav", 8000)
    path.write_bytes(path.read_bytes()[:-8000])
    (missing,) = cut(path).plan.missing
    assert missing.seconds == pytest.approx(0.5, abs=0.01)


def test_cut_off_mp3_of_fraunhofer(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """A VBRI tag tells how long an mp3 was meant to be."""
    path = tmp_path / "call"
    call(path, "libmp3lame", "mp3", 8000, bit_rate=32_000, options={"write_xing": "0", "id3v2_version": "0"})
    frames = path.read_bytes()
    size = 72 * 32_000 // 8000
    count = len(frames) // size
    tag = frames[:4] + bytes(32) + b"VBRI" + struct.pack(">HHHII", 1, 0, 75, len(frames) + size, count)
    tag += struct.pack(">HHHH", 0, 1, 2, 1)  # an empty table of contents
    path.write_bytes(tag.ljust(size, b"\0") + frames)
    assert not cut(path).plan.missing
    (missing,) = cut(cut_off(path)).plan.missing
    assert missing.start == pytest.approx(SECONDS / 2, abs=0.3)
    assert missing.end == pytest.approx(SECONDS, abs=0.3)


def test_tag_behind_wavpack(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """A tag behind the last block, where reading ends with an error, makes nothing missing."""
    path = tmp_path / "call"
    call(path, "wavpack", "wv", 8000)
    whole = path.read_bytes()
    path.write_bytes(whole + b"TAG" + bytes(125))
    assert not cut(path).plan.missing
    path.write_bytes(whole[: len(whole) // 2])
    assert cut(path).plan.missing


def test_gsm_in_aiff(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """GSM in AIFF, whose header counts samples where FFmpeg expects packets, misses nothing."""
    packets = 500
    rate = bytes.fromhex("400bfa00000000000000")  # 8000 as an 80 bit float
    common = struct.pack(">hIh", 1, packets * 160, 16) + rate + b"GSM \0\0"
    sound = bytes(8) + b"".join(
        bytes([0xD0 | number % 16]) + bytes([number % 251] * 32) for number in range(packets)
    )
    body = b"AIFC" + b"FVER" + struct.pack(">II", 4, 0xA2805140)
    body += (
        b"COMM" + struct.pack(">I", len(common)) + common + b"SSND" + struct.pack(">I", len(sound)) + sound
    )
    path = tmp_path / "call"
    path.write_bytes(b"FORM" + struct.pack(">I", len(body)) + body)
    found = cut(path)
    assert found.media.codec == "gsm"
    assert found.plan.seconds == pytest.approx(packets * 0.02)
    assert not found.plan.missing


def test_hole_behind_an_odd_packet(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """How long a hole in bare mp3 is follows from all packets before it, not from the last one."""
    pcm, said = speech(16_000, 16)
    bare = {"write_xing": "0", "id3v2_version": "0"}

    def mp3(pcm: bytes, bit_rate: int) -> bytes:
        path = tmp_path / "part"
        write(path, pcm, rate=16_000, codec="libmp3lame", container="mp3", bit_rate=bit_rate, options=bare)
        return path.read_bytes()

    loud = mp3(pcm, 64_000)
    path = tmp_path / "call"
    path.write_bytes(loud + mp3(bytes(8000), 8000) + b"\x55" * 40_000 + loud)
    found = cut(path)
    (missing,) = found.plan.missing
    assert missing.seconds == pytest.approx(5, abs=0.5)
    assert [each.number for each in found.words()] == 2 * [each.number for each in said]
