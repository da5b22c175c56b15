"""halve: a piece that the recogniser got wrong is asked for again in two parts, a short sentence whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase

from pipeline.audio.cutting import quietest_point
from pipeline.audio.levels import Channel, scan
from pipeline.audio.limits import UploadLimits
from pipeline.audio.pieces import Upload
from pipeline.audio.speaking import speaking
from pipeline.audio.writing import Writing
from pipeline.domain.recording import Chunk, Media, Span

LETTERS = ascii_lowercase
MOST_AGAIN = 4
EDGE_SECONDS = 0.3  # more, and words are heard again that were told already
SENTENCE_SECONDS = 6.0  # what is cut within less is a word as often as a pause


def halve(path: Path, media: Media, chunk: Chunk, *, out: Path, limits: UploadLimits) -> tuple[Chunk, ...]:
    """Writes the chunk again as two into `out`: between two of its stretches, else cut at a quiet point.

    A short sentence is written as one, a little wider. path: the whole recording. The ids are the chunk's
    with "a" and "b". Raises NotAudio when the recording no longer decodes.
    """
    if len(chunk.placed) == 1 and chunk.span.seconds < SENTENCE_SECONDS:
        return tuple(again(path, media, chunk, [chunk.span], out=out, limits=limits))
    found = scan(path, max_seconds=float("inf"))
    heard = speaking(found, apart=chunk.channel is not None)
    channel = chunk.channel or 0
    writing = Writing(path, found, heard, limits)
    spans = tuple(stretch.span for stretch in chunk.placed)
    if len(spans) == 1:
        spans = _parted(spans[0], heard.channels[channel], found.step, writing)
    at = min(range(1, len(spans)), key=lambda at: abs(_seconds(spans[:at]) - _seconds(spans[at:])))
    return tuple(
        writing.write(
            [Upload(channel, spans[:at]), Upload(channel, spans[at:])],
            [f"{chunk.id}a", f"{chunk.id}b"],
            out,
            chunk.filename.rpartition("-")[0] or "chunk",
        )
    )


def again(
    path: Path, media: Media, chunk: Chunk, spans: Sequence[Span], *, out: Path, limits: UploadLimits
) -> list[Chunk]:
    """Writes stretches of a chunk by themselves into `out`; ids are the chunk's with a letter.

    spans: where the answer left speech out, ascending; the longest MOST_AGAIN of them are written, of two
    channels as one upload, else as one each. Raises NotAudio when the recording no longer decodes.
    """
    found = scan(path, max_seconds=float("inf"))
    heard = speaking(found, apart=chunk.channel is not None)
    writing = Writing(path, found, heard, limits)
    chosen = sorted(sorted(spans, key=lambda span: -span.seconds)[:MOST_AGAIN], key=lambda span: span.start)
    wider = [
        Span(
            start=writing.snap(max(0.0, span.start - EDGE_SECONDS)),
            end=writing.snap(min(found.seconds, span.end + EDGE_SECONDS)),
        )
        for span in chosen
    ]
    uploads = [Upload(chunk.channel, tuple(wider))] if chunk.channel is not None else []
    uploads = uploads or [Upload(0, (span,)) for span in wider]
    ids = [f"{chunk.id}{letter}" for letter in LETTERS[: len(uploads)]]
    return writing.write(uploads, ids, out, chunk.filename.rpartition("-")[0] or "chunk")


def _seconds(spans: Sequence[Span]) -> float:
    return math.fsum(span.seconds for span in spans)


def _parted(span: Span, channel: Channel, step: float, writing: Writing) -> tuple[Span, Span]:
    """The span as two that meet at the quietest point near its middle."""
    quarter = span.seconds / 4
    middle = quietest_point(channel.windows, step, low=span.start + quarter, high=span.end - quarter)
    edges = [writing.snap(span.start), writing.snap(middle), writing.snap(span.end)]
    if edges[0] < edges[1] < edges[2]:
        middle = edges[1]
    return Span(start=edges[0], end=middle), Span(start=middle, end=edges[2])
