"""Domain values to what JSON can hold and back.

A field's older names stand in its metadata (`was`), so that records written before are read.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Dataclasses, tuples and enums as dicts, lists and strings, ready for JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, StrEnum):
        return value.value
    return value


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


@cache
def _names(cls: type) -> dict[str, str]:
    """A class's fields by their names, and by those that they had in records written before."""
    names = {f.metadata["was"]: f.name for f in dataclasses.fields(cls) if "was" in f.metadata}
    return names | {f.name: f.name for f in dataclasses.fields(cls)}


def from_plain(cls: type[T], plain: Any) -> T:
    """The inverse of `to_plain` for a dataclass; unknown keys are ignored, older names are known."""
    hints, names = _hints(cls), _names(cls)  # type: ignore[arg-type]
    known = {names[key]: item for key, item in plain.items() if key in names}
    return cls(**{name: _read(hints[name], item) for name, item in known.items()})


def _read(hint: Any, plain: Any) -> Any:
    origin = get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if plain is None:
            return None
        return _read(next(arg for arg in get_args(hint) if arg is not type(None)), plain)
    if origin is tuple:
        return tuple(_read(get_args(hint)[0], item) for item in plain)
    if isinstance(hint, type):
        if dataclasses.is_dataclass(hint):
            return from_plain(hint, plain)
        if issubclass(hint, StrEnum):
            return hint(plain)
        if hint is float and plain is not None:
            return float(plain)
    return plain
