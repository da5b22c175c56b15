"""Filters, order, selection and pages of REST lists, as the Bitrix24 documentation describes them."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

PREFIXES = ("!=%", "!%=", "!=", "!@", ">=", "<=", "!%", "%=", "=%", ">", "<", "=", "@", "%", "!")
PAGE = 50


def page(
    rows: Sequence[Mapping[str, Any]], params: Mapping[str, Any], *, size: int = PAGE
) -> tuple[list[dict[str, Any]], int, int | None]:
    """Rows of the page asked for, the total, and where the next page starts (None: there is none)."""
    conditions = params.get("filter") or params.get("FILTER") or {}
    found = [row for row in rows if matches(row, conditions)]
    order = params.get("order") or {}
    if not isinstance(order, Mapping):
        order = {}
    for key, way in reversed(list(order.items())):
        found.sort(key=lambda row, key=key: _sortable(row.get(key)), reverse=str(way).lower() == "desc")  # type: ignore[misc]
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
        if not _holds(prefix, row.get(key[len(prefix) :]), wanted):
            return False
    return True


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
    try:
        return (2, datetime.fromisoformat(text).timestamp())
    except ValueError:
        return (3, text)


def _select(row: Mapping[str, Any], wanted: Any) -> dict[str, Any]:
    """The selected fields; FILES and COMMUNICATIONS come only when they are named."""
    names = list(wanted.values()) if isinstance(wanted, Mapping) else list(wanted or [])
    if not names or "*" in names:
        extra = {"FILES", "COMMUNICATIONS"} - set(names)
        return {key: value for key, value in row.items() if key not in extra}
    return {key: row[key] for key in dict.fromkeys(["ID", *names]) if key in row}
