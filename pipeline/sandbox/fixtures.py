"""The recordings, engine requests and judged calls that come along.

They lie in fixtures/ of a checkout; a wheel carries them inside of the package.
"""

from __future__ import annotations

from pathlib import Path

import pipeline

_PACKAGE = Path(pipeline.__file__).parent
FIXTURES = next(
    (folder for folder in (_PACKAGE / "fixtures", _PACKAGE.parent / "fixtures") if folder.is_dir()),
    _PACKAGE / "fixtures",
)
REQUESTS = FIXTURES / "requests"
GOLDEN = FIXTURES / "golden"


def names() -> list[str]:
    """The engine requests that come along, by name."""
    return sorted(path.stem for path in REQUESTS.glob("*.json"))
