"""What a row misses is said, and the report shows every row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.truth import report
from bench.truth.bounds import missed
from bench.truth.measuring import Row
from bench.truth.recordings import Recording
from bench.truth.scoring import Figures, Truth

GOOD = Figures(
    words=100, wer_flat=8.0, wer_by_side=8.0, inserted=1, lost=2, wrong_side=0, inversions=0, start_p50=0.1,
    start_p90=0.4, start_max=1.2, hole_seconds=0.0, quality="good", order="exact",
)  # fmt: skip
SPAN = {"side": 0, "start": 1.0, "end": 11.0, "text": "word " * 100}


def row(*, spans: tuple[dict[str, Any], ...] = (SPAN,), mix: bool = False, **figures: Any) -> Row:
    truth = Truth.read({"lang": "en", "seconds": 20.0, "spans": spans, "mix": mix})
    return Row(
        recording=Recording(name="a-call", path=Path("a-call.flac"), truth=truth, about="two < sides"),
        figures=replace(GOOD, **figures), speakers=("client", "manager"), uploads=2, uploaded_seconds=12.0,
        took_seconds=3.0, whole=GOOD, transcript={},
    )  # fmt: skip


def test_a_row_within_all_bounds_misses_none() -> None:
    """Figures at the bounds hold; a few words are chance."""
    assert missed(row()) == []
    assert missed(row(wer_flat=9.0, inserted=5, wrong_side=2, start_p90=1.0)) == []


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"wer_flat": 9.1}, "order costs 1.1 points"),
        ({"inversions": 1}, "before an earlier one"),
        ({"wrong_side": 3}, "3 words under the wrong name"),
        ({"inserted": 6}, "6 words that nobody said"),
        ({"start_p90": 1.1}, "1.1 s from where they were said"),
        ({"hole_seconds": 2.0}, "2.0 s of speech without words"),
        ({"wer_flat": 13.1, "wer_by_side": 13.1}, "8.0 % by Whisper alone"),
        ({"wer_by_side": None}, "not told apart"),
    ],
)
def test_each_bound_is_told_by_itself(figures: dict[str, Any], words: str) -> None:
    """A figure beyond its bound gives one sentence, which names it."""
    found = missed(row(**figures))
    assert len(found) == 1
    assert words in found[0]


def test_a_hole_that_is_owned_up_to_is_no_miss() -> None:
    """Speech without words is missed where the transcript calls itself good, and only there."""
    assert missed(row(hole_seconds=2.0, quality="poor")) == []


def test_what_is_sent_is_bounded_by_what_is_said() -> None:
    """Ten seconds of speech are worth fourteen of upload, seventeen where the language may change."""
    assert missed(replace(row(), uploaded_seconds=14.0)) == []
    assert "1.41 s sent" in missed(replace(row(), uploaded_seconds=14.1))[0]
    unknown = replace(
        row(), recording=replace(row().recording, truth=replace(row().recording.truth, lang=None))
    )
    assert missed(replace(unknown, uploaded_seconds=17.0)) == []
    assert "1.71 s sent" in missed(replace(unknown, uploaded_seconds=17.1))[0]


def test_one_voice_stream_is_one_speaker_and_silence_has_no_words() -> None:
    """The same mix told as two speakers, and any word on a line without one, are missed."""
    assert "several speakers" in missed(row(mix=True))[0]
    assert missed(replace(row(mix=True), speakers=(None,))) == []
    assert missed(row(spans=(), inserted=0, wer_flat=None)) == []
    assert "1 words where nobody speaks" in missed(row(spans=(), inserted=1, wer_flat=None))


def test_the_report_shows_every_row() -> None:
    """A line of the table for each row, what it misses, and a bar in a picture that is well-formed."""
    rows = [row(), row(inversions=2)]
    page = report.page(rows)
    assert page.count("| `a-call` | two < sides | 8.0 | 8.0 | 8.0 |") == 2
    assert "1 of 2 recordings keep every bound" in page
    assert "- `a-call`: 2 lines before an earlier one of the other side." in page
    picture = ElementTree.fromstring(report.picture(rows))
    names = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert names.count("a-call") == 2
