"""Quotes are believed only when they were said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.scoring.quotes import find_quote, words

from .calls import CALL, segment, transcript


@pytest.mark.parametrize(
    ("quote", "at"),
    [
        ("About forty users", 2.5),
        ("  about FORTY, users!  ", 2.5),
        ("“twelve thousand euros for it”", 2.5),  # runs over two segments
        ("[Client] About forty users.", 2.5),
        ("About forty users ... this year", 2.5),
        ("about forty users … euros", 2.5),
        ("Thursday at ten", 7.0),
        ("Thursday is fine", 9.5),
        ("cafe\u0301!", None),  # one short word proves nothing
        ("nai\u0308ve cafe\u0301", 9.5),  # another spelling of the same letters
        ("euros this year", None),  # words left out without saying so
        ("this year ... About forty", None),  # the wrong order
        ("fort users", None),
        ("orty users", None),  # not on a word's edge
        ("yes", None),
        ("", None),
        ("...", None),
    ],
)
def test_a_quote_is_found_or_not(quote: str, at: float | None) -> None:
    """Case, punctuation, labels and marked omissions do not matter; words and order do."""
    place = find_quote(quote, CALL)
    assert (place.at if place else None) == at


def test_a_quote_belongs_to_its_speaker() -> None:
    """Where a criterion asks for the client's words, the manager's do not count."""
    assert find_quote("Thursday at ten", CALL, said_by="client") is None
    assert find_quote("Thursday at ten", CALL, said_by="manager") is not None
    unnamed = transcript(segment(0, 1, "speaker_1", "Thursday at ten then"))
    assert find_quote("Thursday at ten", unnamed, said_by="client") is not None


def test_a_quote_may_run_past_an_interjection() -> None:
    """Words of one speaker count as one stretch although the other agrees in between."""
    call = transcript(
        segment(0, 2, "client", "We have set aside"),
        segment(1.5, 1.8, "manager", "Right."),
        segment(2, 3, "client", "twelve thousand euros."),
    )
    place = find_quote("set aside twelve thousand", call)
    assert place is not None
    assert (place.at, place.speaker) == (0, "client")


def test_without_segments_the_text_is_searched() -> None:
    """A transcript without times gives a place without a time."""
    call = transcript(text="We need a system for forty users.")
    place = find_quote("need a system", call)
    assert place is not None
    assert place.at is None


def test_russian_and_scripts_without_spaces() -> None:
    """е and ё are one letter; scripts without spaces are searched without them."""
    call = transcript(segment(3, 5, "client", "Всё учтём, бюджет — шестьсот тысяч."))
    assert find_quote("все учтем бюджет", call)
    chinese = transcript(segment(1, 2, "client", "我们需要四十个用户 CRM 系统。"))
    place = find_quote("四十个用户CRM", chinese)
    assert place is not None
    assert place.at == 1


@given(st.lists(st.text("абвe fgё.,!ñ1", min_size=1, max_size=30), min_size=1, max_size=6), st.data())
def test_what_was_said_is_found(texts: list[str], data: st.DataObject) -> None:
    """Any run of words that proves something, cut from what was said, is found with the time of its turn."""
    call = transcript(*(segment(i, i + 1, "client", text) for i, text in enumerate(texts)))
    said = words(" ".join(texts)).split()
    first = data.draw(st.integers(0, max(0, len(said) - 1)))
    quote = " ".join(said[first : first + data.draw(st.integers(2, 5))])
    if " " in quote:
        place = find_quote(quote, call)
        assert place is not None
        assert place.at is not None
        assert words(" ".join(texts[int(place.at) :])).find(quote) >= 0
