"""Domain values to what JSON can hold and back.

A field's older names stand in its metadata (`was`), so that records written before are read. Of a class with
`sparse = True` fields that are None are left out: a record holds tens of thousands of its like.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable
from enum import StrEnum
from functools import cache, partial
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import orjson

T = TypeVar("T")
_AS_THEY_ARE = {str, int, float, bool, types.NoneType}


def to_plain(value: Any) -> Any:
    """Dataclasses, tuples and enums as dicts, lists and strings, ready for JSON."""
    cls = type(value)
    if cls in _AS_THEY_ARE:
        return value
    names, sparse = _written(cls)  # type: ignore[arg-type]
    if names:
        items = ((name, getattr(value, name)) for name in names)
        return {name: to_plain(item) for name, item in items if not (sparse and item is None)}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, StrEnum):
        return value.value
    return value


def loads(text: str | bytes) -> Any:
    """JSON as `json.loads` reads it, several times as fast; but numbers without a point that 64 bits cannot
    hold may become floats. Raises ValueError, RecursionError.
    """
    try:
        return orjson.loads(text)
    except ValueError:  # NaN, half a surrogate pair and depth, say, are no faults there
        return json.loads(text)


def from_plain(cls: type[T], plain: Any) -> T:
    """The inverse of `to_plain` for a dataclass; unknown keys are ignored, older names are known."""
    fields = _fields(cls)  # type: ignore[arg-type]
    known = {}
    for key, item in plain.items():
        if field := fields.get(key):
            name, read = field
            known[name] = item if read is None else read(item)
    return cls(**known)


Read = Callable[[Any], Any]


@cache
def _written(cls: type) -> tuple[tuple[str, ...], bool]:
    """A dataclass's fields, none of any other class; and whether those that are None are left out."""
    names = tuple(field.name for field in dataclasses.fields(cls)) if dataclasses.is_dataclass(cls) else ()
    return names, getattr(cls, "sparse", False)


@cache
def _fields(cls: type) -> dict[str, tuple[str, Read | None]]:
    """A class's fields by their names, and by those that they had in records written before; and how each
    is read, None: as it is.
    """
    hints = get_type_hints(cls)
    names = {f.metadata["was"]: f.name for f in dataclasses.fields(cls) if "was" in f.metadata}
    names |= {f.name: f.name for f in dataclasses.fields(cls)}
    return {key: (name, _reader(hints[name])) for key, name in names.items()}


@cache
def _reader(hint: Any) -> Read | None:
    origin = get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        read = _reader(next(arg for arg in get_args(hint) if arg is not type(None)))
        return read and (lambda plain: None if plain is None else read(plain))
    if origin is tuple:
        each = _reader(get_args(hint)[0])
        return tuple if each is None else (lambda plain: tuple(map(each, plain)))
    if isinstance(hint, type):
        if dataclasses.is_dataclass(hint):
            return partial(from_plain, hint)
        if issubclass(hint, StrEnum):
            return hint
        if hint is float:
            return lambda plain: None if plain is None else float(plain)
    return None
