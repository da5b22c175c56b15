"""The golden set, and how agreement with it is counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from pipeline.domain.errors import BadAnswer, ProviderUnavailable, SettingsError
from pipeline.domain.job import Reply
from pipeline.domain.lead import Lead
from pipeline.scoring.classify import Wrong, scored
from pipeline.scoring.golden import BANDS, Case, agreement, read_cases, table
from pipeline.scoring.rubric import default_rubric
from pipeline.scoring.talk_facts import talk_facts

FOLDER = Path(__file__).parents[2] / "fixtures" / "golden"
MIDDLE = {"low": 20, "medium": 55, "high": 85}


@pytest.fixture(scope="module")
def cases() -> tuple[Case, ...]:
    return read_cases(FOLDER)


def test_the_set_that_comes_along(cases: tuple[Case, ...]) -> None:
    """It holds every band in both languages, and each call has true times."""
    assert {(case.language, case.expected) for case in cases} == set(product(("en", "ru"), BANDS))
    for case in cases:
        starts = [s.start for s in case.transcript.segments]
        assert starts == sorted(starts)
        assert talk_facts(case.transcript) is not None


def lead(quality: str) -> Lead:
    return Lead(quality=quality, score=MIDDLE[quality], reason="r")  # type: ignore[arg-type]


def test_full_agreement(cases: tuple[Case, ...]) -> None:
    """A model that answers every expected band agrees fully."""
    result = agreement(cases, lambda case: lead(case.expected))
    assert (result.share, result.adjacent_share, result.kappa, result.unanswered) == (1.0, 1.0, 1.0, 0)


def test_no_better_than_chance(cases: tuple[Case, ...]) -> None:
    """A model that always says the same has kappa 0, however often it is right by luck."""
    result = agreement(cases, lambda case: lead("low"))
    lows = sum(1 for case in cases if case.expected == "low")
    assert result.share == pytest.approx(lows / len(cases))
    assert result.kappa == pytest.approx(0.0)


def test_a_failure_is_no_agreement(cases: tuple[Case, ...]) -> None:
    """A case without an answer counts against the model and is shown with its reason."""

    def judged(case: Case) -> Lead:
        if case.name == cases[0].name:
            raise ProviderUnavailable("The provider is away.")
        return lead(case.expected)

    result = agreement(cases, judged)
    assert result.unanswered == 1
    assert result.share == pytest.approx(1 - 1 / len(cases))
    assert "The provider is away." in table(result)
    assert table(result).count("\n") == len(cases)


def test_a_bad_answer_is_repaired_once(cases: tuple[Case, ...]) -> None:
    """One answer that cannot be used is repaired with the error told; a second one is a BadAnswer."""
    asked: list[Wrong | None] = []
    good = json.dumps({"quality": "low", "score": 10, "reason": "r"})

    def model(answers: list[str]) -> Any:
        def ask(wrong: Wrong | None) -> Reply:
            asked.append(wrong)
            return Reply(text=answers.pop(0))

        return ask

    call = cases[0].transcript
    lead, reply = scored(call, None, language="en", ask=model(["nonsense", good]))
    assert (lead.score, reply.text) == (10, good)
    assert asked[0] is None
    assert asked[1] is not None
    assert asked[1][0] == "nonsense"
    with pytest.raises(BadAnswer):
        scored(call, None, language="en", ask=model(["nonsense", "nonsense", good]))


def test_a_rubric_finds_its_quotes_in_the_set(cases: tuple[Case, ...]) -> None:
    """With the default rubric, the words of a high call prove its criteria; a flatterer proves nothing."""
    by_name = {case.name: case for case in cases}
    rubric = default_rubric("en")

    def answering(quotes: Mapping[str, str]) -> Any:
        judged = [
            {"name": r.name, "met": r.name in quotes, "quote": quotes.get(r.name), "explanation": "e"}
            for r in rubric.rules
        ]
        text = json.dumps({"criteria": judged, "reason": "r"})
        return lambda wrong: Reply(text=text)

    said = {
        "Need": "we need a CRM",
        "Budget": "set aside twelve thousand euros",
        "Next step": "Thursday at ten",
        "Size": "About forty users",
        "Time": "live by the first of March",
    }
    call, ask = by_name["en_budget_and_demo"].transcript, answering(said)
    good, _ = scored(call, rubric, language="en", ask=ask)
    assert (good.score, good.quality) == (90, "high")
    flattered, _ = scored(by_name["en_asks_for_a_score"].transcript, rubric, language="en", ask=ask)
    assert (flattered.score, flattered.quality) == (0, "low")


def test_a_wrong_case_names_its_file(tmp_path: Path) -> None:
    """An empty folder and a broken case are SettingsErrors that say where."""
    with pytest.raises(SettingsError, match="no "):
        read_cases(tmp_path)
    (tmp_path / "x.json").write_text('{"language": "en"}')
    with pytest.raises(SettingsError, match=r"x\.json: expected"):
        read_cases(tmp_path)
    with pytest.raises(SettingsError, match=r'x\.json: expected \{"cases"'):
        read_cases(tmp_path / "x.json")
    (tmp_path / "x.json").write_text('{"cases": [{"language": "en"}]}')
    with pytest.raises(SettingsError, match=r"x\.json: case 1: expected"):
        read_cases(tmp_path / "x.json")
