"""The plan of a call on two channels: what is sent of whom, packed how, and what stands where."""

from __future__ import annotations

from array import array
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.audio.levels import Channel
from pipeline.audio.pieces import (
    LEAST_REST_SECONDS,
    LEFT_SECONDS,
    MOST_SENT,
    PACK_SECONDS,
    REST_SECONDS,
    Upload,
    packed,
    spared,
    whole,
)
from pipeline.audio.speaking import Speaking
from pipeline.audio.talk import sentences, talk
from pipeline.domain.recording import Span
from tests.audio.arrays import levels

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
    channels = [Channel(windows=levels([0] * total)) for _ in range(2)]
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
            assert abs(after.at - before.at - before.span.seconds - upload.rest) < 1e-5
        assert LEAST_REST_SECONDS <= upload.rest <= REST_SECONDS
    assert plan(speaking, seconds) == plan(speaking, seconds)


@settings(max_examples=60, deadline=None)
@given(st.floats(1.3, 4.0), st.integers(4, 30))
def test_short_lines_cost_no_more(seconds: float, count: int) -> None:
    """Edges and rests take less where sentences are short: under 1.4 s are sent per second of talk."""
    speaking, total = call([(number % 2, seconds, 0.3) for number in range(count)])
    spoken = sum(span.seconds for each in speaking.talk for span in each)
    assert sum(each.seconds for each in plan(speaking, total)) <= 1.4 * spoken + 2 * REST_SECONDS


def mono(rests: list[float]) -> tuple[Speaking, float]:
    """One voice: sentences of three seconds with these rests behind them; and how long it is."""
    windows = array("H")
    for rest in rests:
        windows += array("H", [3000 if at % 40 else 900 for at in range(round(3 / STEP))])
        windows += array("H", bytes(2 * round(rest / STEP)))
    channel = Channel(windows=levels(windows))
    return Speaking([channel], [sentences(talk(channel, STEP), ())], [], [3000], [None]), len(windows) * STEP


def mono_plan(rests: list[float], *, longest: float = 600.0) -> list[Upload]:
    speaking, seconds = mono(rests)
    uploads = whole(speaking.channels[0], STEP, seconds, longest=longest)
    return spared(speaking, uploads, STEP, seconds, longest=longest, places=1)


def test_one_voice_with_few_rests_is_sent_whole() -> None:
    """A recording that hardly rests stays as it is, and so do rests that lie within a sentence."""
    (upload,) = mono_plan([0.4] * 20)
    assert (upload.spans[0].start, len(upload.spans)) == (0.0, 1)
    (upload,) = mono_plan([LEFT_SECONDS - 0.1] * 20)
    assert len(upload.spans) == 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(2.0, 40.0), min_size=5, max_size=60), st.sampled_from([25.0, 600.0]))
@example([30.0] * 5, 25.0)
def test_rests_of_one_voice_are_not_paid_for(rests: list[float], longest: float) -> None:
    """All talk of a recording that rests much is sent once, and little beside it, in as few uploads as
    hold it."""
    uploads = mono_plan(rests, longest=longest)
    speaking, _ = mono(rests)
    spoken = sum(span.seconds for span in speaking.talk[0])
    assert sum(each.seconds for each in uploads) <= MOST_SENT * spoken
    spans = [span for each in uploads for span in each.spans]
    assert all(before.end <= after.start for before, after in pairwise(spans))
    assert all(
        any(each.start <= at.start and at.end <= each.end for each in spans) for at in speaking.talk[0]
    )
    assert all(each.seconds <= longest + 1e-6 for each in uploads)
    assert len(uploads) <= 2 + 1.5 * sum(each.seconds for each in uploads) / longest


def test_a_faint_speaker_beside_a_loud_one_stays() -> None:
    """What sounds 35 dB under the rest of the same channel is sent, though the talk around it is louder."""
    speaking, _ = mono([6.0] * 10)
    windows = speaking.channels[0].windows
    for at in range(round(4 / STEP), round(5 / STEP)):
        windows[at] = 3000 // 50
    channel = Channel(windows=windows)
    heard = Speaking([channel], [sentences(talk(channel, STEP), ())], [], [3000], [None])
    seconds = len(windows) * STEP
    sent_whole = whole(channel, STEP, seconds, longest=600.0)
    uploads = spared(heard, sent_whole, STEP, seconds, longest=600.0, places=1)
    assert len(uploads[0].spans) > 5
    assert any(span.start <= 4.0 and span.end >= 5.0 for span in uploads[0].spans)


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
    assert talk(Channel(windows=levels(windows)), STEP) == [Span(start=10.0, end=10.2)]


def test_quiet_talk_is_talk() -> None:
    """A speaker 40 dB under another of the same channel, minutes later, is heard; steady noise is not."""
    loud, quiet, rest = array("H", [8000, 9000] * 500), array("H", [80, 90] * 500), array("H", bytes(3000))
    found = talk(Channel(windows=levels(loud + rest + quiet + rest)), STEP)
    assert [round(span.seconds) for span in found] == [20, 20]
    hiss = array("H", [100, 104, 98, 102] * 1000)
    spoken = array("H", hiss)
    spoken[1000:1200] = array("H", [2000] * 200)
    assert talk(Channel(windows=levels(spoken)), STEP) == [Span(start=20.0, end=24.0)]
