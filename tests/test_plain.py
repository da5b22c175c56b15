"""Facts as JSON holds them: written small, read fast, and nothing of them lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.plain import from_plain, loads, to_plain
from pipeline.domain.recording import Span
from pipeline.domain.transcript import RawSegment, Recognition, Segment, Word

NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats()
ANY = st.none() | st.booleans() | NUMBERS | st.text(st.characters(exclude_categories=()))


@given(st.recursive(ANY, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)), st.booleans())
def test_json_is_read_as_python_reads_it(value: Any, escaped: bool) -> None:
    """NaN, infinities and half a surrogate pair too, which the fast reader refuses."""
    text = json.dumps(value, ensure_ascii=escaped)
    assert repr(loads(text)) == repr(json.loads(text))


@pytest.mark.parametrize("text", ["", "{", "[1,]", "\ufeff{}", "{'a': 1}", "01"])
def test_what_is_no_json_is_refused(text: str) -> None:
    """As a ValueError, which both readers raise."""
    with pytest.raises(ValueError, match=r"line 1 column"):
        loads(text)


def test_deep_json_is_no_fault_of_the_process() -> None:
    """It ends as it does with Python's own reader."""
    with pytest.raises(RecursionError):
        loads("[" * 100_000 + "]" * 100_000)


def test_what_a_recogniser_does_not_tell_takes_no_room_in_a_record() -> None:
    """Of an answer's words and segments only what is told is written, and it is read as it was."""
    heard = Recognition(
        text="Two words.",
        words=(Word(start=0.0, end=0.5, text="Two"), Word(start=0.5, end=1.0, text="words.", speaker="A")),
        segments=(RawSegment(start=0.0, end=1.0, text="Two words.", no_speech_prob=0.0),),
        unheard=(Span(start=1.0, end=4.0),),
        again=False,
    )
    plain = to_plain(heard)
    assert plain["words"] == [
        {"start": 0.0, "end": 0.5, "text": "Two"},
        {"start": 0.5, "end": 1.0, "text": "words.", "speaker": "A"},
    ]
    assert plain["segments"] == [{"start": 0.0, "end": 1.0, "text": "Two words.", "no_speech_prob": 0.0}]
    assert plain["again"] is False
    assert "language" not in plain
    assert from_plain(Recognition, plain) == heard


def test_an_answer_that_was_written_before_is_read_as_it_was() -> None:
    """Then each field stood there, told or not."""
    word = {"start": 0.0, "end": 1.0, "text": "Yes", "speaker": None}
    before = {"text": "Yes", "language": None, "segments": [], "words": [word], "again": None}
    assert from_plain(Recognition, before) == Recognition(
        text="Yes", words=(Word(start=0.0, end=1.0, text="Yes"),)
    )


def test_what_others_read_has_all_its_fields() -> None:
    """A transcript's segment says that nobody knows who speaks."""
    segment = Segment(start=0.0, end=1.0, speaker=None, text="Yes")
    assert to_plain(segment) == {"start": 0.0, "end": 1.0, "speaker": None, "text": "Yes"}
