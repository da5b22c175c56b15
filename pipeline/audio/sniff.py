"""sniff: what a downloaded file really is. Decoding is the judge; names and types only lie."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from pipeline.audio.libmagic import UNMARKED, foreign, kind
from pipeline.audio.opening import INDEXED, goes_beyond
from pipeline.audio.tracks import Tracks
from pipeline.domain.errors import NotAudio, TooLong
from pipeline.domain.recording import Media


def sniff(path: Path, *, sha256: str, content_type: str | None, max_seconds: float) -> Media:
    """The recording's true container, codec, channels and rate, by decoding its first second.

    `seconds` stays unknown: only decoding it whole tells. content_type is what the sender said; it only
    helps to word a refusal. Raises TooLong where sound is found past max_seconds (split finds the others
    by decoding), and NotAudio, with what the bytes are instead where that can be told.
    """
    media, _ = begun(Tracks(path, max_seconds=max_seconds), sha256=sha256, content_type=content_type)
    return media


def begun(
    decoding: Tracks, *, sha256: str, content_type: str | None
) -> tuple[Media, Iterator[tuple[bytes, ...]]]:
    """As `sniff`, of a decoding that begins with it; and its blocks, all of them."""
    path, most = decoding.path, decoding.max_seconds
    size = path.stat().st_size
    if not size:
        raise NotAudio("the file is empty")
    blocks = decoding.blocks()
    try:
        first = next(blocks)
        if decoding.container in UNMARKED and foreign(path, decoding.bodies[0].start):
            raise NotAudio("what decodes of it is chance")
    except NotAudio as error:
        found = kind(path) or content_type
        raise NotAudio(
            f"not a recording: {error.message}" + (f"; it looks like {found}" if found else "")
        ) from None
    indexed = decoding.container.split(",")[0] in INDEXED
    if most and indexed and decoding.claimed_seconds > most and goes_beyond(path, decoding.bodies[0], most):
        raise TooLong(f"longer than {most:.0f} s")
    media = Media(
        container=decoding.container,
        codec=decoding.codec,
        channels=decoding.channels,
        sample_rate=decoding.sample_rate,
        size_bytes=size,
        sha256=sha256,
    )
    return media, chain([first], blocks)
