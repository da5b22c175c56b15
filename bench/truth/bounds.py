"""What a transcript has to hold against what was said. Bounds of truth; speed has none here.

Words vary between runs: Whisper draws at random once it is unsure, so that a few words are no difference.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.truth.measuring import Row

ORDER_POINTS = 1.0  # `flat` may lie so far above `by side`
CHANCE_WORDS = 2  # in so many words two runs of one recording differ
WHOLE_POINTS = 3.0  # so far above Whisper on the whole file, beside chance
START_SECONDS = 1.0  # nine lines of ten begin no further from where they were said
UPLOADED_SHARE = 1.4  # seconds sent per second of speech
# Where in an upload the language changes is not known before it was heard: what a model leaves out of a
# second language is sent again by itself, so up to half of a short call twice.
LANGUAGES_SHARE = 1.7
ADDED_SHARE, WRONG_SHARE = 0.05, 0.02  # of the words that were said


def missed(row: Row) -> list[str]:
    """The bounds that the row misses, a sentence each; empty where all hold."""
    return list(_missed(row))


def _missed(row: Row) -> Iterator[str]:
    found, truth = row.figures, row.recording.truth
    if not truth.lines:
        if found.inserted:
            yield f"{found.inserted} words where nobody speaks"
        return
    points = 100 * CHANCE_WORDS / found.words
    assert found.wer_flat is not None
    if truth.mixed:
        if len(row.speakers) > 1:
            yield "one voice stream is told as several speakers"
    elif found.wer_by_side is None:
        yield "the speakers are not told apart"
    else:
        if found.wer_flat > found.wer_by_side + ORDER_POINTS:
            yield f"the order costs {found.wer_flat - found.wer_by_side:.1f} points"
        if found.inversions:
            yield f"{found.inversions} lines before an earlier one of the other side"
        if (found.wrong_side or 0) > max(CHANCE_WORDS, WRONG_SHARE * found.words):
            yield f"{found.wrong_side} words under the wrong name"
    if (
        row.whole
        and row.whole.wer_flat is not None
        and found.wer_flat > row.whole.wer_flat + WHOLE_POINTS + points
    ):
        yield f"{found.wer_flat} % of the words are wrong, {row.whole.wer_flat} % by Whisper alone"
    if found.inserted > max(CHANCE_WORDS, ADDED_SHARE * found.words):
        yield f"{found.inserted} words that nobody said"
    if found.start_p90 is not None and found.start_p90 > START_SECONDS:
        yield f"lines begin up to {found.start_p90} s from where they were said (nine of ten)"
    if found.hole_seconds and found.quality == "good":
        yield f"{found.hole_seconds} s of speech without words, and called good"
    most = UPLOADED_SHARE if truth.lang else LANGUAGES_SHARE
    if row.uploaded_share is not None and row.uploaded_share > most:
        yield f"{row.uploaded_share} s sent per second of speech"
