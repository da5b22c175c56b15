"""Calls of two channels: whose words are whose, what is sent of each, and in which order it comes out."""

from __future__ import annotations

import audioop
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.audio.halve import halve
from pipeline.audio.levels import scan
from pipeline.audio.limits import UploadLimits
from pipeline.audio.merge import merge
from pipeline.audio.speaking import speaking
from pipeline.domain.plain import from_plain, to_plain
from pipeline.domain.recording import Plan
from pipeline.domain.transcript import RawSegment, Recognition, Transcript, Word
from tests.audio.conftest import Cut
from tests.audio.signals import (
    WORD_SECONDS,
    Said,
    decoded,
    mixed,
    noise,
    placed,
    read,
    speech,
    write,
)

RATE = 8000


def dialogue(
    seconds: float, *, seed: int = 1, turn: tuple[float, float] = (6.0, 11.0)
) -> tuple[list[Said], list[Said]]:
    """What both speakers say, turn by turn, with pauses; words of one channel are even, of the other odd."""
    chance = random.Random(seed)
    channels: tuple[list[Said], list[Said]] = ([], [])
    at, channel, number = 0.5, 0, 10
    while at < seconds - 8:
        end = at + chance.uniform(*turn)
        while at < end:
            channels[channel].append(Said(number * 2 + channel, at))
            number += 1
            at += WORD_SECONDS + chance.uniform(0.15, 0.4)
        at += chance.uniform(0.3, 1.0)
        channel = 1 - channel
    return channels


TIMES = ("words", "segments", "none")


def transcribed(
    found: Cut, *, times: str = "words", roles: tuple[str, ...] = ("manager", "client")
) -> Transcript:
    """The transcript that a faithful recogniser's answers lead to; a word's text is its number."""
    parts = {}
    for chunk in found.plan.chunks:
        read_words = read(*decoded(found.out / chunk.blob))
        words = tuple(Word(start=w.start, end=w.start + WORD_SECONDS, text=str(w.number)) for w in read_words)
        segments = tuple(RawSegment(start=word.start, end=word.end, text=word.text) for word in words)
        text = " ".join(word.text for word in words)
        parts[chunk.id] = Recognition(
            text=text,
            segments=segments if times != "none" else (),
            words=words if times == "words" else (),
        )
    return merge(found.plan, parts, roles=roles, language="en", portal_language="en")  # type: ignore[arg-type]


def expected(left: list[Said], right: list[Said]) -> str:
    lines: list[str] = []
    last = None
    for each in sorted([*left, *right], key=lambda said: said.start):
        name = "Client" if each.number % 2 else "Manager"
        if name == last:
            lines[-1] += f" {each.number}"
        else:
            lines.append(f"[{name}] {each.number}")
        last = name
    return "\n".join(lines)


def sides_of(text: str) -> list[list[str]]:
    """The words of each speaker, in the order in which they are told."""
    lines = [line.partition("] ") for line in text.splitlines()]
    return [
        [word for name, _, said in lines if name == f"[{who}" for word in said.split()]
        for who in ("Manager", "Client")
    ]


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("hiss", [0, 20])
def test_turns_in_order(tmp_path: Path, cut: Callable[..., Cut], times: str, hiss: int) -> None:
    """Every word is under the right speaker, and every turn in the right place where anything tells times.

    Without times the words of an upload are laid out by their length, which may be off by a word or two where
    turns of one speaker meet; then the transcript says that its order is approximate.
    """
    left, right = dialogue(60)
    channels = [placed(RATE, 60, left), placed(RATE, 60, right, level=1000)]
    if hiss:
        channels = [mixed(channel, noise(RATE, 60, hiss, seed=n)) for n, channel in enumerate(channels)]
    found = cut(write(tmp_path / "call.wav", *channels, rate=RATE))
    assert found.plan.channels == 2
    transcript = transcribed(found, times=times)
    right_text = expected(left, right)
    assert sides_of(transcript.text) == sides_of(right_text)
    if times != "none":
        assert transcript.order == "exact"
        assert transcript.text == right_text
        return
    assert transcript.order == "approximate"
    starts = {str(each.number): each.start for each in [*left, *right]}
    elsewhere = [
        word
        for segment in transcript.segments
        for word in segment.text.split()
        if not segment.start - 0.5 < starts[word] < segment.end + 0.5
    ]
    assert len(elsewhere) < 0.1 * len(starts)


