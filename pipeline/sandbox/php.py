"""Forms with PHP brackets, both ways: what portals send and take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode


def build(data: Mapping[str, Any]) -> str:
    """`http_build_query`: {"data": {"FIELDS": {"ID": 7}}} -> `data%5BFIELDS%5D%5BID%5D=7`; nulls vanish."""
    return urlencode(list(_flat(data, "")))


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{name}[{key}]" if name else str(key))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _flat(item, f"{name}[{number}]")
    elif isinstance(value, bool):
        yield name, "1" if value else "0"
    elif value is not None:
        yield name, str(value)


def parse(form: str) -> dict[str, Any]:
    """The inverse; what is numbered 0, 1, 2, ... becomes a list."""
    root: dict[str, Any] = {}
    for name, value in parse_qsl(form, keep_blank_values=True):
        keys = name.replace("]", "").split("[")
        place = root
        for key in keys[:-1]:
            number = key if key or place is root else str(len(place))
            inner = place.setdefault(number, {})
            if not isinstance(inner, dict):
                inner = place[number] = {}
            place = inner
        place[keys[-1] or str(len(place))] = value
    return {key: _lists(item) for key, item in root.items()}


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    items = {key: _lists(item) for key, item in value.items()}
    return array(items) if items else items


def array(items: dict[str, Any]) -> list[Any] | dict[str, Any]:
    """What `json_encode` makes of a PHP array: a list when its keys are 0, 1, 2, ... or there are none."""
    if list(items) == [str(number) for number in range(len(items))]:
        return list(items.values())
    return items
