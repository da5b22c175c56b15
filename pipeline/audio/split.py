"""split: what a recording is, and it as uploads that a recogniser takes, cut where it is quiet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.audio.cutting import PARALLEL
from pipeline.audio.levels import Scan, above_noise, measured
from pipeline.audio.limits import UploadLimits
from pipeline.audio.pcm import Pcm
from pipeline.audio.pieces import Upload, packed, spared, whole
from pipeline.audio.sniff import begun
from pipeline.audio.speaking import Speaking, speaking
from pipeline.audio.tracks import Tracks
from pipeline.audio.writing import Writing
from pipeline.domain.errors import NoSpeech
from pipeline.domain.recording import Chunk, Media, Plan, Span


def split(
    path: Path,
    *,
    sha256: str,
    content_type: str | None,
    missing: Sequence[Span] = (),
    out: Path,
    limits: UploadLimits,
    chunk_seconds: float,
    uploads_per_minute: float,
    name: str,
    max_seconds: float = 14_400.0,
    places: int = PARALLEL,
) -> Iterator[Media | Plan | Chunk]:
    """Reads the recording in one go: yields what it is (as `sniff`, which says what that raises), then the
    plan by which it is cut, then each piece once it is written as a file `name-NNN.*` into `out`. Only then
    the size of a piece is known; in the plan it is 0.

    sha256, content_type: as `sniff` takes them. missing: what did not decode before the recordings of a call
    were joined to this one.

    uploads_per_minute: how many pieces a minute of the recording may make, at the most (but one a channel),
    unless `limits` and `chunk_seconds` ask for more. places: how many pieces can be heard at a time; a long
    recording becomes about as many. What lies in no chunk is silence (no 20 ms above -55 dBFS) or, on two
    channels, where nobody talks; it is never sent, nor are a mixed recording's rests where they would cost
    much. The same file and arguments give the same plan and the same bytes. Raises NotAudio, TooLong,
    NoSpeech (nothing but silence).
    """
    decoding = Tracks(path, max_seconds=max_seconds, log_packets=True)
    media, blocks = begun(decoding, sha256=sha256, content_type=content_type)
    yield replace(media, missing=tuple(missing))
    out.mkdir(parents=True, exist_ok=True)
    with Pcm(out) as pcm:
        found = measured(decoding, blocks, pcm)
        heard = speaking(found)
        writing = Writing(path, found, heard, limits, pcm)
        uploads = _uploads(found, heard, writing, chunk_seconds, uploads_per_minute, places)
        if not uploads:
            raise NoSpeech("nothing but silence in the recording")
        pieces = writing.pieces(uploads, [str(number) for number in range(len(uploads))], name)
        yield Plan(
            seconds=found.seconds,
            channels=len(heard.channels),
            chunks=tuple(piece.chunk for piece in pieces),
            missing=tuple(sorted((*missing, *found.decoding.missing()), key=lambda span: span.start)),
            talk=tuple(tuple(each) for each in heard.talk),
            levels=tuple(tuple(each) for each in heard.levels),
            above_noise=tuple(map(above_noise, heard.channels, heard.speech)),
        )
        yield from writing.written(pieces, out)


def gathered(parts: Iterable[Media | Plan | Chunk]) -> tuple[Media, Plan]:
    """What `split` yields as what the recording is, and one plan, whose pieces are all written."""
    media, plan, *chunks = parts
    assert isinstance(media, Media)
    assert isinstance(plan, Plan)
    written = tuple(chunk for chunk in chunks if isinstance(chunk, Chunk))
    return replace(media, seconds=plan.seconds), replace(plan, chunks=written)


def _uploads(
    found: Scan,
    heard: Speaking,
    writing: Writing,
    chunk_seconds: float,
    uploads_per_minute: float,
    places: int,
) -> list[Upload]:
    longest = writing.longest(chunk_seconds, packed=True)
    if len(heard.channels) == 2:
        most = math.ceil(uploads_per_minute * found.seconds / 60)
        return packed(heard, found.step, found.seconds, longest=longest, most=most)
    uploads = whole(
        heard.channels[0],
        found.step,
        found.seconds,
        longest=writing.longest(chunk_seconds),
        places=places,
        room=writing.room,
        snap=writing.snap,
    )
    return spared(heard, uploads, found.step, found.seconds, longest=longest, places=places)
