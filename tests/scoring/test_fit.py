"""A long transcript is cut to what a model takes, and its end survives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.scoring.fit import fit


def test_a_short_one_is_untouched() -> None:
    """What fits stays as it is."""
    assert fit("[Client] hello\n[Manager] hi", 1000) == "[Client] hello\n[Manager] hi"


def test_head_tail_and_what_is_telling() -> None:
    """Opening, end and the turns that speak of money stay, in order, with the gaps marked."""
    turns = [f"[Client] filler number word {'x' * 40}" for _ in range(400)]
    turns[0] = "[Manager] Northwind, good morning."
    turns[150] = "[Client] Our budget is twelve thousand euros."
    turns[-1] = "[Client] See you on Thursday."
    text = "\n".join(turns)
    short = fit(text, 4000)
    assert len(short) <= 4100
    lines = short.splitlines()
    assert lines[0] == turns[0]
    assert lines[-1] == turns[-1]
    assert lines.index("[...]") < lines.index(turns[150]) < len(lines) - 1


def test_one_endless_turn_is_cut_by_words() -> None:
    """A transcript without turns or sentences is cut as well, at words."""
    text = " ".join(f"word{i}" for i in range(5000))
    short = fit(text, 2000)
    assert len(short) <= 2200
    assert short.endswith("word4999")
    assert set(short.split()) <= set(text.split()) | {"[...]"}


@given(st.text("ab .!?\n1", max_size=3000), st.integers(200, 1000))
def test_it_always_fits_and_ends_as_the_call_did(text: str, allowance: int) -> None:
    """Never more than the allowance and the marks of the gaps; the last words are the last words."""
    short = fit(text, allowance)
    assert len(short) <= allowance + 6 * short.count("[...]") + 6
    if text.split():
        assert short.split()[-1] == text.split()[-1]
