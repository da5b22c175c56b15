"""All of it, one after the other, into bench/README.md and bench/report.svg.

.venv/bin/python -m bench [--quick] [--dry] [NAME...]

dry: prints the lines and leaves the report as it is; so does naming some of them.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from bench import report

NAMES = ("intake", "jobs", "claims", "start", "prepare", "long_call", "neighbours")


def main() -> None:
    """Runs what is named, else everything."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--dry", action="store_true")
    given = parser.parse_args()
    if unknown := set(given.names) - set(NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    load, rows = os.getloadavg()[0], []
    for name in given.names or NAMES:
        sys.stderr.write(f"{name} ...\n")
        for row in importlib.import_module(f"bench.{name}").measure(given.quick):
            sys.stdout.write(row.told() + "\n")
            sys.stdout.flush()
            rows.append(row)
    if not given.names and not given.dry:
        report.write(rows, report.machine(load))


if __name__ == "__main__":
    main()
