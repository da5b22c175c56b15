"""What is run in the process that reads a file."""

from __future__ import annotations

import resource
from pathlib import Path

from pipeline.audio.limits import UploadLimits
from pipeline.audio.split import gathered, split
from pipeline.domain.errors import Refused


def swallow(path: Path, out: Path, max_seconds: float) -> dict[str, str | int | float | None]:
    """Sniff and split, in the process that reads the file."""
    seconds: float | None = None
    try:
        parts = split(
            path,
            sha256="0" * 64,
            content_type=None,
            out=out,
            limits=UploadLimits(),
            chunk_seconds=600,
            uploads_per_minute=4,
            name="chunk",
            max_seconds=max_seconds,
        )
        outcome, message, seconds = "taken", "", gathered(parts)[1].seconds
    except Refused as error:
        outcome, message = error.slug, error.message
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return {"outcome": outcome, "message": message, "seconds": seconds, "peak_mib": peak_mib}
