"""Files that an operator writes, read with errors that name the file, the field and what was expected."""

from __future__ import annotations

import tomllib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.domain.errors import SettingsError

M = TypeVar("M", bound=BaseModel)


def read_table(path: Path | Traversable, *, named: str) -> dict[str, Any]:
    """The tables of a TOML file; raises SettingsError that begins with `named`, what the file is for."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{named}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{named}: cannot read {path}: it is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{named}: {path}: {error}") from None


def fitted(model: type[M], table: Any, *, named: str) -> M:
    """The table as `model`; raises SettingsError with its first fault: which field, what was expected."""
    try:
        return model.model_validate(table)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        why = fault["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{named}: {where + ': ' if where else ''}{why}") from None
