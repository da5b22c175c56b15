"""halve: a piece that the recogniser got wrong is asked for again in two parts."""

from __future__ import annotations

from pathlib import Path

from pipeline.audio.cutting import quietest_point
from pipeline.audio.levels import scan
from pipeline.audio.limits import UploadLimits
from pipeline.audio.pieces import Stretch, speaking_channels
from pipeline.audio.writing import Writing
from pipeline.domain.recording import Chunk, Media


def halve(path: Path, media: Media, chunk: Chunk, *, out: Path, limits: UploadLimits) -> tuple[Chunk, Chunk]:
    """Cuts the chunk at the quietest point near its middle and writes both halves into `out`.

    path: the whole recording. The halves' ids are the chunk's with "a" and "b". Raises NotAudio when the
    recording no longer decodes.
    """
    found = scan(path, max_seconds=float("inf"))
    channels = speaking_channels(found)
    channel = chunk.channel or 0
    writing = Writing(path, found, channels, limits)
    start, end = chunk.span.start, chunk.span.end
    quarter = (end - start) / 4
    middle = quietest_point(channels[channel].windows, found.step, low=start + quarter, high=end - quarter)
    edges = [writing.snap(start), writing.snap(middle), writing.snap(end)]
    if edges[0] < edges[1] < edges[2]:
        middle = edges[1]
    first, second = writing.write(
        [Stretch(channel, edges[0], middle), Stretch(channel, middle, edges[2])],
        [f"{chunk.id}a", f"{chunk.id}b"],
        out,
        chunk.filename.rpartition("-")[0] or "chunk",
    )
    return first, second
