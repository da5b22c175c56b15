"""halve: a piece that the recogniser got wrong is asked for again in two parts, a short sentence whole."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from string import ascii_lowercase

from pipeline.audio.cutting import quietest_point
from pipeline.audio.levels import Channel, Scan, scan
from pipeline.audio.limits import UploadLimits
from pipeline.audio.pcm import Pcm
from pipeline.audio.pieces import REST_SECONDS, Upload
from pipeline.audio.speaking import Speaking, speaking
from pipeline.audio.writing import Writing
from pipeline.domain.recording import Chunk, Span

LETTERS = ascii_lowercase
MOST_AGAIN = 4
EDGE_SECONDS = 0.3  # more, and words are heard again that were told already
SENTENCE_SECONDS = 6.0  # what is cut within less is a word as often as a pause


def halve(path: Path, chunk: Chunk, *, out: Path, limits: UploadLimits) -> tuple[Chunk, ...]:
    """Writes the chunk again as two into `out`: between two of its stretches, else cut at a quiet point.

    A short sentence is written as one, a little wider. path: the whole recording. The ids are the chunk's
    with "a" and "b". Raises NotAudio when the recording no longer decodes.
    """
    if len(chunk.placed) == 1 and chunk.span.seconds < SENTENCE_SECONDS:
        return again(path, chunk, [chunk.span], out=out, limits=limits)
    channel = chunk.channel or 0
    with _heard(path, chunk, out, limits) as (found, heard, writing):
        spans = tuple(stretch.span for stretch in chunk.placed)
        if len(spans) == 1:
            spans = _parted(spans[0], heard.channels[channel], found.step, writing)
        at = min(range(1, len(spans)), key=lambda at: abs(_seconds(spans[:at]) - _seconds(spans[at:])))
        uploads = [Upload(channel, spans[:at]), Upload(channel, spans[at:])]
        return _written(uploads, chunk, writing, out)


def again(
    path: Path, chunk: Chunk, spans: Sequence[Span], *, out: Path, limits: UploadLimits
) -> tuple[Chunk, ...]:
    """Writes stretches of a chunk by themselves into `out`; ids are the chunk's with a letter.

    spans: where the answer left speech out, ascending; the longest MOST_AGAIN of them are written, of two
    channels as one upload, else as one each. Raises NotAudio when the recording no longer decodes.
    """
    chosen = sorted(sorted(spans, key=lambda span: -span.seconds)[:MOST_AGAIN], key=lambda span: span.start)
    with _heard(path, chunk, out, limits) as (found, heard, writing):
        talk = heard.talk[chunk.channel or 0]
        wider = [_talk_in(span, talk, found.seconds) for span in chosen]
        if chunk.channel is not None:
            uploads = [Upload(chunk.channel, tuple(chain.from_iterable(wider)))]
        else:
            uploads = [Upload(0, _whole(parts, writing)) for parts in wider]
        return _written(uploads, chunk, writing, out)


@contextmanager
def _heard(
    path: Path, chunk: Chunk, out: Path, limits: UploadLimits
) -> Iterator[tuple[Scan, Speaking, Writing]]:
    """The whole recording, as it was when the chunk was cut from it."""
    out.mkdir(parents=True, exist_ok=True)
    with Pcm(out) as pcm:
        found = scan(path, max_seconds=float("inf"), pcm=pcm)
        heard = speaking(found, apart=chunk.channel is not None)
        yield found, heard, Writing(path, found, heard, limits, pcm)


def _written(uploads: Sequence[Upload], chunk: Chunk, writing: Writing, out: Path) -> tuple[Chunk, ...]:
    ids = [f"{chunk.id}{letter}" for letter in LETTERS[: len(uploads)]]
    pieces = writing.pieces(uploads, ids, chunk.filename.rpartition("-")[0] or "chunk")
    return tuple(writing.write(piece, out) for piece in pieces)


def _talk_in(span: Span, talk: Sequence[Span], seconds: float) -> tuple[Span, ...]:
    """What is talk within a span, each stretch a little wider; rests as long as an upload's own stay out."""
    found: list[Span] = []
    inside = ((max(each.start, span.start), min(each.end, span.end)) for each in talk)
    for start, end in [(start, end) for start, end in inside if end > start] or [(span.start, span.end)]:
        start, end = max(0.0, start - EDGE_SECONDS), min(seconds, end + EDGE_SECONDS)
        if found and start - found[-1].end < REST_SECONDS:
            found[-1] = Span(start=found[-1].start, end=end)
        else:
            found.append(Span(start=start, end=end))
    return tuple(found)


def _whole(parts: tuple[Span, ...], writing: Writing) -> tuple[Span, ...]:
    """One stretch alone, from where to where a cut can lie."""
    if len(parts) > 1:
        return parts
    return (Span(start=writing.snap(parts[0].start), end=writing.snap(parts[0].end)),)


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
