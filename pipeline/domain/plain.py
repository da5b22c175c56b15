"""Domain values to what JSON can hold and back.

A field's older names stand in its metadata (`was`), so that records written before are read.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from enum import StrEnum
from functools import cache, partial
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
