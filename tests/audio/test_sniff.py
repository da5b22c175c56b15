"""What is taken for a recording, and what is refused."""

from __future__ import annotations

import math
import tarfile
import wave
import zipfile
from array import array
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from av.video.frame import VideoFrame

from pipeline.audio.sniff import sniff
from pipeline.domain.errors import NotAudio
from pipeline.domain.recording import Media
from tests.audio.conftest import Cut
from tests.audio.signals import decoded, speech, write

AUDIO = Path(__file__).parents[2] / "fixtures" / "audio"
PCM, SAID = speech(8000, 6)
KINDS = [
    ("pcm_s16le", "wav", 8000, "wav"),
    ("pcm_u8", "wav", 8000, "wav"),
    ("pcm_s24le", "wav", 8000, "wav"),
    ("pcm_s32le", "wav", 8000, "wav"),
    ("pcm_f32le", "wav", 8000, "wav"),
    ("pcm_alaw", "wav", 8000, "wav"),
    ("pcm_mulaw", "wav", 8000, "wav"),
    ("adpcm_ms", "wav", 8000, "wav"),
    ("adpcm_ima_wav", "wav", 8000, "wav"),
    ("pcm_s16le", "w64", 8000, "w64"),
    ("libmp3lame", "mp3", 8000, "mp3"),
    ("libopus", "ogg", 48000, "ogg"),
    ("libopus", "webm", 48000, "matroska"),
    ("libopus", "matroska", 48000, "matroska"),
    ("aac", "ipod", 8000, "mov"),
    ("aac", "mp4", 8000, "mov"),
    ("aac", "adts", 8000, "aac"),
    ("aac", "mpegts", 8000, "mpegts"),
    ("alac", "ipod", 8000, "mov"),
    ("libopencore_amrnb", "amr", 8000, "amr"),
    ("libopencore_amrnb", "3gp", 8000, "mov"),
    ("flac", "flac", 8000, "flac"),
    ("wmav2", "asf", 44100, "asf"),
    ("pcm_s16be", "aiff", 8000, "aiff"),
    ("pcm_s16be", "caf", 8000, "caf"),
    ("pcm_mulaw", "au", 8000, "au"),
    ("ac3", "ac3", 48000, "ac3"),
]


def look(path: Path) -> Media:
    return sniff(path, sha256="0" * 64, content_type="text/html", max_seconds=14_400)


@pytest.mark.parametrize(("codec", "container", "rate", "demuxer"), KINDS)
def test_any_recording(tmp_path: Path, codec: str, container: str, rate: int, demuxer: str) -> None:
    """A recording is known by its bytes, without a name and under a lying Content-Type."""
    pcm, _ = speech(rate, 3)
    bit_rate = {"libopencore_amrnb": 12_200, "wmav2": 64_000}.get(codec)
    path = write(tmp_path / "recording", pcm, rate=rate, codec=codec, container=container, bit_rate=bit_rate)
    media = look(path)
    assert media.container.split(",")[0] == demuxer
    assert (media.channels, media.sample_rate) == (1, rate)
    assert media.seconds is None


@pytest.mark.parametrize(("name", "codec"), [("gsm-wav", "gsm_ms"), ("speex", "speex")])
def test_telephone_codecs(cut: Callable[..., Cut], name: str, codec: str) -> None:
    """What telephone exchanges and voicemail write, and FFmpeg here cannot encode, is taken whole."""
    found = cut(AUDIO / name)
    assert (found.media.codec, found.media.channels, found.media.sample_rate) == (codec, 1, 8000)
    assert found.plan.seconds == pytest.approx(8, abs=0.03)
    assert not found.plan.missing
    (talk,) = found.plan.talk
    assert talk[0].start == pytest.approx(0.5, abs=0.2)
    (chunk,) = found.plan.chunks
    pcm, rate = decoded(found.out / chunk.blob)
    assert len(pcm) / 2 / rate == pytest.approx(chunk.seconds, abs=0.03)


def refused(tmp_path: Path, name: str, data: bytes) -> str:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(NotAudio) as caught:
        look(path)
    return caught.value.message


HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>" + b"word " * 4000 + b"</body></html>"
OTHERS = {
    "page.mp3": (HTML, "text/html"),
    "error.wav": (b'{"error": "NOT_FOUND", "error_description": "no such file"}', "json"),
    "error.xml": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "xml"),
    "list.mp3": (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", "no known"),
    "script.mp3": (b"ffconcat version 1.0\nfile recording.wav\n", "no known"),
    "captions.mp3": (b"1\n00:00:01,000 --> 00:00:02,000\nhello\n", "no known"),
    "numbers.mp3": ("\n".join(map(str, range(50_000))).encode(), "text/plain"),
    "paper.pdf": (b"%PDF-1.4\n" + b"0 0 obj\n" * 50, "pdf"),
    "zeros.wav": (bytes(200_000), "not a recording"),
    "riff.wav": (b"RIFF" * 500, "not a recording"),
    "empty.wav": (b"", "empty"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_no_recording(tmp_path: Path, name: str) -> None:
    """Pages, playlists and other bytes are refused, saying what they are; no playlist is followed."""
    write(tmp_path / "recording.wav", PCM, rate=8000)
    data, word = OTHERS[name]
    assert word in refused(tmp_path, name, data)


def test_programs_and_archives(tmp_path: Path) -> None:
    """What happens to hold a few bytes like mp3 frames inside a program or an archive is no recording."""
    recording = write(tmp_path / "call.mp3", PCM, rate=8000, codec="libmp3lame", container="mp3")
    with zipfile.ZipFile(tmp_path / "calls.zip", "w") as archive:
        archive.write(recording, "call.mp3")
    with tarfile.open(tmp_path / "calls.tar", "w") as tar:
        tar.add(recording, "call.mp3")
    for name in ("calls.zip", "calls.tar"):
        refused(tmp_path, name, (tmp_path / name).read_bytes())
    library = Path(av.__file__).parent / "_core.so"
    binary = library if library.exists() else next(Path(av.__file__).parent.rglob("*.so"))
    refused(tmp_path, "program.mp3", binary.read_bytes()[:500_000])


def video(path: Path, *, sound: bytes | None = None) -> Path:
    """A few frames of picture, with or without sound."""
    with av.open(str(path), "w", format="matroska") as output:
        picture = output.add_stream("mjpeg", rate=10)
        picture.width = picture.height = 64
        picture.pix_fmt = "yuvj420p"
        audio = output.add_stream("pcm_s16le", rate=8000, layout="mono") if sound else None
        for number in range(5):
            frame = VideoFrame(64, 64, "yuvj420p")
            frame.pts = number
            output.mux(picture.encode(frame))
        output.mux(picture.encode(None))
        if audio and sound:
            heard = av.AudioFrame(format="s16", layout="mono", samples=len(sound) // 2)
            heard.planes[0].update(sound)
            heard.sample_rate = 8000
            output.mux(audio.encode(heard))
            output.mux(audio.encode(None))
    return path


def test_video(tmp_path: Path) -> None:
    """A video is taken for its sound; one without sound is refused."""
    assert look(video(tmp_path / "with.mkv", sound=PCM)).codec == "pcm_s16le"
    with pytest.raises(NotAudio, match="without sound"):
        look(video(tmp_path / "without.mkv"))


def header(rate: int, channels: int) -> bytes:
    """A wav header that claims that rate and that many channels, and a second of zeros."""
    data = bytes(20_000)
    fmt = b"fmt " + (16).to_bytes(4, "little") + (1).to_bytes(2, "little") + channels.to_bytes(2, "little")
    fmt += rate.to_bytes(4, "little") + (rate * channels * 2).to_bytes(4, "little")
    fmt += (channels * 2).to_bytes(2, "little") + (16).to_bytes(2, "little")
    body = b"WAVE" + fmt + b"data" + len(data).to_bytes(4, "little") + data
    return b"RIFF" + len(body).to_bytes(4, "little") + body


@pytest.mark.parametrize(("rate", "channels"), [(2000, 1), (384_000, 1), (8000, 16)])
def test_absurd(tmp_path: Path, rate: int, channels: int) -> None:
    """Sample rates outside 4-192 kHz and more than eight channels are refused."""
    assert "Hz" in refused(tmp_path, "a.wav", header(rate, channels)) or channels > 8


def test_sane_limits(tmp_path: Path) -> None:
    """The same header with a rate and channels at the bounds is taken."""
    for rate, channels in ((4000, 1), (192_000, 2), (8000, 8)):
        path = tmp_path / f"{rate}.wav"
        path.write_bytes(header(rate, channels))
        assert look(path).sample_rate == rate


def test_tags_in_any_encoding(tmp_path: Path) -> None:
    """Tags that are no UTF-8, as telephone systems write them, do not matter."""
    title = "Звонок".encode("cp1251")
    frame = b"TIT2" + (len(title) + 1).to_bytes(4, "big") + b"\0\0\0" + title
    tag = b"ID3\x03\0\0" + bytes([0, 0, 0, len(frame)]) + frame
    mp3 = write(tmp_path / "a.mp3", PCM, rate=8000, codec="libmp3lame", container="mp3").read_bytes()
    path = tmp_path / "b"
    path.write_bytes(tag + mp3[10 + mp3[9] :])
    assert look(path).codec == "mp3"


@pytest.mark.parametrize("container", ["ac3", "spdif"])
def test_what_travels_in_a_wav_is_found(tmp_path: Path, container: str) -> None:
    """AC-3 behind a header that calls it plain samples is decoded as what it is, not as noise."""
    tone = array("h", [round(9000 * math.sin(at / 17)) for at in range(48_000 * 2)]).tobytes()
    packed = write(tmp_path / "a", tone, tone, rate=48_000, codec="ac3", container=container).read_bytes()
    with wave.open(str(tmp_path / "b"), "wb") as file:
        file.setparams((2, 2, 48_000, 0, "NONE", ""))
        file.writeframes(packed)
    assert look(tmp_path / "b").codec == "ac3"
