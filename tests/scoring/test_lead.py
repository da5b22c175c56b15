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
from pipeline.scoring.answers import cut_json
from pipeline.scoring.lead import read_lead
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
    [(88, "high", "high"), (70, "medium", "high"), (69, "high", "medium"), (40, "low", "medium"),
     (39, "medium", "low"), (0, "LOW", "low"), (100, "?", "high"), (100, None, "high"), (55, "средний",
     "medium")],
)  # fmt: skip
def test_the_score_decides_between_neighbours(score: int, quality: Any, expected: str) -> None:
    """The band follows from the score, also where the model names the band beside it, or none."""
    lead = read_lead(json.dumps({"quality": quality, "score": score, "reason": "r"}), CALL)
    assert (lead.quality, lead.score) == (expected, score)


@pytest.mark.parametrize(
    ("score", "quality"),
    [(95, "low"), (88, "Cold"), (70, "низкое"), (0, "high"), (39, "hot"), (12, "Высокий"), (10, "Very high"),
     (10, "очень высокое"), (90, "нецелевой"), (90, "unqualified"), (90, ["low"]), (5, "🔥")],
)  # fmt: skip
def test_a_score_that_contradicts_its_quality_is_none(score: int, quality: Any) -> None:
    """Two bands apart, nobody knows which of both was meant: it is told back, and otherwise no score."""
    with pytest.raises(BadAnswer, match="contradict"):
        read_lead(json.dumps({"quality": quality, "score": score, "reason": "r"}), CALL)


@pytest.mark.parametrize("name", ["leadQuality", "lead quality", "Lead-Quality", "rating", "уровень"])
def test_a_quality_by_another_name_contradicts_as_well(name: str) -> None:
    """However a model calls it."""
    with pytest.raises(BadAnswer, match="contradict"):
        read_lead(json.dumps({name: "low", "score": 95, "reason": "r"}), CALL)


@pytest.mark.parametrize(
    ("form", "expected"),
    [("85", 85), ("85.0", 85), ('"85"', 85), ('"85/100"', 85), ('"85 / 100"', 85), ('"85%"', 85),
     ('"85 %"', 85),
     ('"85 out of 100"', 85), ('"85 of 100"', 85), ('"85 из 100"', 85), ('"8.5/10"', 85), ('"8,5 из 10"', 85),
     ('"9/10"', 90), ('"4/5"', 80), ('"85 points"', 85), ('"85 баллов"', 85), ('"85 pts."', 85), ("55.5", 56),
     ('"55,5"', 56), ('" 7 "', 7), ("0", 0), ("1", 1), ("100", 100), ('"85/100 points"', 85),
     ('"score: 85"', 85), ('"85/100 (high)"', 85), ('"high (85)"', 85), ('"+85"', 85),
     ('"**85**"', 85), ('"85⁄100"', 85), ('"85 баллов из 100"', 85), ('"Оценка лида: 85"', 85)]
)  # fmt: skip
def test_a_score_that_can_mean_nothing_else(form: str, expected: int) -> None:
    """Scores are read at the first answer however they are spelt, where there is one way to read them."""
    assert read_lead(f'{{"score": {form}, "reason": "r"}}', CALL).score == expected


@pytest.mark.parametrize(
    "score",
    [101, -1, 0.85, "high", None, True, [50], 10**30, "8/7", "11/10", "85/90", "70-80", "about 80",
     "0.85", "1e2",
     float("nan"), "", "9" * 400, {"value": 5}],
)  # fmt: skip
def test_a_score_that_is_none(score: Any) -> None:
    """What may mean two things, or lies beyond 0 to 100, is no score."""
    with pytest.raises(BadAnswer, match="score"):
        read_lead(json.dumps({"quality": "?", "score": score, "reason": "r"}), CALL)


@pytest.mark.parametrize(
    "text",
    ['{"Quality": "high", "Score": 88, "Reason": "Budget named."}',
     '{"QUALITY": "HIGH", "SCORE": "88", "REASON": "Budget named."}',
     '{"quality": "high", "score": 88, "reason": "Budget\nnamed."}',
     '{"quality": "high",\n"score": 88,\n"reason": "Budget named.",\n}',
     "{'quality': 'high', 'score': 88, 'reason': 'Budget named.'}",
     '{quality: "high", score: 88, reason: "Budget named."}',
     '{"quality": "high", "score": 88 /* of 100 */, "reason": "Budget named."} // done',
     '{"quality": "high", "score": 88, "reason": "Budget named." # all\n}',
     '{“quality”: “high”, “score”: 88, “reason”: “Budget named.”}',
     '{"lead": {"quality": "high", "score": 88, "reason": "Budget named."}}',
     '{"result": {"lead": {"quality": "high", "score": 88, "reason": "Budget named."}}}',
     '[{"quality": "high", "score": 88, "reason": "Budget named."}]',
     '{"leads": [{"quality": "high", "score": 88, "reason": "Budget named."}]}',
     '{"качество": "высокое", "оценка": "88/100", "причина": "Budget named."}',
     '{"quality": "high", "lead_score": 88, "explanation": "Budget named."}',
     '{"quality": "high", "score": 88, "reason": ["Budget", "named."]}',
     '{"quality": "high", "valid": True, "note": None, "score": 88, "reason": "Budget named."}',
     '{"quality": "high", "score": 88 "reason": "Budget named."}',
     '```json\n{"quality": "high", "score": 88, "reason": "Budget named."}\n```',
     '**Result:** {"quality": "high", "score": 88, "reason": "Budget named."} Hope this helps {:)}'],
)  # fmt: skip
def test_an_answer_that_a_person_would_read_at_once(text: str) -> None:
    """Sloppy forms with one meaning cost no second call."""
    lead = read_lead(text, CALL)
    assert (lead.quality, lead.score, lead.reason) == ("high", 88, "Budget named.")


