"""When a model ends, told before it does: by the server's list of models, by headers, else by a small table.

`GET /models` of OpenAI carries `shutdown_date`, Mistral `deprecation` and its replacement, OpenRouter
`expiration_date`; answers may carry `Deprecation` and `Sunset` (RFC 9745, RFC 8594). What headers told is
remembered for `callscribe doctor`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from functools import cache, lru_cache
from importlib import resources
from typing import Any

import structlog

log = structlog.get_logger(__name__)

FACT = "ends"
SOON_DAYS = 120
_SNAPSHOT = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{4})$")
_DATES = (
    "shutdown_date",
    "sunset_date",
    "retirement_date",
    "expiration_date",
    "deprecation",
    "shutdown_at",
    "sunset",
)
_SUCCESSORS = (
    "deprecation_replacement_model",
    "replacement",
    "recommended_replacement",
    "successor",
    "replaced_by",
)


@dataclass(frozen=True, kw_only=True)
class End:
    """An announced end of life; successor: the model to change to, where it was told."""

    model: str
    on: date
    successor: str | None = None

    @property
    def is_past(self) -> bool:
        return self.on <= _today()

    @property
    def is_soon(self) -> bool:
        return (self.on - _today()).days <= SOON_DAYS

    @property
    def says(self) -> str:
        """A sentence for operators."""
        verb = "ended" if self.is_past else "ends"
        return f"{self.model} {verb} on {self.on.isoformat()}"

    @property
    def hint(self) -> str:
        return (
            f"Change to {self.successor or 'a model that stays'} before."
            if not self.is_past
            else (f"Change to {self.successor or 'another model'}.")
        )


def of_table(model: str | None) -> End | None:
    """The end of a model by our table, whatever proxy or provider prefix stands before its name."""
    if not model:
        return None
    name = model.rpartition("/")[2].casefold()
    found = _table().get(name) or _table().get(_SNAPSHOT.sub("", name))
    return End(model=model, on=found[0], successor=found[1]) if found else None


def of_row(row: Mapping[str, Any]) -> End | None:
    """The end that a row of `GET /models` tells."""
    when = next((day for name in _DATES if (day := read_day(row.get(name))) is not None), None)
    if when is None or not isinstance(row.get("id"), str):
        return None
    successor = next(
        (row[name] for name in _SUCCESSORS if isinstance(row.get(name), str) and row[name]), None
    )
    return End(model=row["id"], on=when, successor=successor)


def of_memory(model: str, text: str | None) -> End | None:
    """The end that headers told before, as `tell` remembered it."""
    day = read_day(text)
    return End(model=model, on=day) if day else None


def tell(
    model: str | None, headers: Mapping[str, str], remember: Callable[[str | None, str, str], None]
) -> None:
    """Logs once a day that the model which was just asked ends, and keeps what its answer told."""
    end = of_table(model)
    if model and (day := read_day(headers.get("sunset"))) is not None and not headers.get("x-deprecated-use"):
        remember(model, FACT, day.isoformat())
        end = End(model=model, on=day, successor=end.successor if end else None)
    if end is not None and end.is_soon:
        _told(end, _today())


def read_day(value: Any) -> date | None:
    """A day from ISO 8601, an HTTP date, or unix seconds (also `@1700000000`, RFC 9745); else None."""
    if isinstance(value, bool) or value in (None, "", 0):
        return None
    text = str(value).strip().removeprefix("@")
    if re.fullmatch(r"\d{9,11}(?:\.0+)?", text):
        return datetime.fromtimestamp(float(text), UTC).date()
    if re.match(r"\d{4}-\d{2}-\d{2}", text):
        try:
            return date.fromisoformat(text[:10])
        except ValueError:
            return None
    try:
        return parsedate_to_datetime(text).date()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


@cache
def _table() -> dict[str, tuple[date, str]]:
    text = resources.files("pipeline.clients").joinpath("lifetimes.toml").read_text(encoding="utf-8")
    return {
        name: (row["on"], row["successor"]) for row in tomllib.loads(text)["ends"] for name in row["models"]
    }


@lru_cache(maxsize=256)  # the memory that makes it once a day and process
def _told(end: End, day: date) -> None:
    log.warning("model_ends", model=end.model, on=end.on.isoformat(), successor=end.successor, hint=end.hint)


def _today() -> date:
    return datetime.now(UTC).date()
