"""`make truth`: the benchmark on real speech with known words.

python -m bench.truth [NAME...] [--speech FOLDER] [--report] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from bench.truth import measuring, recordings, report
from bench.truth.bounds import missed


def main() -> int:
    reader = argparse.ArgumentParser(prog="make truth", description="Speech with known words.")
    reader.add_argument("names", nargs="*", help="recordings; none: all")
    more = os.environ.get("CALLSCRIBE_SPEECH")
    reader.add_argument("--speech", type=Path, default=Path(more) if more else None,
                        help="a folder with more recordings; default: CALLSCRIBE_SPEECH")  # fmt: skip
    reader.add_argument("--report", action="store_true", help="write bench/truth/README.md and its picture")
    reader.add_argument("--keep", type=Path, help="a folder for the transcripts")
    asked = reader.parse_args()
    if asked.speech and not asked.speech.is_dir():
        reader.error(f"--speech, CALLSCRIBE_SPEECH: {asked.speech} is no folder")
    with tempfile.TemporaryDirectory(prefix="callscribe-truth-") as folder:
        known = recordings.every(Path(folder), asked.speech)
        if unknown := sorted(set(asked.names) - set(known)):
            reader.error(f"no such recording: {', '.join(unknown)}; there are {', '.join(known)}")
        rows = []
        print(report.HEAD)
        for row in measuring.measure(known[name] for name in asked.names or known):
            rows.append(row)
            print(report.line(row), *(f"\n    {each}" for each in missed(row)), flush=True)
            if asked.keep:
                measuring.kept(row, asked.keep)
    wrong = [row.recording.name for row in rows if missed(row)]
    print(
        f"\n{len(rows) - len(wrong)} of {len(rows)} recordings keep every bound"
        + (f"; not {', '.join(wrong)}" if wrong else "")
    )
    if asked.report:
        report.write(rows)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
