"""Filters, order, selection and pages of REST lists, as the Bitrix24 documentation describes them."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

PREFIXES = ("!=%", "!%=", "!=", "!@", ">=", "<=", "!%", "%=", "=%", ">", "<", "=", "@", "%", "!")
PAGE = 50


def page(
    rows: Sequence[Mapping[str, Any]], params: Mapping[str, Any], *, size: int = PAGE
) -> tuple[list[dict[str, Any]], int, int | None]:
    """Rows of the page asked for, the total, and where the next page starts (None: there is none)."""
    params = Named(params)
    conditions = params.get("filter") or {}
    found = [row for row in rows if matches(row, conditions)]
    order = params.get("order") or {}
    if not isinstance(order, Mapping):
        order = {}
    for key, way in reversed(list(order.items())):
        found.sort(key=lambda row, key=key: _sortable(_field(row, key)), reverse=str(way).lower() == "desc")  # type: ignore[misc]
    start = int(params.get("start") or 0)
    total = len(found)
    if start < 0:  # the documented way to skip counting
        start, total = 0, 0
    chosen = found[start : start + size]
    following = start + size if start + size < len(found) else None
    return [_select(row, params.get("select")) for row in chosen], total, following


def matches(row: Mapping[str, Any], conditions: Any) -> bool:
    """Whether the row meets all conditions, `{"<prefix>FIELD": value or list}`."""
    if not isinstance(conditions, Mapping):
        return True
    for key, wanted in conditions.items():
        prefix = next((p for p in PREFIXES if key.startswith(p)), "")
        if not _holds(prefix, _field(row, key[len(prefix) :]), wanted):
            return False
    return True


def named(values: Mapping[str, Any], name: str) -> str | None:
    """The key of that name, in whatever case: `ID` and `id` are one to the portal."""
    return name if name in values else next((k for k in values if k.lower() == name.lower()), None)


class Named(dict[str, Any]):
    """Parameters that are found by their names in whatever case."""

    def get(self, name: str, default: Any = None) -> Any:
        key = named(self, name)
        return self[key] if key is not None else default


def _field(row: Mapping[str, Any], name: str) -> Any:
    key = named(row, name)
    return row[key] if key is not None else None


def _holds(prefix: str, value: Any, wanted: Any) -> bool:
    if prefix.startswith("!"):
        return not _holds(prefix[1:], value, wanted)
    if isinstance(wanted, Mapping):
        wanted = list(wanted.values())
    if prefix in ("", "=", "@"):
        return any(_same(value, item) for item in (wanted if isinstance(wanted, list) else [wanted]))
    if "%" in prefix:  # LIKE; with `=` the wildcards are the caller's
        pattern = str(wanted).lower()
        pattern = pattern.replace("%", "*") if "=" in prefix else f"*{pattern}*"
        return fnmatch.fnmatchcase(str(value or "").lower(), pattern)
    if value is None:
        return False
    left, right = _sortable(value), _sortable(wanted)
    if {left[0], right[0]} == {1, 2}:  # unix seconds and a date
        left, right = (2, left[1]), (2, right[1])
    if left[0] != right[0]:
        return False
    return bool(
        left > right if prefix == ">" else
        left >= right if prefix == ">=" else
        left < right if prefix == "<" else
        left <= right
    )  # fmt: skip


def _same(value: Any, wanted: Any) -> bool:
    if wanted in (None, "", False) or value in (None, "", False):
        return (value or None) == (wanted or None)
    return _sortable(value) == _sortable(wanted)


def _sortable(value: Any) -> tuple[int, Any]:
    if value is None:
        return (0, 0)
    text = str(value)
    try:
        return (1, float(text))
    except ValueError:
        pass
    for parse in (datetime.fromisoformat, _russian):
        try:
            moment = parse(text)
        except ValueError:
            continue
        return (2, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    return (3, text)


def _russian(text: str) -> datetime:
    """26.11.2026, with or without 10:00:00."""
    return datetime.strptime(text, "%d.%m.%Y %H:%M:%S" if " " in text else "%d.%m.%Y")  # noqa: DTZ007


def _select(row: Mapping[str, Any], wanted: Any) -> dict[str, Any]:
    """The selected fields; FILES and COMMUNICATIONS come only when they are named."""
    names = list(wanted.values()) if isinstance(wanted, Mapping) else list(wanted or [])
    if not names or "*" in names:
        extra = {"FILES", "COMMUNICATIONS"} - set(names)
        return {key: value for key, value in row.items() if key not in extra}
    keys = [key for name in ["ID", *names] if (key := named(row, str(name))) is not None]
    return {key: row[key] for key in dict.fromkeys(keys)}
