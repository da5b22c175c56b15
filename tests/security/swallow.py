"""What a media worker does with each file of a folder.

Run as `python -m tests.security.swallow DIR MAX_SECONDS`. Prints a JSON object a line: the file, how it
ended, the most memory that the process held which read it.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path

from pipeline.audio.confine import Limits
from pipeline.audio.decoder import Decoder
from tests.security.reading import swallow

LIMITS = Limits(memory_bytes=256 << 20, cpu_seconds=10)


def main(folder: Path, max_seconds: float) -> None:
    with contextlib.closing(Decoder(LIMITS)) as decoder:
        for path in sorted(folder.iterdir()):
            with tempfile.TemporaryDirectory() as out:
                told = decoder.run(swallow, path, Path(out), max_seconds)
            sys.stdout.write(json.dumps({"name": path.name, **told}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), float(sys.argv[2]))
