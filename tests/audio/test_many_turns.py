"""Calls with more turns than a recogniser without timestamps is asked for."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.turns import joined, most
from pipeline.domain.recording import Span


def dialogue(lengths: list[float]) -> list[list[Span]]:
    """Both sides by turns, half a second between them."""
    channels: list[list[Span]] = [[], []]
    at = 0.5
    for number, seconds in enumerate(lengths):
        channels[number % 2].append(Span(start=at, end=at + seconds))
        at += seconds + 0.5
    return channels


@given(st.lists(st.floats(2.0, 20.0), min_size=2, max_size=120), st.integers(2, 60))
def test_turns_join_until_they_are_few_enough(lengths: list[float], count: int) -> None:
    """However many turns there are, no more than the bound remain; all talk is in them, in order."""
    channels = dialogue(lengths)
    found = joined(channels, count)
    assert sum(map(len, found)) == min(len(lengths), max(count, 2))
    for before, after in zip(channels, found, strict=True):
        assert all(first.end <= second.start for first, second in pairwise(after))
        assert all(
            any(turn.start <= span.start and span.end <= turn.end for turn in after) for span in before
        )
        assert {turn.start for turn in after} <= {span.start for span in before}


def test_a_lively_call_keeps_its_order_all_over() -> None:
    """Twenty equal turns in a minute become eight that are spread over the call: none holds half of it."""
    channels = dialogue([2.5] * 20)
    found = joined(channels, most(60.0))
    assert sum(map(len, found)) == 8
    assert max(turn.seconds for channel in found for turn in channel) < 30
    assert joined(channels, 20) == channels


def test_the_shortest_turns_are_the_ones_that_join() -> None:
    """What is told out of order is the short word between two short turns, not a long answer."""
    channels = dialogue([10, 12, 2, 2, 2, 12, 10, 12])
    assert joined(channels, 7) == [
        [channels[0][0], Span(start=channels[0][1].start, end=channels[0][2].end), channels[0][3]],
        channels[1],
    ]
