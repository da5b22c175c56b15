"""join: the recordings of one call as one, in order; a call that was transferred has several."""

from __future__ import annotations

import audioop
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.audio.decoding import Mix
from pipeline.audio.libmagic import foreign
from pipeline.audio.limits import SAMPLE_RATE
from pipeline.audio.tracks import Tracks
from pipeline.domain.errors import NotAudio, TooLong
from pipeline.domain.recording import Span


@dataclass(frozen=True)
class Joined:
    """left_out: how many were something else, such as a note. missing: what of the others did not decode, in
    seconds of the whole; a recording of which nothing does has no length.
    """

    left_out: int
    missing: tuple[Span, ...]


def join(paths: Sequence[Path], *, out: Path, name: str, max_seconds: float) -> Joined:
    """Writes them one behind the other as a wav of that name into `out`, at constant memory.

    Two channels where each recording has two, else all are mixed to one. Raises NotAudio when none of them
    decodes, TooLong when they are longer than max_seconds together.
    """
    heard: list[tuple[Path, int, int]] = []
    left_out = 0
    silent: list[int] = []  # before which of those that are heard one is missing
    for path in paths:
        look = Tracks(path)
        try:
            next(look.blocks())
        except NotAudio:
            if foreign(path, page=False):
                left_out += 1
            else:
                silent.append(len(heard))
            continue
        heard.append((path, look.out_channels, look.sample_rate))
    if not heard:
        raise NotAudio("none of the recordings decodes to sound")
    channels = min(channels for _, channels, _ in heard)
    rate = min(SAMPLE_RATE, max(rate for _, _, rate in heard))
    left = max_seconds
    missing: list[Span] = []
    begins = [0.0]
    with wave.open(str(out / name), "wb") as joined:
        joined.setnchannels(channels)
        joined.setsampwidth(2)
        joined.setframerate(rate)
        for path, _, _ in heard:
            mix: Mix = "channels" if channels == 2 else "mixed"
            part = Tracks(path, mix=mix, wanted_rate=rate, max_seconds=left)
            for block in part.blocks():
                joined.writeframesraw(_interleaved(block))
            at = begins[-1]
            missing += [Span(start=at + span.start, end=at + span.end) for span in part.missing()]
            begins.append(at + part.seconds)
            left -= part.seconds
            if left <= 0:
                raise TooLong(f"longer than {max_seconds:.0f} s")
    missing += [Span(start=begins[number], end=begins[number]) for number in silent]
    return Joined(left_out, tuple(sorted(missing, key=lambda span: span.start)))


def _interleaved(block: tuple[bytes, ...]) -> bytes:
    if len(block) == 1:
        return block[0]
    left, right = audioop.tostereo(block[0], 2, 1, 0), audioop.tostereo(block[1], 2, 0, 1)
    return audioop.add(left, right, 2)
