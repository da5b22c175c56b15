"""Speech to text: `POST {provider}/audio/transcriptions`, in the shape of the OpenAI API.

A call is in two halves, since the answer is paid for: `Transcriptions.ask` brings the raw answer, which is
stored as it came; `read` turns it into a Recognition whenever it is wanted.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.clients.providers import Caller, Capabilities, body_object, raw_answer
from pipeline.clients.transport import Answer, Transport
from pipeline.domain.errors import BadAnswer
from pipeline.domain.transcript import RawSegment, Recognition
from pipeline.settings.portals import Provider

FORMS = ("verbose_json", "json")
ECHO_WORDS = 4
NO_SPEECH = 0.5
WINDOW_SECONDS = 930.0  # the AI Router gives itself 15 minutes before its 504


class Transcriptions:
    """A recogniser behind an OpenAI-compatible API."""

    def __init__(self, provider: Provider, transport: Transport, capabilities: Capabilities) -> None:
        self._caller = Caller(provider, transport, capabilities)

    def timestamps(self, model: str | None) -> bool | None:
        """Whether the model gives segments with times; None until its first answer was seen."""
        if self._caller.recall(model, "transcription_form") == "json":
            return False
        known = self._caller.recall(model, "timestamps")
        return None if known is None else known == "yes"

    def ask(
        self,
        path: Path,
        *,
        filename: str,
        content_type: str,
        model: str | None,
        language: str | None = None,
        prompt: str | None = None,
        timeout_seconds: float = WINDOW_SECONDS,
    ) -> dict[str, Any]:
        """Sends one file, and once more plainly where `verbose_json` is refused; returns the raw answer.

        language: ISO 639-1. filename: canonical, providers judge by it. Without `model` the field is left
        out. Raises ProviderRefused, ProviderAccount, ProviderUnavailable.
        """
        fields: dict[str, Any] = {}
        if model:
            fields["model"] = model
        if language:
            fields["language"] = language
        if prompt:
            fields["prompt"] = prompt

        def send(form: str, seconds: float) -> Answer:
            data = {**fields, "response_format": form}
            if form == "verbose_json":
                # the plain form holds nothing beyond what the AI Router documents
                data |= {"timestamp_granularities[]": "segment", "temperature": "0"}
            with path.open("rb") as file:  # streamed: many such uploads run at a time
                return self._caller.post(
                    "/audio/transcriptions",
                    data=data,
                    files={"file": (filename, file, content_type)},
                    timeout_seconds=seconds,
                )

        form, answer = self._caller.climb_down(
            model, "transcription_form", FORMS, send, timeout_seconds=timeout_seconds
        )
        raw = raw_answer(answer, model=model, form=form) | {"prompt": prompt}
        self._learn(raw)
        return raw

    def _learn(self, raw: Mapping[str, Any]) -> None:
        """Remembers whether this model gives times; an answer without words tells nothing."""
        try:
            body = json.loads(raw["body"])
        except (ValueError, RecursionError):
            return
        if isinstance(body, dict) and isinstance(body.get("text"), str) and body["text"].strip():
            self._caller.remember(raw["model"], "timestamps", "yes" if _segments(body) else "no")


def read(raw: Mapping[str, Any]) -> Recognition:
    """A stored answer as a Recognition; its text may be empty. Raises BadAnswer.

    Answers of type text/plain are the text itself (servers that ignore `response_format`). Segments
    without usable times are dropped, and the text kept. Times are seconds from the chunk's start.
    Where the hint that was sent comes back instead of speech (see `_is_echo`), it is dropped.
    """
    hint = raw.get("prompt") or ""
    if raw.get("content_type", "").startswith("text/plain") and not raw["body"].lstrip().startswith("{"):
        text = raw["body"].strip()
        return Recognition(text="" if _is_echo(text, hint) else text, model=raw.get("model"))
    body = body_object(raw)
    heard = _segments(body)
    segments = tuple(s for s in heard if not _is_echo(s.text, hint, no_speech_prob=s.no_speech_prob))
    text = body.get("text")
    if not isinstance(text, str) and not heard:
        raise BadAnswer("The recogniser's answer holds no text.", http_status=raw["status"])
    if not isinstance(text, str) or len(segments) < len(heard):
        text = " ".join(segment.text for segment in segments)
    if _is_echo(text, hint):
        text, segments = "", ()
    language = body.get("language")
    return Recognition(
        text=text.strip(),
        language=language if isinstance(language, str) and language else None,
        segments=segments,
        model=raw.get("model"),
        paid_seconds=_paid_seconds(body),
    )


def _is_echo(text: str, hint: str, *, no_speech_prob: float | None = None) -> bool:
    """Whether a text is the hint come back, as Whisper does where it hears no words.

    The whole hint of ECHO_WORDS or more, once or several times over; or so many of its words in a row,
    where the model itself doubts that anybody speaks. Less is left alone: hints are words that are
    expected to be said.
    """
    said, hinted = _words(text), _words(hint)
    if len(said) < ECHO_WORDS or len(hinted) < ECHO_WORDS:
        return False
    if said == (hinted * (len(said) // len(hinted) + 1))[: len(said)] and len(said) >= len(hinted):
        return True
    in_a_row = f" {' '.join(said)} " in f" {' '.join(hinted)} "
    return in_a_row and no_speech_prob is not None and no_speech_prob > NO_SPEECH


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _segments(body: Mapping[str, Any]) -> tuple[RawSegment, ...]:
    listed = body.get("segments")
    segments = []
    for item in listed if isinstance(listed, list) else []:
        if not isinstance(item, dict) or not isinstance(item.get("text"), str):
            continue
        start, end = _number(item.get("start")), _number(item.get("end"))
        if start is None or end is None or start < 0 or end < start:
            return ()
        segments.append(
            RawSegment(
                start=start,
                end=end,
                text=item["text"].strip(),
                avg_logprob=_number(item.get("avg_logprob")),
                no_speech_prob=_number(item.get("no_speech_prob")),
                compression_ratio=_number(item.get("compression_ratio")),
            )
        )
    return tuple(segments)


def _paid_seconds(body: Mapping[str, Any]) -> float:
    """Seconds as the provider counts them: `usage.seconds`, else the length that it measured; else 0."""
    usage = body.get("usage")
    seconds = _number(usage.get("seconds")) if isinstance(usage, dict) else None
    if seconds is None:
        seconds = _number(body.get("duration"))
    return max(0.0, seconds or 0.0)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
