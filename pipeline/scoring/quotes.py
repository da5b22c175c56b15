"""Quotes: whether words that a model puts into a caller's mouth were said, and when.

Compared are words alone: case, punctuation, spacing and the difference of е and ё do not count; order and
the words themselves do. A quote may run over several turns as they stand in the transcript, or over
several turns of one speaker, and may leave words out with an ellipsis.
"""

from __future__ import annotations

import bisect
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from pipeline.domain.transcript import Segment, Speaker, Transcript

_RUN = re.compile(r"([^\w\s]{32})[^\w\s]+")
LEAST_LETTERS = 8  # a single shorter word ("yes", "hello") stands in every call and proves nothing
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a quote was found."""

    at: float | None  # seconds from the recording's start; None when there are no times
    speaker: Speaker | None


def words(text: str) -> str:
    """The text's words alone, separated by one space each; scripts without spaces: no spaces at all."""
    # a long run of combining marks is sorted by normalisation, by the square of its length
    plain = unicodedata.normalize("NFKC", _RUN.sub(r"\1", text)).casefold().replace("ё", "е")
    joined = " ".join(re.findall(r"\w+", plain.replace("_", " ")))
    return joined.replace(" ", "") if _UNSPACED.search(joined) else joined


def find_quote(quote: str, transcript: Transcript, *, said_by: Speaker | None = None) -> Place | None:
    """The first place where the quote was said, or None.

    said_by: only this speaker's words count, in a transcript that names manager and client.
    """
    pieces = [words(piece) for piece in re.split(r"\.{3}|…|\[\.*\]", _without_label(quote))]
    pieces = [piece for piece in pieces if piece]
    if not pieces or not _proves(pieces):
        return None
    segments = transcript.segments
    if not segments:
        found = _search(pieces, (Segment(start=0.0, end=0.0, speaker=None, text=transcript.text),))
        return Place(at=None, speaker=None) if found is not None else None
    spoken: dict[str, list[Segment]] = {}
    for segment in segments:
        spoken.setdefault(str(segment.speaker), []).append(segment)
    if said_by and spoken.keys() & {"manager", "client"}:
        orders: list[Sequence[Segment]] = [spoken.get(said_by, [])]
    else:
        orders = [segments, *(spoken[who] for who in sorted(spoken))]
    for order in orders:
        found = _search(pieces, order)
        if found is not None:
            return Place(at=order[found].start, speaker=order[found].speaker)
    return None


def _without_label(quote: str) -> str:
    return re.sub(r"\[[^\]\n.]{1,40}\]", " ", quote)  # "[Client] we need it" -> "we need it"


def _proves(pieces: Sequence[str]) -> bool:
    whole = " ".join(pieces)
    return (
        " " in whole
        or len(whole) >= LEAST_LETTERS
        or any(letter.isdigit() for letter in whole)
        or (bool(_UNSPACED.search(whole)) and len(whole) >= 3)
    )


@lru_cache(maxsize=4)  # several quotes are looked up in one call
def _said(segments: tuple[Segment, ...]) -> tuple[str, ...]:
    return tuple(words(segment.text) for segment in segments)


def _search(pieces: Sequence[str], segments: Sequence[Segment]) -> int | None:
    """Index of the segment in which the first piece begins, when all stand there in this order."""
    texts = list(_said(tuple(segments)))
    unspaced = any(_UNSPACED.search(piece) for piece in pieces)
    glue = "" if unspaced else " "
    if unspaced:
        texts = [text.replace(" ", "") for text in texts]
        pieces = [piece.replace(" ", "") for piece in pieces]
    padded = [glue + text if text else "" for text in texts]
    starts = [0, *accumulate(map(len, padded))]
    heap = "".join(padded) + glue
    first, after = None, 0
    for piece in pieces:
        at = heap.find(glue + piece + glue, after)
        if at < 0:
            return None
        if first is None:
            first = at
        after = at + len(piece)
    return bisect.bisect_right(starts, first or 0) - 1 if first is not None else None
