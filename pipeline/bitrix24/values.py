"""Values as the portal's REST gives them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pipeline.contract.php import filled


def whole(value: Any) -> int | None:
    """An id as the REST gives it, a number or a string of digits; None for anything else."""
    text = filled(value)
    return int(text) if text and text.isascii() and text.isdigit() else None


def moment(value: Any) -> float | None:
    """2026-04-03T10:26:32+02:00 -> unix seconds; None for anything else."""
    text = filled(value)
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found.timestamp() if found and found.tzinfo else None
