"""How much of a disk is left to be used."""

from __future__ import annotations

import shutil
from pathlib import Path

LEAST_FREE_BYTES = 64 << 20  # below it (or below 5 % of a small disk) nothing is accepted


def left(place: Path) -> tuple[int, int]:
    """Bytes free on the disk on which `place` lies, or would; and how many of them are to stay free."""
    there = next((path for path in (place, *place.absolute().parents) if path.exists()), Path("/"))
    disk = shutil.disk_usage(there)
    return disk.free, min(LEAST_FREE_BYTES, disk.total // 20)