def test_quotes_inside_a_reason() -> None:
    """A model that forgets to escape them means them."""
    lead = read_lead('{"score": 88, "reason": "He said "twelve thousand euros" for it"}', CALL)
    assert lead.reason == 'He said "twelve thousand euros" for it'


@pytest.mark.parametrize("reason", [None, "", "  ", 5, [], [5], {"r": "r"}])
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
        assert budget.explanation == "the words that should show it are not in the transcript"


def test_a_reason_does_not_outlive_its_evidence() -> None:
    """Where evidence was rejected the model's reason goes with it: what is shown, and what not, is said."""
    told = json.dumps(
        {"criteria": [{**BUDGET, "quote": "a million"}, STEP, NO_REFUSAL], "reason": "Rich client."}
    )
    lead = read_lead(told, CALL, RUBRIC)
    assert lead.reason == "Shown by the caller's words: Next step. Named by the model, but not shown: Budget."
    none = json.dumps({"criteria": [{**BUDGET, "quote": "a million"}, judged("Next step", False), NO_REFUSAL],
                       "reason": "Rich client."})  # fmt: skip
    lead = read_lead(none, CALL, RUBRIC, language="ru")
    assert lead.score == 0
    assert lead.reason == (
        "Сказанное не подтверждает ни одного критерия. Названо моделью, но не подтверждено: Budget."
    )
    assert read_lead(answer(BUDGET, STEP, NO_REFUSAL), CALL, RUBRIC).reason == "A fair call."


@pytest.mark.parametrize(
    "quote",
    [
        "twelve thousand euros",
        "Twelve thousand euros!",
        "We have twelve thousand euros",
        "thousand euros for it",
        "[Client] twelve thousand ... euros",
    ],
)
def test_one_quote_proves_one_criterion(quote: str) -> None:
    """The same words, or most of them, are no second proof; other words of the same turn are."""
    rubric = Rubric(
        name="r", language="en", rules=tuple(Rule(name=n, description="d", weight=50) for n in "AB")
    )
    both = answer(judged("A", True, "twelve thousand euros"), judged("B", True, quote))
    lead = read_lead(both, CALL, rubric)
    assert [each.met for each in lead.criteria] == [True, False]
    assert lead.criteria[1].explanation == "the same words show another criterion already"
    other = answer(judged("A", True, "twelve thousand euros"), judged("B", True, "About forty users"))
    assert read_lead(other, CALL, rubric).score == 100


def test_words_that_show_a_refusal_show_no_need() -> None:
    """Where one quote is to count for and against a call, it counts against it."""
    lead = read_lead(answer({**BUDGET, "quote": "forty users"}, STEP, judged("Refusal", True, "forty users")),
                     CALL, RUBRIC)  # fmt: skip
    assert [each.met for each in lead.criteria] == [False, True, True]


def test_criteria_by_name_and_in_words() -> None:
    """A table of criteria instead of a list, and yes or no instead of true or false, mean the same."""
    text = (
        '{"Criteria": {"Budget": {"Met": "yes", "Quote": "twelve thousand euros"},'
        ' "Next step": {"met": "Да", "quote": "Thursday at ten"}, "Refusal": {"met": 0}},'
        ' "Reason": "A fair call."}'
    )
    assert read_lead(text, CALL, RUBRIC).score == 100


def test_what_is_cut_off_is_not_guessed() -> None:
    """An object without its end may lack what would change it."""
    for text in (
        '{"score": 88, "reason": "cut',
        '{"score": 88, "reason": "r", "not',
        "{'score': 88, 'reason': 'r'",
    ):
        with pytest.raises(BadAnswer, match="complete"):
            read_lead(text, CALL)


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
        read_lead(answer(BUDGET, judged("Next step", "perhaps"), NO_REFUSAL), CALL, RUBRIC)
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
