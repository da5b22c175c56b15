"""split: a recording becomes uploads that a recogniser takes, cut where it is quiet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from pipeline.audio.cutting import PARALLEL
from pipeline.audio.levels import Scan, above_noise, scan
from pipeline.audio.limits import UploadLimits
from pipeline.audio.pcm import Pcm
from pipeline.audio.pieces import Upload, packed, spared, whole
from pipeline.audio.speaking import Speaking, speaking
from pipeline.audio.writing import Writing
from pipeline.domain.errors import NoSpeech
from pipeline.domain.recording import Chunk, Media, Plan


def split(
    path: Path,
    media: Media,
    *,
    out: Path,
    limits: UploadLimits,
    chunk_seconds: float,
    uploads_per_minute: float,
    name: str,
    max_seconds: float = 14_400.0,
    places: int = PARALLEL,
) -> Iterator[Plan | Chunk]:
    """Decodes the recording once and cuts it: yields the plan, then each piece once it is written as a file
    `name-NNN.*` into `out`. Only then the size of a piece is known; in the plan it is 0.

    uploads_per_minute: how many pieces a minute of the recording may make, at the most (but one a channel),
    unless `limits` and `chunk_seconds` ask for more. places: how many pieces can be heard at a time; a long
    recording becomes about as many. What lies in no chunk is silence (no 20 ms above -55 dBFS) or, on two
    channels, where nobody talks; it is never sent, nor are a mixed recording's rests where they would cost
    much. The same file and arguments give the same plan and the same bytes. `media` may come without a
    length: decoding tells it. Raises NotAudio, TooLong, NoSpeech (nothing but silence).
    """
    out.mkdir(parents=True, exist_ok=True)
    with Pcm(out) as pcm:
        found = scan(path, max_seconds=max_seconds, pcm=pcm)
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
            missing=tuple(sorted((*media.missing, *found.decoding.missing()), key=lambda span: span.start)),
            talk=tuple(tuple(each) for each in heard.talk),
            levels=tuple(tuple(each) for each in heard.levels),
            above_noise=tuple(map(above_noise, heard.channels, heard.speech)),
        )
        yield from writing.written(pieces, out)


def whole_plan(parts: Iterable[Plan | Chunk]) -> Plan:
    """What `split` yields as one plan, whose pieces are all written."""
    plan, *chunks = parts
    assert isinstance(plan, Plan)
    return replace(plan, chunks=tuple(chunk for chunk in chunks if isinstance(chunk, Chunk)))


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
