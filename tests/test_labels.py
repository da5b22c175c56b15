"""Words and times as people read them."""

from __future__ import annotations

import pytest

from pipeline.domain.labels import band_word, clock, cue_time, speaker_word


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "00:00"),
        (59.99, "00:59"),
        (600, "10:00"),
        (3599, "59:59"),
        (3600, "01:00:00"),
        (36061, "10:01:01"),
        (-1, "00:00"),
    ],
)  # fmt: skip
def test_clock(seconds: float, text: str) -> None:
    """MM:SS below an hour, HH:MM:SS from there on."""
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00:00,000"), (1.0004, "00:00:01,000"), (59.9996, "00:01:00,000"), (3661.5, "01:01:01,500")],
)
def test_cue_times(seconds: float, text: str) -> None:
    """Hours stand always, and milliseconds are rounded through seconds, minutes and hours."""
    assert cue_time(seconds, ",") == text


def test_a_language_that_has_no_words_here_is_english() -> None:
    """Wording follows the portal's language, also where that names a region; else it is English."""
    assert [speaker_word("client", language) for language in ("ru", "ru-RU", "de")] == ["Клиент"] * 2 + [
        "Client"
    ]
    assert [band_word("high", language) for language in ("ru", "en", "de")] == ["высокая", "high", "high"]
