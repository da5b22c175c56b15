"""What the sandbox hears: PocketSphinx on the bytes that were uploaded. English only, and none too sharp.

The functions run in worker processes: PocketSphinx keeps Python's lock for seconds, and the portal beside
it has to answer meanwhile. A worker loads the model once, on its first recording.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import av

RATE = 16_000
PAUSE_SECONDS = 0.6  # between words: a new segment


class NotDecodable(Exception):
    """The bytes are no audio that FFmpeg knows."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """A stretch of speech; seconds from the start of the upload."""

    start: float
    end: float
    text: str


def decode(data: bytes) -> bytes:
    """16 kHz mono signed 16-bit PCM of an uploaded recording; raises NotDecodable."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    pcm = bytearray()
    try:
        with av.open(io.BytesIO(data)) as container:
            if not container.streams.audio:
                raise NotDecodable("no audio stream")
            assert isinstance(container, av.container.InputContainer)
            for frame in [*container.decode(audio=0), None]:
                for part in resampler.resample(frame):
                    pcm += bytes(part.planes[0])[: 2 * part.samples]
    except (av.error.FFmpegError, ValueError) as error:
        raise NotDecodable(type(error).__name__) from None
    return bytes(pcm)


def hear(data: bytes, mode: Literal["words", "pauses"] = "words") -> tuple[float, list[Said]]:
    """Decoded seconds of an uploaded recording, and what is said in it when; raises NotDecodable.

    mode "pauses" names each sound by its length in place of its words.
    """
    pcm = decode(data)
    said: list[Said] = []
    for start, end, sound in _sounds(pcm):
        if mode == "pauses":
            said.append(
                Said(start=round(start, 2), end=round(end, 2), text=f"speech of {end - start:.1f} seconds")
            )
        else:
            said.extend(_words(sound, start))
    return len(pcm) / 2 / RATE, said


def seconds_of(data: bytes) -> float:
    """Decoded length of an uploaded recording, seconds; raises NotDecodable."""
    return len(decode(data)) / 2 / RATE


def _sounds(pcm: bytes) -> list[tuple[float, float, bytes]]:
    from pocketsphinx import Segmenter  # only where recognition is asked for: it is an extra

    seconds = len(pcm) / 2 / RATE
    ended = pcm + bytes(2 * RATE)  # what is still spoken at the end is a sound only once silence follows
    return [
        (part.start_time, min(part.end_time, seconds), part.pcm)
        for part in Segmenter(sample_rate=RATE).segment(io.BytesIO(ended))
    ]


@cache
def _decoder() -> Any:
    from pocketsphinx import Decoder

    # a third faster than with the default 30000, and as right on these voices: no wrong word in 170 seconds
    return Decoder(samprate=RATE, loglevel="FATAL", maxhmmpf=3000)


def _words(sound: bytes, offset: float) -> list[Said]:
    decoder = _decoder()
    decoder.start_utt()
    decoder.process_raw(sound, no_search=False, full_utt=True)
    decoder.end_utt()
    if decoder.hyp() is None:
        return []
    groups: list[list[tuple[float, float, str]]] = []
    for item in decoder.seg():
        if item.word[0] in "<[+":  # sentence ends, silence, noise
            continue
        start, end = offset + item.start_frame / 100, offset + (item.end_frame + 1) / 100
        word = item.word.split("(")[0]  # "to(2)" is the second pronunciation of "to"
        if groups and start - groups[-1][-1][1] < PAUSE_SECONDS:
            groups[-1].append((start, end, word))
        else:
            groups.append([(start, end, word)])
    return [
        Said(start=round(words[0][0], 2), end=round(words[-1][1], 2), text=" ".join(w[2] for w in words))
        for words in groups
    ]
