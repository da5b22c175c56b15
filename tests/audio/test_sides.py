"""Two-sided calls: whose words are whose, what is sent of each side, and in which order it comes out."""

from __future__ import annotations

import audioop
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.audio.levels import scan
from pipeline.audio.merge import merge
from pipeline.audio.turns import turns
from pipeline.domain.recording import Span
from pipeline.domain.transcript import RawSegment, Recognition, Transcript
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
    """What both parties say, turn by turn, with pauses; words of one side are even, of the other odd."""
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


def transcribed(
    found: Cut, *, timestamps: bool, roles: tuple[str, ...] = ("manager", "client")
) -> Transcript:
    """The transcript that a faithful recogniser's answers lead to; a word's text is its number."""
    parts = {}
    for chunk in found.plan.chunks:
        words = read(*decoded(found.out / chunk.blob))
        heard = tuple(
            RawSegment(start=w.start, end=w.start + WORD_SECONDS, text=str(w.number)) for w in words
        )
        text = " ".join(each.text for each in heard)
        parts[chunk.id] = Recognition(text=text, segments=heard if timestamps else ())
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


@pytest.mark.parametrize("timestamps", [True, False])
@pytest.mark.parametrize("hiss", [0, 20])
def test_turns_in_order(tmp_path: Path, cut: Callable[..., Cut], timestamps: bool, hiss: int) -> None:
    """Every turn is under the right speaker and in the right order, with and without timestamps."""
    left, right = dialogue(60)
    channels = [placed(RATE, 60, left), placed(RATE, 60, right, level=1000)]
    if hiss:
        channels = [mixed(channel, noise(RATE, 60, hiss, seed=n)) for n, channel in enumerate(channels)]
    found = cut(write(tmp_path / "call.wav", *channels, rate=RATE), timestamps=timestamps)
    assert found.plan.channels == 2
    assert found.plan.order == "exact"
    assert transcribed(found, timestamps=timestamps).text == expected(left, right)


def test_swapped_roles(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Who is on which side is the portal's setting; without it speakers are numbered."""
    left, right = dialogue(30)
    found = cut(write(tmp_path / "a.wav", placed(RATE, 30, left), placed(RATE, 30, right), rate=RATE))
    swapped = transcribed(found, timestamps=True, roles=("client", "manager"))
    assert swapped.segments[0].speaker == "client"
    assert transcribed(found, timestamps=True, roles=()).text.startswith("[Speaker 1] ")


def test_side_levels(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """A quiet side is brought to the level of the other before it is sent."""
    left, right = dialogue(30)
    channels = placed(RATE, 30, left, level=12_000), placed(RATE, 30, right, level=300)
    found = cut(write(tmp_path / "a.wav", *channels, rate=RATE))
    loud = [audioop.max(decoded(found.out / chunk.blob)[0], 2) for chunk in found.plan.chunks]
    assert max(loud) < 4 * min(loud)
    assert [each.number for each in found.words(1)] == [each.number for each in right]


def test_dual_mono(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """The same on both channels, also quieter, encoded with loss, or upside down, is one side, sent once."""
    pcm, said = speech(RATE, 30)
    flipped = audioop.mul(pcm, 2, -1)
    quieter = audioop.mul(pcm, 2, 0.7)
    for name, other in (("same", pcm), ("quieter", quieter), ("flipped", flipped)):
        found = cut(write(tmp_path / name, pcm, other, rate=RATE), chunk_seconds=20.0)
        assert found.plan.channels == 1, name
        assert [each.number for each in found.words()] == [each.number for each in said], name
    mp3 = write(tmp_path / "a.mp3", pcm, quieter, rate=RATE, codec="libmp3lame", container="mp3")
    assert cut(mp3).plan.channels == 1
    whole = cut(write(tmp_path / "whole", pcm, flipped, rate=RATE))
    assert [each.number for each in whole.words()] == [each.number for each in said]


def test_crosstalk_is_not_dual_mono(tmp_path: Path) -> None:
    """A side that hears the other as an echo, 15 dB down, is still a party of its own."""
    left, right = dialogue(30)
    one, other = placed(RATE, 30, left), placed(RATE, 30, right)
    channels = mixed(one, audioop.mul(other, 2, 0.18)), mixed(other, audioop.mul(one, 2, 0.18))
    assert not scan(write(tmp_path / "a", *channels, rate=RATE), max_seconds=99).same


def test_silent_side_is_not_sent(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """A side without any sound costs nothing; the other keeps its role, and the text is plain."""
    left, _ = dialogue(30)
    hum = noise(RATE, 30, 20)
    for timestamps in (True, False):
        found = cut(write(tmp_path / "a", placed(RATE, 30, left), hum, rate=RATE), timestamps=timestamps)
        assert {chunk.channel for chunk in found.plan.chunks} == {0}
        transcript = transcribed(found, timestamps=timestamps)
        assert transcript.text == " ".join(str(each.number) for each in left)
        assert transcript.segments[0].speaker == "manager"


def test_pieces_are_bounded(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """Ping-pong beyond eight pieces a minute is joined, and the transcript says that its order is rough."""
    left, right = dialogue(120, turn=(2.2, 2.4))
    path = write(tmp_path / "a", placed(RATE, 120, left), placed(RATE, 120, right), rate=RATE)
    found = cut(path, timestamps=False)
    assert found.plan.order == "approximate"
    assert len(found.plan.chunks) <= 16
    transcript = transcribed(found, timestamps=False)
    assert transcript.order == "approximate"
    for channel, said in (("Manager", left), ("Client", right)):
        lines = [line for line in transcript.text.splitlines() if line.startswith(f"[{channel}]")]
        assert [int(each) for line in lines for each in line.split()[1:]] == [each.number for each in said]


def test_turns_join() -> None:
    """Talk of one side is one turn unless the other spoke a second between; short ones join a neighbour."""
    talk = [Span(start=0, end=3), Span(start=5, end=8), Span(start=12, end=15), Span(start=20, end=20.5)]
    other = [Span(start=3.2, end=4.0), Span(start=9, end=11), Span(start=16, end=19)]
    assert turns(talk, other) == [Span(start=0, end=8), Span(start=12, end=20.5)]


def test_six_channels(tmp_path: Path, cut: Callable[..., Cut]) -> None:
    """More than two channels are mixed to one side."""
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
