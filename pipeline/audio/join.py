"""join: the recordings of one call as one, in order; a call that was transferred has several."""

from __future__ import annotations

import audioop
import wave
from collections.abc import Sequence
from pathlib import Path

from pipeline.audio.decoding import Mix
from pipeline.audio.encoding import SAMPLE_RATE
from pipeline.audio.tracks import Tracks
from pipeline.domain.errors import NotAudio, TooLong


def join(paths: Sequence[Path], to: Path, *, max_seconds: float) -> int:
    """Writes them one behind the other as a wav, at constant memory; how many were left out as no audio.

    Two channels where each recording has two, else all are mixed to one. Raises NotAudio when none of them
    decodes, TooLong when they are longer than max_seconds together.
    """
    heard = []
    for path in paths:
        look = Tracks(path)
        try:
            next(look.blocks())
        except NotAudio:
            continue
        heard.append((path, look.out_channels, look.sample_rate))
    if not heard:
        raise NotAudio("none of the recordings decodes to sound")
    channels = min(channels for _, channels, _ in heard)
    rate = min(SAMPLE_RATE, max(rate for _, _, rate in heard))
    left = max_seconds
    with wave.open(str(to), "wb") as joined:
        joined.setnchannels(channels)
        joined.setsampwidth(2)
        joined.setframerate(rate)
        for path, _, _ in heard:
            mix: Mix = "channels" if channels == 2 else "mixed"
            part = Tracks(path, mix=mix, wanted_rate=rate, max_seconds=left)
            for block in part.blocks():
                joined.writeframesraw(_interleaved(block))
            left -= part.samples / rate
            if left <= 0:
                raise TooLong(f"longer than {max_seconds:.0f} s")
    return len(paths) - len(heard)


def _interleaved(block: tuple[bytes, ...]) -> bytes:
    if len(block) == 1:
        return block[0]
    left, right = audioop.tostereo(block[0], 2, 1, 0), audioop.tostereo(block[1], 2, 0, 1)
    return audioop.add(left, right, 2)
