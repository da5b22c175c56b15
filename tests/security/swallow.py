"""What a media worker does with each file of a folder, one process for all of them.

Run as `python -m tests.security.swallow DIR MAX_SECONDS`. Prints a JSON object a line: the file, how it
ended; the last line tells the peak memory.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from pipeline.audio.confine import confined
from pipeline.audio.limits import UploadLimits
from pipeline.audio.sniff import sniff
from pipeline.audio.split import split
from pipeline.domain.errors import CallscribeError


def swallow(path: Path, max_seconds: float) -> dict[str, object]:
    seconds: float | None = None
    try:
        with tempfile.TemporaryDirectory() as out, confined(memory_bytes=256 << 20, cpu_seconds=10):
            media = sniff(path, sha256="0" * 64, content_type=None, max_seconds=max_seconds)
            plan = split(
                path,
                media,
                out=Path(out),
                limits=UploadLimits(),
                chunk_seconds=600,
                uploads_per_minute=4,
                name="chunk",
                max_seconds=max_seconds,
            )
        outcome, message, seconds = "taken", "", plan.seconds
    except CallscribeError as error:
        outcome, message = error.slug, error.message
    return {"name": path.name, "outcome": outcome, "message": message, "seconds": seconds}


def peak_mib() -> int:
    """The most memory that this program held; ru_maxrss would count what forked it."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) >> 10 for line in status.splitlines() if line.startswith("VmHWM:"))


def main(folder: Path, max_seconds: float) -> None:
    for path in sorted(folder.iterdir()):
        sys.stdout.write(json.dumps(swallow(path, max_seconds)) + "\n")
        sys.stdout.flush()
    sys.stdout.write(json.dumps({"peak_mib": peak_mib()}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
