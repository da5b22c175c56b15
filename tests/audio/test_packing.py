"""The plan of a call on two channels: what is sent of whom, packed how, and what stands where."""

from __future__ import annotations

from array import array
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio.levels import Channel
from pipeline.audio.pieces import PACK_SECONDS, REST_SECONDS, Upload, packed
from pipeline.audio.speaking import Speaking
from pipeline.audio.talk import sentences, talk
from pipeline.domain.recording import Span

STEP = 0.02
EDGES = 0.5  # seconds that a sentence may take more than it sounds

lines = st.lists(
    st.tuples(st.integers(0, 1), st.floats(0.2, 45.0), st.floats(-0.8, 3.0)), min_size=1, max_size=40
)


def call(spoken: list[tuple[int, float, float]]) -> tuple[Speaking, float]:
    """Who speaks when: (channel, seconds, pause since anybody spoke last), as levels; and how long it is."""
    ends, placed = [0.0, 0.0], []
    for channel, seconds, pause in spoken:
        start = max(ends[channel] + 0.3, max(ends) + pause)
        ends[channel] = start + seconds
        placed.append((channel, start, ends[channel]))
    total = round((max(ends) + 1.0) / STEP)
    channels = [Channel(windows=array("H", bytes(2 * total))) for _ in range(2)]
    for channel, start, end in placed:
        for at in range(round(start / STEP), round(end / STEP)):
            channels[channel].windows[at] = 3000 if at % 40 else 900  # quieter now and then
    own = [talk(channel, STEP) for channel in channels]
    both = [sentences(own[0], own[1]), sentences(own[1], own[0])]
    return Speaking(channels, both, [], [3000, 3000], [None, None]), total * STEP


def plan(speaking: Speaking, seconds: float, *, longest: float = 600.0, most: int = 10_000) -> list[Upload]:
    return packed(speaking, STEP, seconds, longest=longest, most=most)


@settings(max_examples=60, deadline=None)
@given(lines, st.integers(1, 8), st.sampled_from([20.0, 60.0, 600.0]))
def test_all_talk_is_sent_once(spoken: list[tuple[int, float, float]], most: int, longest: float) -> None:
    """Every moment of talk stands in exactly one upload of its channel, whatever the bounds."""
    speaking, seconds = call(spoken)
    uploads = plan(speaking, seconds, longest=longest, most=most)
    for number, channel in enumerate(speaking.channels):
        spans = sorted(
            (span for each in uploads if each.channel == number for span in each.spans),
            key=lambda span: span.start,
        )
        assert all(before.end <= after.start for before, after in pairwise(spans))
        assert all(0 <= span.start < span.end <= seconds + 1e-9 for span in spans)
        sent = [False] * len(channel.windows)
        for span in spans:
            for at in range(round(span.start / STEP), round(span.end / STEP)):
                sent[at] = True
        assert all(there or not level for there, level in zip(sent, channel.windows, strict=True))


@settings(max_examples=60, deadline=None)
@given(lines, st.integers(1, 8), st.sampled_from([20.0, 60.0, 600.0]))
def test_bounds_hold(spoken: list[tuple[int, float, float]], most: int, longest: float) -> None:
    """No upload is longer than may be, and there are no more of them than allowed, unless by their length."""
    speaking, seconds = call(spoken)
    uploads = plan(speaking, seconds, longest=longest, most=most)
    assert all(each.seconds <= longest + 1e-6 for each in uploads)
    if len(uploads) > max(most, 2):
        assert longest < 600.0
    assert all(each.seconds <= PACK_SECONDS + 1e-6 for each in plan(speaking, seconds))


@settings(max_examples=60, deadline=None)
@given(lines)
def test_little_is_sent_beside_talk(spoken: list[tuple[int, float, float]]) -> None:
    """What is paid beyond the talk is an edge and a rest per sentence, and few uploads hold it all."""
    speaking, seconds = call(spoken)
    uploads = plan(speaking, seconds)
    spoken_seconds = sum(span.seconds for each in speaking.talk for span in each)
    count = sum(len(each.spans) for each in uploads)
    assert sum(each.seconds for each in uploads) <= spoken_seconds + count * (EDGES + REST_SECONDS)
    assert len(uploads) <= 2 + 2.2 * spoken_seconds / PACK_SECONDS + count * 0.1


@settings(max_examples=60, deadline=None)
@given(lines)
def test_the_map_goes_both_ways(spoken: list[tuple[int, float, float]]) -> None:
    """A stretch begins in the upload where the one before has ended and rested; so places tell times."""
    speaking, seconds = call(spoken)
    for upload in plan(speaking, seconds):
        stretches = upload.stretches
        assert [each.span for each in stretches] == list(upload.spans)
        assert stretches[0].at == 0
        for before, after in pairwise(stretches):
            assert abs(after.at - before.at - before.span.seconds - REST_SECONDS) < 1e-5
    assert plan(speaking, seconds) == plan(speaking, seconds)


def test_a_word_between_two_sentences_parts_them() -> None:
    """A short rest is no reason to cut, unless the other one says something in it."""
    own = [Span(start=0, end=2), Span(start=2.5, end=4), Span(start=4.7, end=6)]
    assert sentences(own, []) == [Span(start=0, end=4), Span(start=4.7, end=6)]
    assert sentences(own, [Span(start=2.1, end=2.4)]) == own
    assert sentences(own, [Span(start=1.0, end=2.2)]) == own


def test_a_click_is_no_talk() -> None:
    """What sounds for less than any word is not sent; a short word is."""
    windows = array("H", bytes(2 * 1000))
    windows[100:102] = array("H", [5000] * 2)
    windows[500:510] = array("H", [5000] * 10)
    assert talk(Channel(windows=windows), STEP) == [Span(start=10.0, end=10.2)]


def test_quiet_talk_is_talk() -> None:
    """A speaker 40 dB under another of the same channel, minutes later, is heard; steady noise is not."""
    loud, quiet, rest = array("H", [8000, 9000] * 500), array("H", [80, 90] * 500), array("H", bytes(3000))
    found = talk(Channel(windows=loud + rest + quiet + rest), STEP)
    assert [round(span.seconds) for span in found] == [20, 20]
    hiss = array("H", [100, 104, 98, 102] * 1000)
    spoken = array("H", hiss)
    spoken[1000:1200] = array("H", [2000] * 200)
    assert talk(Channel(windows=spoken), STEP) == [Span(start=20.0, end=24.0)]
