"""transcribe: one chunk to the recogniser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.clients.transcriptions import WINDOW_SECONDS, Transcriptions
from pipeline.model import Chunk


def transcribe(
    chunk: Chunk,
    path: Path,
    *,
    client: Transcriptions,
    model: str | None,
    language: str | None = None,
    prompt: str | None = None,
    timeout_seconds: float = WINDOW_SECONDS,
) -> dict[str, Any]:
    """The recogniser's raw answer for a chunk whose bytes lie at `path`.

    It is paid for: store it before `transcriptions.read` looks at it. language: ISO 639-1.
    Raises ProviderRefused (status 413: the chunk is too large for this server), ProviderAccount,
    ProviderUnavailable.
    """
    return client.ask(
        path,
        filename=chunk.filename,
        content_type=chunk.content_type,
        model=model,
        language=language,
        prompt=prompt,
        timeout_seconds=timeout_seconds,
    )
