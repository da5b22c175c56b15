"""split: a recording becomes uploads that a recogniser takes, cut where it is quiet."""

from __future__ import annotations

from pathlib import Path

from pipeline.audio.levels import scan
from pipeline.audio.limits import UploadLimits
from pipeline.audio.pieces import layout, speaking_channels
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
    channels = speaking_channels(found)
    if all(channel.silent for channel in channels):
        raise NoSpeech("nothing but silence in the recording")
    writing = Writing(path, found, channels, limits)
    planned = layout(
        channels,
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
        channels=len(channels),
        chunks=tuple(writing.write(planned.stretches, ids, out, name)),
        order=planned.order,
        missing=found.decoding.missing(),
        talk=planned.talk,
    )
