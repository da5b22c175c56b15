"""Recognition by faster-whisper: one recording at a time, on the processor or a graphics card.

A text is never primed with the one before it (`condition_on_previous_text`): that is how Whisper's loops
travel on through a recording.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from faster_whisper import WhisperModel

from pipeline.audio.decoding import Decoding

RATE = 16_000
LADDER = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]  # raised while the decoder is unsure of its own text


class Stopped(Exception):
    """The process is leaving."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What is wanted of a recording.

    language: ISO 639-1; None: found out. temperature: None or 0 leaves the ladder its way, as the API
    documents it; servers that read 0 literally get lost in loops. words: times of single words.
    skip_silence: voice activity detection, so that nothing is sought where nobody speaks.
    """

    language: str | None = None
    prompt: str | None = None
    temperature: float | None = None
    words: bool = False
    skip_silence: bool = False


@dataclass(frozen=True, kw_only=True)
class Word:
    start: float
    end: float
    word: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """A stretch of text; seconds from the start of the recording."""

    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


@dataclass(frozen=True, kw_only=True)
class Heard:
    seconds: float
    language: str
    parts: list[Part]
    words: list[Word]

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts).strip()


class Recogniser:
    """A loaded model; not thread-safe, whoever uses it takes turns."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        self._model = WhisperModel(str(folder), device="auto", compute_type="int8", cpu_threads=threads)
        self.languages = frozenset(self._model.supported_languages)
        self.leaving = threading.Event()

    def hear(self, path: Path, ask: Ask, *, max_seconds: float) -> Heard:
        """Decodes and recognises a recording. Raises NotAudio, TooLong; Stopped once `leaving` is set."""
        pcm = b"".join(
            block[0]
            for block in Decoding(path, mix="mixed", wanted_rate=RATE, max_seconds=max_seconds).blocks()
        )
        samples = np.frombuffer(pcm, dtype=np.int16).astype(np.float32) / 32768.0
        if not len(samples):
            return Heard(seconds=0.0, language=ask.language or "en", parts=[], words=[])
        found, info = self._model.transcribe(
            samples,
            language=ask.language,
            initial_prompt=ask.prompt,
            temperature=[ask.temperature] if ask.temperature else LADDER,
            word_timestamps=ask.words,
            vad_filter=ask.skip_silence,
            condition_on_previous_text=False,
            multilingual=ask.language is None,  # found out again each half minute: people change it
        )
        parts, words = [], []
        for part in found:  # each is recognised as it is asked for
            if self.leaving.is_set():
                raise Stopped
            parts.append(
                Part(
                    seek=part.seek,
                    start=round(part.start, 3),
                    end=round(part.end, 3),
                    text=part.text,
                    tokens=part.tokens,
                    temperature=part.temperature or 0.0,
                    avg_logprob=part.avg_logprob,
                    compression_ratio=part.compression_ratio,
                    no_speech_prob=part.no_speech_prob,
                )
            )
            words += [
                Word(start=round(word.start, 3), end=round(word.end, 3), word=word.word.strip())
                for word in part.words or ()
            ]
        return Heard(seconds=len(samples) / RATE, language=info.language, parts=parts, words=words)
