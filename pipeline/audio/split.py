"""split: a recording becomes uploads that a recogniser takes, cut where it is quiet."""

from __future__ import annotations

import math
from pathlib import Path

from pipeline.audio.levels import Scan, above_noise, scan
from pipeline.audio.limits import UploadLimits
from pipeline.audio.pcm import Pcm
from pipeline.audio.pieces import Upload, packed, spared, whole
from pipeline.audio.speaking import Speaking, speaking
from pipeline.audio.writing import Writing
from pipeline.domain.errors import NoSpeech
from pipeline.domain.recording import Media, Plan


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
) -> Plan:
    """Decodes the recording once, cuts it, and writes each piece as a file `name-NNN.*` into `out`.

    uploads_per_minute: how many pieces a minute of the recording may make, at the most (but one a channel),
    unless `limits` and `chunk_seconds` ask for more. What lies in no chunk is silence (no 20 ms above -55
    dBFS) or, on two channels, where nobody talks; it is never sent. The same file and arguments give the
    same plan and the same bytes. `media` may come without a length: decoding tells it. Raises NotAudio,
    TooLong, NoSpeech (nothing but silence).
    """
    out.mkdir(parents=True, exist_ok=True)
    with Pcm(out) as pcm:
        found = scan(path, max_seconds=max_seconds, pcm=pcm)
        heard = speaking(found)
        writing = Writing(path, found, heard, limits, pcm)
        uploads = _uploads(found, heard, writing, chunk_seconds, uploads_per_minute)
        if not uploads:
            raise NoSpeech("nothing but silence in the recording")
        ids = [str(number) for number in range(len(uploads))]
        chunks = tuple(writing.write(uploads, ids, out, name))
    return Plan(
        seconds=found.seconds,
        channels=len(heard.channels),
        chunks=chunks,
        missing=tuple(sorted((*media.missing, *found.decoding.missing()), key=lambda span: span.start)),
        talk=tuple(tuple(each) for each in heard.talk),
        levels=tuple(tuple(each) for each in heard.levels),
        above_noise=tuple(map(above_noise, heard.channels, heard.speech)),
    )


def _uploads(
    found: Scan, heard: Speaking, writing: Writing, chunk_seconds: float, uploads_per_minute: float
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
        room=writing.room,
        snap=writing.snap,
    )
    return spared(heard, uploads, found.step, found.seconds, longest=longest)
