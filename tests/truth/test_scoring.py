"""The scorer against small cases whose right values were worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from bench.truth.scoring import Truth, score, words

SAID = (
    (0, 1.0, 3.0, "one two three four"),
    (1, 4.0, 6.0, "five six seven eight"),
    (0, 7.0, 9.0, "nine ten eleven twelve"),
)


def truth(*lines: tuple[int, float, float, str], mix: bool = False) -> Truth:
    spans = [{"side": s, "start": a, "end": b, "text": t} for s, a, b, t in lines or SAID]
    return Truth.read({"lang": "en", "seconds": 10.0, "spans": spans, "mix": mix})


def told(*lines: tuple[int | None, float, float, str], **more: Any) -> dict[str, Any]:
    speakers = {0: "manager", 1: "client", None: None}
    segments = [{"speaker": speakers[s], "start": a, "end": b, "text": t} for s, a, b, t in lines]
    return {"segments": segments, **more}


def test_what_was_said_scores_nought() -> None:
    """No error, no inversion, no offset, no hole."""
    found = score(truth(), told(*SAID))
    assert (found.wer_flat, found.wer_by_side, found.inserted, found.lost) == (0.0, 0.0, 0, 0)
    assert (found.wrong_side, found.inversions, found.hole_seconds) == (0, 0, 0.0)
    assert (found.start_p50, found.start_p90, found.start_max) == (0.0, 0.0, 0.0)


def test_words_lost_inserted_and_changed_are_counted_apart() -> None:
    """Of twelve words one is lost, one changed and one added: a quarter, flat and by side."""
    lines = (
        (0, 1.0, 3.0, "one two four"),
        (1, 4.0, 6.0, "five sax seven eight"),
        (0, 7.0, 9.0, "nine ten eleven twelve again"),
    )
    found = score(truth(), told(*lines))
    assert (found.lost, found.inserted) == (1, 1)
    assert found.wer_flat == found.wer_by_side == 25.0


def test_lines_in_the_wrong_order_cost_flat_alone() -> None:
    """The client's line told first is an inversion; by side every word is right."""
    found = score(truth(), told(SAID[1], SAID[0], SAID[2]))
    assert found.wer_by_side == 0.0
    assert found.wer_flat == pytest.approx(100 * 8 / 12, abs=0.05)  # four words out of place: lost, and added
    assert found.inversions == 1


def test_lines_that_overlap_may_be_told_in_either_order() -> None:
    """Crosstalk has no order: one after the other, the other way round, or word by word."""
    crossing = ((0, 1.0, 3.0, "one two"), (1, 2.0, 4.0, "three four"))
    for lines in (
        crossing,
        crossing[::-1],
        ((0, 1.0, 2.0, "one"), (1, 2.0, 3.0, "three"), (0, 2.5, 3.0, "two"), (1, 3.0, 4.0, "four")),
    ):
        found = score(truth(*crossing), told(*lines))
        assert (found.wer_flat, found.inversions) == (0.0, 0)
    late = ((0, 1.0, 2.0, "one two"), (1, 2.0, 4.0, "three four"))  # one after the other
    assert score(truth(*late), told(*late[::-1])).wer_flat == 100.0


def test_a_line_under_the_other_name_is_on_the_wrong_side() -> None:
    """Four words of the client told of the manager: wrong by side, right in the flat text."""
    found = score(truth(), told(SAID[0], (0, 4.0, 6.0, SAID[1][3]), SAID[2]))
    assert found.wrong_side == 4
    assert found.wer_flat == 0.0
    assert found.wer_by_side == pytest.approx(100 * 8 / 12, abs=0.05)
    assert found.hole_seconds == 2.0


def test_an_echo_is_inserted_and_on_the_wrong_side() -> None:
    """A line told of both speakers: its words once too many, under the wrong name."""
    found = score(truth(), told(SAID[0], SAID[1], (0, 4.2, 6.2, SAID[1][3]), SAID[2]))
    assert (found.inserted, found.wrong_side, found.lost) == (4, 4, 0)


def test_starts_are_measured_by_the_first_word_of_each_line() -> None:
    """Offsets of 0.2, 0.5 and 3 s, whichever way; a word's time is its place in its segment."""
    lines = ((0, 1.2, 3.0, SAID[0][3]), (1, 3.5, 6.0, SAID[1][3]), (0, 10.0, 12.0, SAID[2][3]))
    found = score(truth(), told(*lines))
    assert (found.start_p50, found.start_p90, found.start_max) == (0.5, 3.0, 3.0)
    joined = told((0, 1.0, 9.0, f"{SAID[0][3]} {SAID[2][3]}"), SAID[1])
    assert score(truth(), joined).start_max == 2.0  # the fifth of eight words over eight seconds: 5.0 for 7.0


def test_holes_are_what_nothing_owns_up_to() -> None:
    """Two seconds that no segment covers are a hole, unless the transcript calls them empty or missing."""
    for more, hole in (
        ({}, 2.0),
        ({"empty_spans": [{"start": 4.0, "end": 6.0}]}, 0.0),
        ({"missing": [{"start": 3.0, "end": 5.0}]}, 0.0),  # half a second at the edge is not told
        ({"missing": [{"start": 3.0, "end": 4.0}]}, 1.5),
    ):
        assert score(truth(), told(SAID[0], SAID[2], **more)).hole_seconds == hole


def test_one_voice_stream_has_no_sides() -> None:
    """Where both speak in every channel, words and order count, and figures by side have no meaning."""
    found = score(truth(mix=True), told(*((None, a, b, t) for _, a, b, t in SAID)))
    assert (found.wer_flat, found.wer_by_side, found.wrong_side, found.inversions) == (0.0, None, None, None)
    assert found.start_max == 0.0


def test_nothing_said_and_words_told() -> None:
    """On a line without a word every word is inserted, and shares of nothing have no value."""
    found = score(truth_of_silence(), told((None, 0.0, 1.0, "thanks for watching")))
    assert (found.words, found.inserted, found.wer_flat) == (0, 3, None)


def truth_of_silence() -> Truth:
    return Truth.read({"lang": "en", "seconds": 10.0, "spans": []})


def test_words_are_compared_as_they_sound() -> None:
    """Case, punctuation, ё and the way numbers are written make no difference."""
    assert words("Our budget is $10,000.", "en") == words("our budget is ten thousand dollars", "en")
    assert words("50 users, 5%", "en") == words("fifty users five percent", "en")
    assert words("Ещё 300 000 рублей, онлайн-касса", "ru") == words(
        "еще триста тысяч рублей онлайн касса", "ru"
    )
