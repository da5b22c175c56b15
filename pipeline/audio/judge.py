"""Whether a recogniser's answer can be taken, or has to be asked for again. Pure."""

from __future__ import annotations

import zlib
from typing import Literal

from pipeline.audio.hallucinations import plain
from pipeline.domain.recording import Chunk
from pipeline.domain.transcript import Recognition

LOOP = 2.4  # Whisper's own bound of the compression ratio above which a text repeats itself
SHORTEST_LOOP = 12  # words; a few repeated words are how people talk


def judge(recognition: Recognition, chunk: Chunk) -> Literal["ok", "again", "empty"]:
    """ "again": a repetition loop, or no text over sounding audio: worth asking once more, in halves.

    "empty": no text, and nothing that sounds either: take it as silence.
    """
    text = recognition.text.strip() or " ".join(part.text for part in recognition.segments).strip()
    if not plain(text):
        return "again" if chunk.sounding_seconds > 0 else "empty"
    if repeats(text) or any(repeats(part.text) for part in recognition.segments):
        return "again"
    return "ok"


def repeats(text: str) -> bool:
    """Whether a text goes round in circles: it compresses more than 2.4 times, by repetition."""
    words = plain(text).split()
    if len(words) < SHORTEST_LOOP:
        return False
    return compression(text) > LOOP and loop_share(words) > 0.5


def compression(text: str) -> float:
    """Length over compressed length, as Whisper measures it."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def loop_share(words: list[str]) -> float:
    """Share of the words that stand in a repetition (up to 12 words, at once, three times or more)."""
    covered = [False] * len(words)
    for period in range(1, min(12, len(words) // 3) + 1):
        run = 0
        for at in range(period, len(words)):
            run = run + 1 if words[at] == words[at - period] else 0
            if run == 2 * period:  # the third time round
                covered[at - 3 * period + 1 : at + 1] = [True] * (3 * period)
            elif run > 2 * period:
                covered[at] = True
    return sum(covered) / len(words) if words else 0.0


def unlooped(text: str) -> str:
    """The text with each run of repetitions told once; for texts that `repeats` only."""
    kept: list[str] = []
    words: list[str] = []
    for token in text.split():
        kept.append(token)
        words.append(plain(token))
        for period in range(1, min(12, len(words) // 2) + 1):
            if words[-period:] == words[-2 * period : -period]:
                del kept[-period:], words[-period:]
                break
    return " ".join(kept)
