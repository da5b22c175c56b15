"""When a server asks to be asked again: the one reader of Retry-After and of what stands for it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

LONGEST_CHARACTERS = 64  # no wish needs more
UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def retry_after_seconds(
    headers: Mapping[str, str], body: Mapping[str, Any] | None = None, *, limited: bool = False
) -> float | None:
    """How long the server asks us to wait, seconds from now and never below 0, or None.

    headers: by lower-case names. `Retry-After` in seconds, as a date (RFC 9110, 10.2.3) or as `6m0s`, then
    `error.retryAfter` of the body, then, where the answer says that we are `limited` (429),
    `X-RateLimit-Reset` as seconds, unix time (also in ms), a date, or `6m0s`. Dates count from the answer's
    own `Date`, so that a wrong clock, theirs or ours, does no harm.
    """
    now = moment(headers.get("date", "")) or time.time()
    error = (body or {}).get("error")
    wishes = [headers.get("retry-after"), error.get("retryAfter") if isinstance(error, dict) else None]
    if limited:
        wishes += [headers.get("x-ratelimit-reset"), headers.get("x-ratelimit-reset-requests")]
    for wish in wishes:
        pause = _pause(str(wish).strip(), now) if wish is not None else None
        if pause is not None:
            return max(0.0, pause)
    return None


def _pause(wish: str, now: float) -> float | None:
    if len(wish) > LONGEST_CHARACTERS or not wish.isascii():
        return None
    if re.fullmatch(r"\d+(\.\d+)?", wish):
        number = float(wish)
        if number > 1e11:
            number /= 1000  # unix time in milliseconds
        return number - now if number > 1e9 else number
    spans = re.findall(r"(\d+(?:\.\d+)?)(ms|d|h|m|s)", wish)
    if spans and "".join(number + unit for number, unit in spans) == wish:
        return sum(float(number) * UNIT_SECONDS[unit] for number, unit in spans)
    at = moment(wish)
    return at - now if at is not None else None


def moment(text: str) -> float | None:
    """A date of HTTP or of ISO 8601 as unix seconds, or None."""
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        with suppress(ValueError, TypeError, IndexError, OverflowError):
            found = parse(text)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return None
