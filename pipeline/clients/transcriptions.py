"""Speech to text: `POST {provider}/audio/transcriptions`, in the shape of the OpenAI API and its dialects.

A call is in two halves, since the answer is paid for: `Transcriptions.ask` brings the raw answer, which is
stored as it came; `pipeline.clients.recognitions.read` turns it into a Recognition whenever it is wanted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.clients.dialect import Rung, Variant
from pipeline.clients.messages import Body
from pipeline.clients.providers import Caller, Capabilities, raw_answer
from pipeline.clients.refusals import Names
from pipeline.clients.transport import Answer, Transport
from pipeline.settings.portals import Provider

WORK = "transcription"
WINDOW_SECONDS = 930.0  # the AI Router gives itself 15 minutes before its 504
MOST_KEYWORDS = 100

# Families whose dialect is known beforehand; all others are asked as whisper-1 is, and learned from.
_PLAIN = re.compile(r"gpt-(?:live-)?transcribe|gpt-4o(?:-mini)?-transcribe(?!-diarize)")
_KEYWORDS = re.compile(r"gpt-(?:live-)?transcribe")
_DIARIZED = re.compile(r"gpt.*diarize")
_MISTRAL = re.compile(r"voxtral")
_SPEAKERS = re.compile(r"diari[sz]|voxtral|whisperx|pyannote", re.IGNORECASE)

_LANGUAGE = Names(fields=("language", "languages", "languages[]", "language_code"))
_HINT = Names(fields=("prompt", "keywords", "keywords[]", "context_bias", "hotwords", "initial_prompt"))
_FORM = Names(fields=("response_format",), words=r"response[ _-]?format|verbose_json|diarized_json")
_TIMES = Names(
    fields=("timestamp_granularities", "timestamp_granularities[]"),
    words=r"timestamp[ _-]?granularit|word[ -](?:level )?timestamps?",
)
_TEMPERATURE = Names(fields=("temperature",))
_CHUNKING = Names(fields=("chunking_strategy",))
_DIARIZE = Names(fields=("diarize", "diarization", "speaker_labels"), words=r"diari[sz]e\b|speaker[ _]labels")


def tells_speakers(provider: Provider, model: str | None) -> bool:
    """Whether the model is to be asked who speaks: as the operator says, else if its name tells that it
    can."""
    if provider.diarize != "auto":
        return provider.diarize == "yes"
    return bool(model and _SPEAKERS.search(model))


class Transcriptions:
    """A recogniser behind an OpenAI-compatible API."""

    def __init__(self, provider: Provider, transport: Transport, capabilities: Capabilities) -> None:
        self._caller = Caller(provider, transport, capabilities)

    def ask(
        self,
        path: Path,
        *,
        filename: str,
        content_type: str,
        model: str | None,
        language: str | None = None,
        prompt: str | None = None,
        temperature: float | None = None,
        speakers: bool = False,
        timeout_seconds: float = WINDOW_SECONDS,
    ) -> dict[str, Any]:
        """Sends one file, in the same call again with less where a field is refused; returns the raw answer.

        language: ISO 639-1. prompt: words that may be said. speakers: whether to be told who speaks.
        filename: canonical, providers judge by it. Without `model` and `temperature` the fields are left out.
        Raises ProviderRefused, ProviderAccount, ProviderUnavailable.
        """
        hint = plain_hint(prompt)

        def send(body: Mapping[str, Any], seconds: float) -> Answer:
            with path.open("rb") as file:  # streamed: many such uploads run at a time
                return self._caller.post(
                    "/audio/transcriptions",
                    model,
                    body=Body(data=dict(body), files={"file": (filename, file, content_type)}),
                    timeout_seconds=seconds,
                )

        content = f"{filename} {path.stat().st_size} " + _digest(path)
        sent, answer = self._caller.ask(
            WORK,
            model,
            _rungs(model or "", language=language, hint=hint, temperature=temperature, speakers=speakers),
            lambda: {"model": model} if model else {},
            send,
            content=content,
            timeout_seconds=timeout_seconds,
        )
        form = str(sent.get("response_format", "plain"))
        return raw_answer(answer, model=model, form=form) | {"prompt": hint}


def plain_hint(prompt: str | None) -> str | None:
    """A hint on one line and without angle brackets, which newer models refuse; None for nothing."""
    return " ".join(re.sub(r"[<>]", " ", prompt or "").split()) or None


def _rungs(
    model: str, *, language: str | None, hint: str | None, temperature: float | None, speakers: bool
) -> tuple[Rung, ...]:
    """What is optional of a request, what may be spared most easily first."""
    name = model.casefold()
    mistral, diarized = bool(_MISTRAL.search(name)), bool(_DIARIZED.search(name))
    words = _keywords(hint)
    hints: tuple[Variant, ...] = ({"prompt": hint}, {"keywords[]": words}, {}) if hint else ({},)
    if hint and _KEYWORDS.search(name):
        hints = ({"keywords[]": words}, {"prompt": hint}, {})
    elif hint and mistral:
        hints = ({"context_bias": [word.replace(" ", "_") for word in words]}, {})
    elif diarized:
        hints = ({},)
    languages: tuple[Variant, ...] = ({"language": language}, {"languages[]": [language]}, {})
    if _KEYWORDS.search(name):
        languages = ({"languages[]": [language]}, {"language": language}, {})
    times: tuple[Variant, ...] = (
        {"timestamp_granularities[]": ["segment", "word"]},
        {"timestamp_granularities[]": ["segment"]},
        {},
    )
    forms: tuple[Variant, ...] = ({"response_format": "verbose_json"}, {"response_format": "json"}, {})
    if mistral:
        forms, times = ({},), ({"timestamp_granularities": ["segment"]}, {})
    elif diarized:
        forms, times = ({"response_format": "diarized_json"}, {"response_format": "json"}, {}), ({},)
    elif _PLAIN.search(name):
        forms, times = ({"response_format": "json"}, {}), ({},)
    heat: tuple[Variant, ...] = ({"temperature": str(temperature)}, {}) if temperature is not None else ({},)
    auto: Variant = {"chunking_strategy": "auto"}
    chunking: tuple[Variant, ...] = (auto, {}) if diarized else ({},)
    verbose = None if mistral else ("response_format", "verbose_json")
    asks = speakers and not diarized and not _PLAIN.search(name)
    return (
        Rung(name="temperature", variants=heat, names=_TEMPERATURE),
        Rung(name="hint", variants=hints, names=_HINT, text=True),
        Rung(name="language", variants=languages if language else ({},), names=_LANGUAGE, by_value=True),
        Rung(name="diarize", variants=({"diarize": "true"}, {}) if asks else ({},), names=_DIARIZE),
        Rung(name="timestamps", variants=times, names=_TIMES, only_with=verbose),
        Rung(name="response_format", variants=forms, names=_FORM),
        Rung(name="chunking_strategy", variants=chunking, names=_CHUNKING, required=auto),
    )  # fmt: skip


def _keywords(hint: str | None) -> list[str]:
    """A hint as terms: what stands between commas, or its words where it has none."""
    parts = re.split(r"[,;]", hint or "") if re.search(r"[,;]", hint or "") else (hint or "").split()
    return list(dict.fromkeys(part.strip(" .") for part in parts if part.strip(" .")))[:MOST_KEYWORDS]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
