"""What of a chat answer becomes the lead."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.errors import BadAnswer
from pipeline.domain.recording import Span
from pipeline.scoring.lead import cut_json, read_lead
from pipeline.scoring.rubric import Rubric, Rule

from .calls import CALL

RUBRIC = Rubric(
    name="r",
    language="en",
    rules=(
        Rule(name="Budget", description="d", weight=60, said_by="client"),
        Rule(name="Next step", description="d", weight=40),
        Rule(name="Refusal", description="d", weight=-50, said_by="client"),
    ),
)


def judged(name: str, met: Any, quote: str | None = None) -> dict[str, Any]:
    return {"name": name, "met": met, "quote": quote, "explanation": "because"}


def answer(*criteria: dict[str, Any]) -> str:
    return json.dumps({"criteria": criteria, "reason": "A fair call."})


BUDGET = judged("Budget", True, "twelve thousand euros")
STEP = judged("Next step", True, "Thursday at ten")
NO_REFUSAL = judged("Refusal", False)


@pytest.mark.parametrize(
    ("score", "quality", "expected"),
    [(88, "high", "high"), (88, "low", "high"), (70, "medium", "high"), (69, "high", "medium"),
     (40, "low", "medium"), (39, "medium", "low"), (0, "high", "low"), (100, "?", "high"),
     ("55", "high", "medium"), (55.0, "low", "medium")],
)  # fmt: skip
def test_the_score_decides(score: Any, quality: str, expected: str) -> None:
    """The band follows from the score, whatever quality the model names."""
    text = json.dumps({"quality": quality, "score": score, "reason": "r"})
    lead = read_lead(text, CALL)
    assert lead.quality == expected
    assert isinstance(lead.score, int)
    assert lead.score == int(score)


@pytest.mark.parametrize("score", [101, -1, 55.5, "high", "55%", None, True, [50], 10**30])
def test_a_score_that_is_none(score: Any) -> None:
    """Only an integer from 0 to 100 is a score."""
    with pytest.raises(BadAnswer, match="score"):
        read_lead(json.dumps({"quality": "high", "score": score, "reason": "r"}), CALL)


@pytest.mark.parametrize("reason", [None, "", "  ", 5, ["r"]])
def test_a_lead_without_a_reason(reason: Any) -> None:
    """Sales people are owed a reason."""
    with pytest.raises(BadAnswer, match="reason"):
        read_lead(json.dumps({"quality": "high", "score": 80, "reason": reason}), CALL)


@pytest.mark.parametrize(
    "wrap",
    ["{}", "```json\n{}\n```", "Sure! Here it is:\n{}\nAnything else?", "<think>{{\"score\": 1}}</think>{}",
     "The set {{a, b}} aside: {}", '{{"note": "draft"}} {}', '{{"score": 3, "reason": "first draft"}} {}',
     "{} }}"],
)  # fmt: skip
def test_json_is_cut_out_of_its_surroundings(wrap: str) -> None:
    """Fences, prose, thinking and drafts around the object do not matter; the last one counts."""
    text = wrap.format(json.dumps({"quality": "high", "score": 88, "reason": "has {braces}"}))
    assert read_lead(text, CALL).score == 88


@pytest.mark.parametrize(
    "text", ["", "high", "{", '{"score": 5', "[1, 2]", "{}", '{"points": 5}', "{" * 5000]
)
def test_no_usable_object(text: str) -> None:
    """What holds no such object is a BadAnswer, for the one repair attempt."""
    with pytest.raises(BadAnswer):
        read_lead(text, CALL)


def test_doubts_stand_in_the_reason() -> None:
    """A poor or partial transcript is named in the reason, in the portal's language."""
    text = json.dumps({"quality": "high", "score": 80, "reason": "Готов купить."})
    poor = replace(CALL, quality="poor")
    assert read_lead(text, CALL, language="ru").reason == "Готов купить."
    assert "Качество расшифровки низкое" in read_lead(text, poor, language="ru").reason
    assert "low quality" in read_lead(text, poor, language="de").reason
    missing = replace(CALL, missing=(Span(start=1, end=2),))
    assert "missing" in read_lead(text, missing).reason


def test_a_rubric_is_weighed_by_us() -> None:
    """The score is the share of met weights; each met criterion has its quote and its time."""
    lead = read_lead(answer(BUDGET, STEP, NO_REFUSAL), CALL, RUBRIC)
    assert (lead.score, lead.quality) == (100, "high")
    budget = lead.criteria[0]
    assert (budget.met, budget.quote, budget.at) == (True, "twelve thousand euros", 2.5)
    lead = read_lead(answer(judged("Budget", False), STEP, NO_REFUSAL), CALL, RUBRIC)
    assert (lead.score, lead.quality) == (40, "medium")


def test_a_quote_that_was_not_said_does_not_count() -> None:
    """Invented words, another speaker's words, or none: the criterion is not met, and says why."""
    for quote in ("a million euros", "Let's meet on Thursday", None, 5):
        lead = read_lead(answer({**BUDGET, "quote": quote}, STEP, NO_REFUSAL), CALL, RUBRIC)
        budget = lead.criteria[0]
        assert (budget.met, budget.quote, lead.score) == (False, None, 40)
        assert "not in the transcript" in budget.explanation


def test_what_counts_against_needs_its_quote_too() -> None:
    """A negative weight lowers the score, never below 0, and only with words that were said."""
    proven = judged("Refusal", True, "forty users")
    assert read_lead(answer(BUDGET, STEP, proven), CALL, RUBRIC).score == 50
    assert (
        read_lead(answer(judged("Budget", False), judged("Next step", False), proven), CALL, RUBRIC).score
        == 0
    )
    invented = judged("Refusal", True, "never call again")
    assert read_lead(answer(BUDGET, STEP, invented), CALL, RUBRIC).score == 100


def test_every_criterion_has_to_be_judged() -> None:
    """A missing criterion or a verdict that is no boolean is a BadAnswer naming it; names may be sloppy."""
    with pytest.raises(BadAnswer, match="Refusal"):
        read_lead(answer(BUDGET, STEP), CALL, RUBRIC)
    with pytest.raises(BadAnswer, match="Next step"):
        read_lead(answer(BUDGET, judged("Next step", "true"), NO_REFUSAL), CALL, RUBRIC)
    sloppy = {**STEP, "name": "- next  STEP:"}
    assert read_lead(answer(BUDGET, sloppy, NO_REFUSAL, judged("Own idea", True)), CALL, RUBRIC).score == 100


def test_the_models_own_grade_is_not_believed() -> None:
    """With a rubric, a score that the model adds changes nothing."""
    text = json.dumps({"criteria": [judged(r.name, False) for r in RUBRIC.rules], "score": 99, "reason": "r"})
    assert read_lead(text, CALL, RUBRIC).score == 0


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["score", "reason", "criteria", "name", "met", "quote"]), inner)
        ),
        max_leaves=12,
    )
    | st.text(max_size=30),
    st.sampled_from([None, RUBRIC]),
)
def test_reading_never_fails_otherwise(body: Any, rubric: Rubric | None) -> None:
    """Any text at all is a lead within bounds, or a BadAnswer."""
    text = body if isinstance(body, str) else json.dumps(body)
    with suppress(BadAnswer):
        assert 0 <= read_lead(text, CALL, rubric).score <= 100


def test_the_last_of_several_objects() -> None:
    """Later objects win, inner objects are not looked for."""
    assert cut_json('{"a": {"score": 1}} {"score": 2} {"b": 3}', {"score"}) == {"score": 2}
