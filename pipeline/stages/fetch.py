"""Brings a recording from where the request says it is to our disk."""

from __future__ import annotations

from pathlib import Path

from pipeline.clients.transport import Downloaded, Transport


def fetch(
    url: str,
    *,
    transport: Transport,
    to: Path,
    max_bytes: int,
    timeout_seconds: float,
    same_host: str | None = None,
) -> Downloaded:
    """Streams the recording into the file `to`, whose name says nothing of its format: names lie.

    same_host: the portal's own address, from which recordings are taken even where it is private.
    Raises ForbiddenURL, RecordingGone, TooLarge, DownloadFailed (transient) and StoreUnavailable (disk).
    """
    return transport.download(
        url, to, max_bytes=max_bytes, timeout_seconds=timeout_seconds, same_host=same_host
    )
