"""Rubrics: what a good call is for one portal, as a TOML file.

name = "Sales call"
language = "en"

[thresholds]          # of the score, 0-100; below `medium` is low
high = 70
medium = 40

[[criteria]]
name = "Need"                                    # unique, shown in the CRM
description = "The client says what they need."  # what the model judges by
weight = 30                                      # below zero: counts against the call
said_by = "client"                               # whose words prove it; unset: anyone's
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.domain.lead import Quality
from pipeline.settings.tables import fitted, read_table

HIGH, MEDIUM = 70, 40  # without a rubric
DEFAULTS = ("en", "ru")
NAMED = "CALLSCRIBE_RUBRIC, or a portal's `rubric`"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One criterion as the rubric words it."""

    name: str
    description: str
    weight: float
    said_by: Literal["manager", "client"] | None = None


@dataclass(frozen=True, kw_only=True)
class Rubric:
    """By what a call is judged, and which score is which band."""

    name: str
    language: str
    rules: tuple[Rule, ...]
    high: int = HIGH
    medium: int = MEDIUM

    def band(self, score: int) -> Quality:
        """The band of a score, 0-100."""
        return band(score, high=self.high, medium=self.medium)


def band(score: int, *, high: int = HIGH, medium: int = MEDIUM) -> Quality:
    """high, medium or low."""
    return "high" if score >= high else "medium" if score >= medium else "low"


class _Thresholds(BaseModel):
    model_config = ConfigDict(extra="forbid")
    high: int = Field(HIGH, ge=1, le=100)
    medium: int = Field(MEDIUM, ge=1, le=100)


class _Criterion(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=80)
    description: str = Field(min_length=1, max_length=1000)
    weight: float = Field(allow_inf_nan=False)
    said_by: Literal["manager", "client"] | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1)
    language: str = Field("en", pattern=r"^[a-z]{2}$")
    thresholds: _Thresholds = Field(default_factory=lambda: _Thresholds(high=HIGH, medium=MEDIUM))
    criteria: list[_Criterion] = Field(min_length=1, max_length=30)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [criterion.name.casefold() for criterion in self.criteria]
        if len(set(names)) < len(names):
            raise ValueError("two criteria have the same name")
        if self.thresholds.medium >= self.thresholds.high:
            raise ValueError("thresholds: medium has to be below high")
        if not any(criterion.weight > 0 for criterion in self.criteria):
            raise ValueError("criteria: at least one weight has to be above zero")
        return self


def read_rubric(path: Path, *, language: str = "en") -> Rubric:
    """A rubric file; raises SettingsError naming the file, the field and what was expected.

    Where a file is named `default` and there is none, the rubric that comes along is meant, in `language`.
    """
    if path.name == "default" and not path.exists():
        return default_rubric(language)
    return _read(path)


def default_rubric(language: str) -> Rubric:
    """The rubric that comes with callscribe, in Russian or (for any other language) in English."""
    chosen = language if language in DEFAULTS else "en"
    return _read(resources.files("pipeline.scoring").joinpath("rubrics", f"{chosen}.toml"))


def _read(path: Path | Traversable) -> Rubric:
    file = fitted(_File, read_table(path, named=NAMED), named=f"{NAMED}: {path}")
    return Rubric(
        name=file.name,
        language=file.language,
        high=file.thresholds.high,
        medium=file.thresholds.medium,
        rules=tuple(
            Rule(name=c.name, description=c.description, weight=c.weight, said_by=c.said_by)
            for c in file.criteria
        ),
    )
