"""Jobs as lines of text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli import drawing
from pipeline.domain.job import Event, Step
from pipeline.domain.transcript import Segment, Transcript

EVENTS = st.lists(
    st.builds(
        lambda at, took, step: Event(at=at, took=took, step=Step(step), what="done"),
        st.floats(1e9, 1.0001e9),
        st.none() | st.floats(0, 1e4),
        st.sampled_from(["accept", "fetch", "transcribe:12", "callback"]),
    ),
    max_size=20,
)


@given(EVENTS)
def test_every_event_has_a_bar_of_the_same_width(events: list[Event]) -> None:
    """Whatever happened when, each line's bar is as wide as all others and marks something."""
    lines = drawing.timeline(events)
    assert len(lines) == len(events)
    bars = [line.split("|")[1] for line in lines]
    assert {len(bar) for bar in bars} <= {drawing.BAR}
    assert all(bar.strip() for bar in bars)


def test_a_timeline_shows_when_steps_ran() -> None:
    """A bar begins where the step began and ends where it ended."""
    lines = drawing.timeline(
        [
            Event(at=100.0, step=Step("accept"), what="accepted"),
            Event(at=105.0, step=Step("fetch"), what="done", took=5.0),
            Event(at=110.0, step=Step("split"), what="failed", took=5.0, attempt=2, why="too long"),
        ],
        width=10,
    )
    assert lines[0] == "  0.00 s  accept |·         | accepted"
    assert lines[1] == "  5.00 s  fetch  |█████     | done, 5.00 s"
    assert lines[2] == "    10 s  split  |     █████| failed, 5.00 s, attempt 2, too long"


def test_durations_for_people() -> None:
    """Seconds up to a minute, then clock-like."""
    assert [drawing.duration(s) for s in (0.424, 12.3, 59.7, 185, 3723)] == [
        "0.42 s", "12 s", "60 s", "03:05", "01:02:03",
    ]  # fmt: skip


def test_turns_name_their_speaker() -> None:
    """Each segment with its place and speaker; a speaker that is unknown is not invented."""
    segments = (
        Segment(start=0.0, end=1.0, speaker="manager", text="hello"),
        Segment(start=65.0, end=66.0, speaker=None, text="yes"),
    )
    transcript = Transcript(text="", language="en", segments=segments)
    assert drawing.turns(transcript) == ["00:00  Manager: hello", "01:05  yes"]