def test_swapped_roles(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Who is on which channel is the portal's setting; without it speakers are numbered."""
    left, right = dialogue(30)
    found = cut(write(tmp_path / "a.wav", placed(RATE, 30, left), placed(RATE, 30, right), rate=RATE))
    swapped = transcribed(found, roles=("client", "manager"))
    assert swapped.segments[0].speaker == "client"
    assert transcribed(found, roles=()).text.startswith("[Speaker 1] ")


def test_side_levels(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """A quiet channel is brought to the level of the other before it is sent."""
    left, right = dialogue(30)
    channels = placed(RATE, 30, left, level=12_000), placed(RATE, 30, right, level=300)
    found = cut(write(tmp_path / "a.wav", *channels, rate=RATE))
    loud = [audioop.max(decoded(found.out / chunk.blob)[0], 2) for chunk in found.plan.chunks]
    assert max(loud) < 4 * min(loud)
    assert [each.number for each in found.words(1)] == [each.number for each in right]


def test_dual_mono(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """The same on both channels, quieter, later, with loss or upside down, is one channel, sent once."""
    pcm, said = speech(RATE, 30)
    flipped = audioop.mul(pcm, 2, -1)
    quieter = audioop.mul(pcm, 2, 0.7)
    faint, late = audioop.mul(pcm, 2, 0.06), bytes(2 * round(0.137 * RATE)) + pcm
    cases = {"same": pcm, "quieter": quieter, "flipped": flipped, "faint": faint, "late": late[: len(pcm)]}
    cases["faint, late and flipped"] = audioop.mul(cases["late"], 2, -0.1)
    for name, other in cases.items():
        for number, pair in enumerate(((pcm, other), (other, pcm))):
            found = cut(write(tmp_path / f"{name}{number}", *pair, rate=RATE), chunk_seconds=20.0)
            assert found.plan.channels == 1, name
            assert [each.number for each in found.words()] == [each.number for each in said], name
    mp3 = write(tmp_path / "a.mp3", pcm, quieter, rate=RATE, codec="libmp3lame", container="mp3")
    assert cut(mp3).plan.channels == 1
    whole = cut(write(tmp_path / "whole", pcm, flipped, rate=RATE))
    assert [each.number for each in whole.words()] == [each.number for each in said]


def test_dual_mono_with_digital_silence(tmp_path: Path) -> None:
    """The same on both channels is one channel where each second begins with nothing at all, too."""
    pcm, _ = speech(RATE, 30, pause=(0.0, 0.05), start=0)
    gated = b"".join(bytes(RATE) + pcm[at + RATE : at + 2 * RATE] for at in range(0, len(pcm), 2 * RATE))
    path = write(tmp_path / "a", gated, audioop.mul(gated, 2, 0.1), rate=RATE)
    assert len(speaking(scan(path, max_seconds=99)).channels) == 1


def test_crosstalk_is_not_dual_mono(tmp_path: Path) -> None:
    """A channel that carries the other's echo, 15 dB down, still has a speaker of its own."""
    left, right = dialogue(30)
    one, other = placed(RATE, 30, left), placed(RATE, 30, right)
    channels = mixed(one, audioop.mul(other, 2, 0.18)), mixed(other, audioop.mul(one, 2, 0.18))
    assert len(speaking(scan(write(tmp_path / "a", *channels, rate=RATE), max_seconds=99)).channels) == 2


def test_silent_side_is_not_sent(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """A channel without any sound costs nothing; the other keeps its role, and the text is plain."""
    left, _ = dialogue(30)
    hum = noise(RATE, 30, 20)
    found = cut(write(tmp_path / "a", placed(RATE, 30, left), hum, rate=RATE))
    assert {chunk.channel for chunk in found.plan.chunks} == {0}
    for times in TIMES:
        transcript = transcribed(found, times=times)
        assert transcript.text == " ".join(str(each.number) for each in left)
        assert transcript.segments[0].speaker == "manager"


def test_uploads_are_bounded(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """However lively a call is, it makes as few uploads as are allowed, and its order is kept."""
    left, right = dialogue(120, turn=(2.2, 2.4))
    path = write(tmp_path / "a", placed(RATE, 120, left), placed(RATE, 120, right), rate=RATE)
    for bound, most in ((4.0, 8), (1.0, 2), (0.1, 2)):
        found = cut(path, uploads_per_minute=bound)
        assert len(found.plan.chunks) <= most
        for times in ("words", "segments"):
            assert transcribed(found, times=times).text == expected(left, right)
        assert sides_of(transcribed(found, times="none").text) == sides_of(expected(left, right))


def test_six_channels(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """More than two channels are mixed to one."""
    import av

    path = tmp_path / "six.flac"
    pcm, _ = speech(RATE, 10)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("flac", rate=RATE, layout="5.1")
        frame = av.AudioFrame(format="s16", layout="5.1", samples=len(pcm) // 2)
        wide = b"".join(pcm[at : at + 2] * 6 for at in range(0, len(pcm), 2))
        frame.planes[0].update(wide)
        frame.sample_rate = RATE
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    found = cut(path)
    assert (found.media.channels, found.plan.channels) == (6, 1)


def test_a_plan_of_before_is_finished(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """A record of before, each channel whole and without a map, is halved and merged as it was cut."""
    left, right = dialogue(30)
    found = cut(write(tmp_path / "a.wav", placed(RATE, 30, left), placed(RATE, 30, right), rate=RATE))
    written = to_plain(found.plan)
    for number, chunk in enumerate(written["chunks"]):
        del chunk["stretches"]
        chunk["span"] = {"start": 0.0, "end": 30.0}
        chunk["channel"] = number
    del written["levels"]
    before = from_plain(Plan, written)
    parts = {}
    for chunk, said in zip(before.chunks, (left, right), strict=True):
        segments = tuple(
            RawSegment(start=each.start, end=each.start + WORD_SECONDS, text=str(each.number))
            for each in said
        )
        text = " ".join(each.text for each in segments)
        parts[chunk.id] = Recognition(text=text, segments=segments)
    transcript = merge(before, parts, roles=("manager", "client"), language="en", portal_language="en")
    assert transcript.text == expected(left, right)
    chunk = before.chunks[1]
    halves = halve(tmp_path / "a.wav", chunk, out=found.out, limits=UploadLimits())
    numbers = [each.number for half in halves for each in read(*decoded(found.out / half.blob))]
    assert numbers == [each.number for each in right]
    assert [half.channel for half in halves] == [1, 1]


def test_halves_of_a_pack(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """An upload of several sentences is asked for again in two, each sentence whole in one of them."""
    left, right = dialogue(60)
    found = cut(write(tmp_path / "a.wav", placed(RATE, 60, left), placed(RATE, 60, right), rate=RATE))
    chunk = max(found.plan.chunks, key=lambda each: len(each.placed))
    halves = halve(tmp_path / "a.wav", chunk, out=found.out, limits=UploadLimits())
    spans = [stretch.span for half in halves for stretch in half.placed]
    assert spans == [stretch.span for stretch in chunk.placed]
    assert halves[0].seconds == pytest.approx(halves[1].seconds, rel=0.6)
    whole = [each.number for each in read(*decoded(found.out / chunk.blob))]
    assert [each.number for half in halves for each in read(*decoded(found.out / half.blob))] == whole
