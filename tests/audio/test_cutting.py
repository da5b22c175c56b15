"""Cut points, as a plan of numbers: over any layout of speech and silence."""

from __future__ import annotations

from array import array
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio.cutting import EVEN_SECONDS, cuts, pieces
from pipeline.audio.meter import FLOOR
from tests.audio.arrays import levels as measured

STEP = 0.02
SPEECH = 3000
layouts = st.lists(
    st.tuples(st.floats(0.3, 40.0), st.floats(0.02, 12.0), st.integers(0, FLOOR)), min_size=1, max_size=40
)


def windows(layout: list[tuple[float, float, int]]) -> array[int]:
    """Levels of speech (uneven, as speech is) and rests, in turn."""
    found = array("H")
    for speech, rest, level in layout:
        found.extend(SPEECH + 400 * (index % 7) for index in range(round(speech / STEP)))
        found.extend([level] * round(rest / STEP))
    return found


@settings(deadline=None)
@given(layouts, st.floats(5.0, 120.0))
def test_tiling(layout: list[tuple[float, float, int]], longest: float) -> None:
    """Pieces tile the time axis in order, none is longer than allowed, and the same comes out twice."""
    levels = windows(layout)
    end = len(levels) * STEP
    found = cuts(measured(levels), STEP, start=0.0, end=end, longest=longest)
    edges = [0.0, *found, end]
    assert all(before < after for before, after in pairwise(edges))
    assert max(after - before for before, after in pairwise(edges)) <= longest + 1e-6
    assert found == cuts(measured(levels), STEP, start=0.0, end=end, longest=longest)


@settings(deadline=None)
@given(layouts, st.floats(5.0, 120.0))
def test_no_cut_in_speech(layout: list[tuple[float, float, int]], longest: float) -> None:
    """No cut lies inside speech where a pause of a quarter second exists within the allowance."""
    levels = windows(layout)
    end = len(levels) * STEP
    position = 0.0
    for cut in cuts(measured(levels), STEP, start=0.0, end=end, longest=longest):
        at = round(cut / STEP)
        if levels[min(at, len(levels) - 1)] > FLOOR and levels[at - 1] > FLOOR:
            smallest = min(15.0, longest / 4, (end - position) / 4)
            first, last = round((position + smallest) / STEP) + 1, int((position + longest) / STEP) - 1
            last = min(last, int((end - smallest) / STEP) - 1)
            run = longest_run(levels[first:last])
            assert run * STEP < 0.25, f"a rest of {run * STEP:.2f} s lay in {first * STEP}-{last * STEP}"
        position = cut


@settings(deadline=None)
@given(st.floats(1.0, 14_400.0), st.integers(1, 16))
def test_pieces_fill_the_places(seconds: float, places: int) -> None:
    """A recording is at most as many pieces as can be heard at a time, or fills all places several times."""
    count = pieces(seconds, 600.0, places)
    assert count <= places or count % places == 0
    assert seconds / count <= 600.0
    assert count == 1 or seconds / count >= 250.0


def test_an_hour_is_eight_even_pieces() -> None:
    """The longest piece is waited for: none is longer than its share by more than a pause is looked for."""
    levels = array("H", ([3000] * 97 + [0] * 13) * (3600 * 50 // 110))
    points = cuts(measured(levels), STEP, start=0.0, end=3600.0, longest=600.0, places=8)
    edges = [0.0, *points, 3600.0]
    lengths = [end - start for start, end in pairwise(edges)]
    assert len(lengths) == 8
    assert max(lengths) <= 450 + 2 * EVEN_SECONDS


@settings(deadline=None)
@given(st.floats(1.0, 599.0))
def test_short_calls_stay_whole(seconds: float) -> None:
    """A call under ten minutes is one piece where the recogniser takes as much."""
    assert pieces(seconds, 600.0) == 1


def test_long_calls_run_in_parallel() -> None:
    """An hour becomes eight pieces, and a limit of twenty seconds is kept whatever that costs."""
    assert pieces(3600.0, 1500.0) == 8
    assert pieces(3600.0, 20.0) >= 180


@settings(deadline=None)
@given(layouts, st.floats(20.0, 120.0))
def test_last_piece(layout: list[tuple[float, float, int]], longest: float) -> None:
    """The last piece is balanced with the others: never a crumb."""
    levels = windows(layout)
    end = len(levels) * STEP
    found = cuts(measured(levels), STEP, start=0.0, end=end, longest=longest)
    if found:
        assert end - found[-1] >= min(15.0, longest / 8)


def test_music_is_cut_where_it_is_quietest() -> None:
    """Without any pause the cut lies at the minimum of energy near the balanced length."""
    levels = array("H", [5000] * 2000)
    levels[1130:1140] = array("H", [3500] * 10)
    (cut,) = cuts(measured(levels), STEP, start=0.0, end=40.0, longest=30.0)
    assert abs(cut - 22.7) < 0.1


def test_room() -> None:
    """A limit of bytes, given as room, is kept where it is tighter than the limit of seconds."""
    levels = array("H", [5000] * 5000)
    found = cuts(measured(levels), STEP, start=0.0, end=100.0, longest=90.0, room=lambda start: start + 13.0)
    assert all(after - before <= 13.0 for before, after in pairwise([0.0, *found, 100.0]))


def longest_run(levels: array[int]) -> int:
    best = run = 0
    for level in levels:
        run = run + 1 if level <= FLOOR else 0
        best = max(best, run)
    return best
