"""split: a recording becomes uploads that a recogniser takes, cut where it is quiet."""

from __future__ import annotations

from pathlib import Path

from pipeline.audio.levels import scan
from pipeline.audio.limits import UploadLimits
from pipeline.audio.pieces import layout, parties
from pipeline.audio.writing import Writing
from pipeline.errors import NoSpeech
from pipeline.model import Media, Plan


def split(
    path: Path,
    media: Media,
    *,
    out: Path,
    limits: UploadLimits,
    chunk_seconds: float,
    timestamps: bool,
    name: str,
    max_seconds: float = 14_400.0,
) -> Plan:
    """Decodes the recording once, cuts it, and writes each piece as a file `name-NNN.*` into `out`.

    timestamps: whether the recogniser gives them; without, a two-sided call is cut at its turns. What
    lies in no chunk is silence (no 20 ms above -55 dBFS), and is never sent. The same file and arguments
    give the same plan and the same bytes. `media` may come without a length: decoding tells it.
    Raises NotAudio, TooLong, NoSpeech (nothing but silence).
    """
    found = scan(path, max_seconds=max_seconds)
    sides = parties(found)
    if all(side.silent for side in sides):
        raise NoSpeech("nothing but silence in the recording")
    writing = Writing(path, found, sides, limits)
    planned = layout(
        sides,
        found.step,
        found.seconds,
        longest=writing.longest(chunk_seconds),
        timestamps=timestamps,
        room=writing.room,
        snap=writing.snap,
    )
    ids = [str(number) for number in range(len(planned.stretches))]
    return Plan(
        seconds=found.seconds,
        sides=len(sides),
        chunks=tuple(writing.write(planned.stretches, ids, out, name)),
        order=planned.order,
        missing=found.decoding.missing(),
        talk=planned.talk,
    )
