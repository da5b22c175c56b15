"""Whether a recogniser's answer can be taken, or has to be asked for again. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Literal

from pipeline.audio.coverage import completed, holes, thin
from pipeline.audio.hallucinations import plain, without_credits
from pipeline.audio.placing import place
from pipeline.domain.recording import Chunk, Span
from pipeline.domain.transcript import RawSegment, Recognition

LOOP = 2.4  # Whisper's own bound of the compression ratio above which a text repeats itself
# of an answer, at the most: so many, and so many per second of the upload
LETTERS, WORDS, PARTS = (4_000, 200), (400, 20), (200, 10)
LONGEST_WORD = 200
SHORTEST_LOOP = 12  # words; a few repeated words are how people talk


def judge(recognition: Recognition, chunk: Chunk) -> Literal["ok", "again", "empty"]:
    """ "again": a repetition loop, or no text, or hardly any, over sounding audio: worth asking once more.

    "empty": no text, and nothing that sounds either: take it as silence.
    """
    text = recognition.text.strip() or " ".join(part.text for part in recognition.segments).strip()
    if not plain(text):
        return "again" if chunk.sounding_seconds > 0 else "empty"
    if repeats(text) or any(repeats(part.text) for part in recognition.segments):
        return "again"
    return "again" if thin(recognition, chunk) else "ok"


def bounded(recognition: Recognition, seconds: float) -> Recognition:
    """The answer without what nobody can say in that time: some times more than the fastest talk is kept.

    A loop that is cut is a loop still; what follows, and the record, cost no more than the recording does.
    """
    letters = int(LETTERS[0] + LETTERS[1] * seconds)
    totals = accumulate(len(part.text) for part in recognition.segments)
    kept = sum(1 for total in totals if total <= letters) or 1
    return replace(
        recognition,
        text=recognition.text[:letters],
        segments=tuple(
            part if len(part.text) <= letters else replace(part, text=part.text[:letters])
            for part in recognition.segments[: min(kept, int(PARTS[0] + PARTS[1] * seconds))]
        ),
        words=tuple(
            word if len(word.text) <= LONGEST_WORD else replace(word, text=word.text[:LONGEST_WORD])
            for word in recognition.words[: int(WORDS[0] + WORDS[1] * seconds)]
        ),
    )


def unheard(
    recognition: Recognition, chunk: Chunk, *, talk: Sequence[Span], other: Sequence[Span]
) -> tuple[Span, ...]:
    """Where in a chunk somebody talks and the answer has no words, though it tells times; seconds of the
    recording. talk: of its channel, other: of the other one.
    """
    if not talk or not (recognition.segments or recognition.words) or judge(recognition, chunk) != "ok":
        return ()
    placed, _ = place(
        chunk, cleaned(recognition, chunk.seconds, None), recognition.words, talk=talk, other=other,
        timed=bool(recognition.segments),
    )  # fmt: skip
    return tuple(holes(chunk, placed, talk))


def cleaned(recognition: Recognition, seconds: float, language: str | None) -> list[RawSegment]:
    """The segments of an answer, or its text as one, with every word of it, without what nobody said.

    seconds: the upload's length.
    """
    looped = repeats(recognition.text)
    found: list[RawSegment] = []
    for part in completed(recognition, seconds):
        text = without_credits(part.text.strip(), language)
        if repeats(text):
            text = unlooped(text)
        if plain(text) and not (looped and found and plain(found[-1].text) == plain(text)):
            found.append(replace(part, text=text))
    return found


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
