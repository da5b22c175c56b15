"""The golden set: calls whose band people agreed on, and how far a chat model agrees with them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.domain.errors import CallscribeError, SettingsError
from pipeline.domain.labels import speaker_word
from pipeline.domain.lead import Lead, Quality
from pipeline.domain.transcript import Segment, Transcript
from pipeline.settings.tables import fitted

BANDS: tuple[Quality, ...] = ("low", "medium", "high")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One call and its expected band."""

    name: str
    language: str  # of the call
    transcript: Transcript
    expected: Quality
    why: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the model said of one case: its lead, or why there is none."""

    case: Case
    lead: Lead | None
    error: str | None = None

    @property
    def agrees(self) -> bool:
        return self.lead is not None and self.lead.quality == self.case.expected


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far a model agrees with the golden set; shares are 0-1 of all cases, unanswered ones included."""

    verdicts: tuple[Verdict, ...]
    share: float  # the same band
    adjacent_share: float  # at most one band off
    kappa: float | None  # Cohen's, quadratically weighted, over answered cases; None when undefined

    @property
    def unanswered(self) -> int:
        return sum(1 for verdict in self.verdicts if verdict.lead is None)


class _Turn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    start: float = Field(ge=0)
    end: float = Field(ge=0)
    speaker: Literal["manager", "client"] | None
    text: str = Field(min_length=1)


class _Case(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = ""
    language: str = Field(pattern=r"^[a-z]{2}$")
    expected: Quality
    why: str = Field(min_length=1)
    quality: Literal["good", "fair", "poor"] = "good"
    segments: list[_Turn] = Field(min_length=1)


def read_cases(path: Path) -> tuple[Case, ...]:
    """The cases of a folder, one JSON file each, or of one file, {"cases": [...]}.

    Raises SettingsError naming the file and the field.
    """
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        cases = tuple(_case(_read(each), each.stem, named=f"golden set: {each}") for each in files)
    else:
        listed = _read(path)
        found = listed.get("cases") if isinstance(listed, dict) else None
        if not isinstance(found, list):
            raise SettingsError(f'golden set: {path}: expected {{"cases": [...]}}')
        cases = tuple(
            _case(table, f"case {at}", named=f"golden set: {path}: case {at}")
            for at, table in enumerate(found, start=1)
        )
    if not cases:
        raise SettingsError(f"golden set: {path} holds no {'*.json' if path.is_dir() else 'case'}")
    return cases


def as_case(
    *, name: str, language: str, expected: Quality, why: str, quality: str, segments: Sequence[Segment]
) -> dict[str, Any]:
    """A call that people have judged, as a case that `read_cases` reads."""
    turns = [
        {
            "start": segment.start,
            "end": segment.end,
            "speaker": segment.speaker if segment.speaker in ("manager", "client") else None,
            "text": segment.text,
        }
        for segment in segments
        if segment.text
    ]
    case = {"name": name, "language": language, "expected": expected, "why": why or "-", "quality": quality}
    return case | {"segments": turns}


def agreement(cases: Sequence[Case], judged: Callable[[Case], Lead]) -> Agreement:
    """Puts every case to `judged`; a CallscribeError counts as no answer, not as agreement."""
    verdicts = []
    for case in cases:
        try:
            verdicts.append(Verdict(case=case, lead=judged(case)))
        except CallscribeError as error:
            verdicts.append(Verdict(case=case, lead=None, error=error.message))
    pairs = [(v.case.expected, v.lead.quality) for v in verdicts if v.lead is not None]
    near = sum(1 for expected, got in pairs if abs(BANDS.index(expected) - BANDS.index(got)) <= 1)
    return Agreement(
        verdicts=tuple(verdicts),
        share=sum(1 for verdict in verdicts if verdict.agrees) / len(verdicts) if verdicts else 0.0,
        adjacent_share=near / len(verdicts) if verdicts else 0.0,
        kappa=_weighted_kappa(pairs),
    )


def table(result: Agreement) -> str:
    """The agreement for a terminal: a line per case, then the figures."""
    lines = []
    for verdict in result.verdicts:
        got = f"{verdict.lead.quality} ({verdict.lead.score})" if verdict.lead else f"none: {verdict.error}"
        mark = "ok " if verdict.agrees else "-- "
        lines.append(f"{mark}{verdict.case.name:28} expected {verdict.case.expected:7} got {got}")
    kappa = "undefined" if result.kappa is None else f"{result.kappa:.2f}"
    lines.append(
        f"{len(result.verdicts)} calls: {result.share:.0%} in the same band, {result.adjacent_share:.0%} at "
        f"most one band off, weighted kappa {kappa}, {result.unanswered} without an answer"
    )
    return "\n".join(lines)


def _weighted_kappa(pairs: Sequence[tuple[Quality, Quality]]) -> float | None:
    """1: as the golden set; 0: no better than chance; None where only one band occurs."""
    total = len(pairs)
    expected = Counter(pair[0] for pair in pairs)
    answered = Counter(pair[1] for pair in pairs)

    def weight(one: Quality, other: Quality) -> float:
        return float((BANDS.index(one) - BANDS.index(other)) ** 2)

    by_chance = sum(weight(a, b) * expected[a] * answered[b] for a in BANDS for b in BANDS)
    if total == 0 or by_chance == 0:
        return None
    return 1 - sum(weight(a, b) for a, b in pairs) * total / by_chance


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise SettingsError(f"golden set: {path}: cannot be read as JSON") from None


def _case(table: Any, name: str, *, named: str) -> Case:
    if not isinstance(table, dict):
        raise SettingsError(f"{named}: expected an object")
    file = fitted(_Case, table, named=named)
    segments = tuple(
        Segment(start=turn.start, end=turn.end, speaker=turn.speaker, text=turn.text)
        for turn in file.segments
    )
    names = (f"[{speaker_word(s.speaker, file.language)}] " if s.speaker else "" for s in segments)
    text = "\n".join(name + segment.text for name, segment in zip(names, segments, strict=True))
    transcript = Transcript(text=text, language=file.language, segments=segments, quality=file.quality)
    return Case(
        name=file.name or name,
        language=file.language,
        transcript=transcript,
        expected=file.expected,
        why=file.why,
    )
