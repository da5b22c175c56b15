"""Answers to `client_dialogue_action_extraction` (AnalyzeCommunication) and `summarize_transcript`, sloppy as
models write them, and what the CRM parses of what we send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.domain.errors import BadAnswer
from pipeline.domain.job import Request
from pipeline.scoring.crm_answers import read_answer
from pipeline.scoring.crm_step import crm_step
from tests.scoring.crm import parsed


def sent(text: str, code: str, *, finished: bool = True, last: bool = False) -> str:
    markers = {"dialogue": "[Client] hi", "original_message": "[Client] hi", "employee_name": "Анна",
               "dialogue_start_datetime": "2026-11-26T10:00:00+03:00"}  # fmt: skip
    step = crm_step(Request(payload_provider="prompt", payload_raw=code, markers=markers))
    assert step is not None
    return read_answer(step, text, finished=finished, last=last, language="ru")


def read(text: str, **how: bool) -> Any:
    got = parsed(sent(text, "client_dialogue_action_extraction", **how))
    assert (got["isClient"], got["reasonIfIsClientFalse"]) == (
        got["is_client"], got["reason_if_is_client_false"],
    )  # fmt: skip
    return {"is_client": got["is_client"], "why": got["reason_if_is_client_false"], "actions": got["actions"]}


def dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


CALL = {"title": "Перезвонить", "description": "Обсудить цену", "responsible_person": "Анна",
        "deadline": "2026-11-27T15:00:00"}  # fmt: skip
SEND = {"title": "Выслать КП", "description": "На почту", "responsible_person": "Иван", "deadline": None}
YES = {"is_client": True, "reason_if_is_client_false": None, "actions": [CALL, SEND]}
NO = {"is_client": False, "reason_if_is_client_false": "Ошиблись номером.", "actions": []}
FULL = {"is_client": True, "why": None, "actions": [CALL, SEND]}
NONE = {"is_client": False, "why": "Ошиблись номером.", "actions": []}


def call(**changed: Any) -> str:
    return dumped({**YES, "actions": [{**CALL, **changed}, SEND]})


J, N = dumped(YES), dumped(NO)
SLOPPY: dict[str, tuple[str, Any]] = {
    "as asked": (J, FULL),
    "as asked, no client": (N, NONE),
    "fenced": (f"```json\n{J}\n```", FULL),
    "prose around": (f"Вот дела:\n{J}\nУдачи!", FULL),
    "braces around": (f"По форме {{actions}}:\n{J}\nГде {{null}} — срока нет.", FULL),
    "thoughts": (f"<think>{N}</think>{J}", FULL),
    "thoughts that began unseen": (f"{N}</think>{J}", FULL),
    "a draft, then the answer": (f"{N}\nНет:\n{J}", FULL),
    "python": (repr(YES), FULL),
    "the last brace forgotten": (J[:-1], FULL),
    "trailing commas": (J.replace("}]}", "},],}"), FULL),
    "wrapped": (dumped({"result": YES}), FULL),
    "wrapped twice": (dumped({"response": {"data": YES}}), FULL),
    "in a list": (dumped([YES]), FULL),
    "json in a string": (dumped(J), FULL),
    "camel case": (dumped({"isClient": True, "reasonIfIsClientFalse": None, "actions": [CALL, SEND]}), FULL),
    "camel case, no client": (
        dumped({"isClient": False, "reasonIfIsClientFalse": "Ошиблись номером."}), NONE,
    ),
    "capital names": (dumped({"Is_Client": True, "Actions": [CALL, SEND]}), FULL),
    "names with spaces": (dumped({"is client": True, "actions": [CALL, SEND]}), FULL),
    "client as a word": (dumped({**YES, "is_client": "true"}), FULL),
    "client as yes": (dumped({**YES, "is_client": "Да"}), FULL),
    "client as a number": (dumped({**YES, "is_client": 1}), FULL),
    "no client as a word": (dumped({**NO, "is_client": "False"}), NONE),
    "no client in Russian": (dumped({**NO, "is_client": "нет"}), NONE),
    "no client as a number": (dumped({**NO, "is_client": 0}), NONE),
    "client not said, with actions": (dumped({"actions": [CALL, SEND]}), FULL),
    "actions alone": (dumped([CALL, SEND]), FULL),
    "a reason without need": (dumped({**YES, "reason_if_is_client_false": "Это клиент"}), FULL),
    "a reason by another name": (dumped({"is_client": False, "reason": "Ошиблись номером."}), NONE),
    "actions null": (dumped({**NO, "actions": None}), NONE),
    "actions as nothing": (dumped({**NO, "actions": "нет данных"}), NONE),
    "actions by number": (dumped({**YES, "actions": {"1": CALL, "2": SEND}}), FULL),
    "one action alone": (dumped({**YES, "actions": SEND}), {**FULL, "actions": [SEND]}),
    "actions by another name": (dumped({"is_client": True, "tasks": [CALL, SEND]}), FULL),
    "translated": (dumped({"клиент": "да", "дела": [{"название": "Выслать КП", "описание": "На почту",
                                                     "ответственный": "Иван", "срок": "не указан"}]}),
                   {**FULL, "actions": [SEND]}),
    "camel case inside": (dumped({"isClient": True, "actions": [
        {"title": "Выслать КП", "description": "На почту", "responsiblePerson": "Иван"}]}),
        {**FULL, "actions": [SEND]}),
    "actions as texts": (dumped({**YES, "actions": ["Выслать КП"]}),
                         {**FULL, "actions": [{"title": "Выслать КП", "description": "",
                                               "responsible_person": "Анна", "deadline": None}]}),
    "an action without a title": (dumped({**YES, "actions": [{"description": "На почту", "responsible_person":
                                                              "Иван"}]}),
                                  {**FULL, "actions": [{**SEND, "title": "На почту"}]}),
    "an empty action": (dumped({**YES, "actions": [CALL, {"title": "", "description": ""}, SEND]}), FULL),
    "nobody responsible": (call(responsible_person=None), FULL),
    "nobody known": (call(responsible_person="не указан"), FULL),
    "deadline with a space": (call(deadline="2026-11-27 15:00:00"), FULL),
    "deadline of minutes": (call(deadline="2026-11-27T15:00"), FULL),
    "deadline in Russian": (call(deadline="27.11.2026 15:00"), FULL),
    "deadline in words": (call(deadline="завтра в 15:00"), FULL),
    "deadline of a month": (call(deadline="27 ноября 2026 в 15:00"), FULL),
    "deadline with fractions": (call(deadline="2026-11-27T15:00:00.000"), FULL),
    "unknown names": (call(priority="high"), FULL),
    "actions in a string": (dumped({**YES, "actions": dumped([CALL, SEND])}), FULL),
    "actions in a wrapper": (dumped({**YES, "actions": {"items": [CALL, SEND]}}), FULL),
    "client in an object": (dumped({**YES, "is_client": {"value": True}}), FULL),
    "client explained": (dumped({**YES, "is_client": "Да, это клиент"}), FULL),
    "escaped as in a string": (J.replace('"', '\\"'), FULL),
    "control tokens": (J.replace("Выслать КП", "Выслать КП<|im_end|>"), FULL),
    "more than five": (dumped({**YES, "actions": [CALL] * 8}), {**FULL, "actions": [CALL] * 5}),
}  # fmt: skip


def test_there_are_forms_enough() -> None:
    """Forty and more."""
    assert len(SLOPPY) >= 40


@pytest.mark.parametrize("name", SLOPPY)
def test_the_crm_parses_what_was_meant(name: str) -> None:
    """A real boolean, at most five actions, deadlines in its form, under both of its spellings."""
    text, wanted = SLOPPY[name]
    assert read(text) == wanted


@pytest.mark.parametrize(
    ("written", "wanted"),
    [("2026-12-05", "2026-12-05T23:59:59"), ("2026-12-05T09:30:00Z", "2026-12-05T09:30:00+00:00"),
     ("2026-12-05T09:30:00+0300", "2026-12-05T09:30:00+03:00"), ("как можно скорее", None), ("25:99", None),
     ("", None), (None, None), ({"date": "2026-12-05"}, "2026-12-05T23:59:59")],
)  # fmt: skip
def test_deadlines(written: Any, wanted: str | None) -> None:
    """A day alone is meant to its end; what is none is left to the CRM."""
    assert read(call(deadline=written))["actions"][0]["deadline"] == wanted


WRONG = {
    "nothing": ("Дел нет.", "no complete JSON object"),
    "an empty object": ("{}", "is_client"),
    "no actions, and who it is": (dumped({"actions": []}), "is_client"),
    "maybe a client": (dumped({**YES, "is_client": "возможно"}), "is_client"),
    "no client, with actions": (dumped({**NO, "actions": [CALL]}), "actions"),
    "no client, without a reason": (dumped({**NO, "reason_if_is_client_false": None}), "reason"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name: str) -> None:
    """The model hears what was expected."""
    text, named = WRONG[name]
    with pytest.raises(BadAnswer) as told:
        read(text)
    assert named in told.value.message


def test_a_second_time_what_the_crm_would_drop_is_dropped() -> None:
    """No actions for no client; a reason that was not given is told as such."""
    assert read(dumped({**NO, "actions": [CALL]}), last=True) == NONE
    got = read(dumped({"is_client": False}), last=True)
    assert got["why"] == "Модель не назвала причину."


def test_long_texts_are_cut_to_what_the_crm_keeps() -> None:
    """255 letters of a title, 10,000 of the rest."""
    action = read(call(title="о" * 300, description="п" * 20_000))["actions"][0]
    assert (len(action["title"]), len(action["description"])) == (255, 10_000)


# -- the summary

SUMMARY = "Клиент хочет 20 стульев.\nПерезвонить в пятницу."
PROSE = {
    "as asked": SUMMARY,
    "fenced": f"```\n{SUMMARY}\n```",
    "fenced as text": f"```text\n{SUMMARY}\n```",
    "with a preface": f"Вот резюме разговора:\n\n{SUMMARY}",
    "with an English preface": f"Sure! Here is the summary of the call:\n{SUMMARY}",
    "with thoughts": f"<think>The client...</think>\n{SUMMARY}",
    "with thoughts unseen": f"hm, {{so}}</think>{SUMMARY}",
    "with harness words": f"<|im_start|>assistant\n{SUMMARY}<|im_end|>",
    "as an object": json.dumps({"summary": SUMMARY}),
    "as an object in Russian": dumped({"резюме": SUMMARY}),
    "as an object in a fence": f"```json\n{dumped({'summary': SUMMARY})}\n```",
    "as an object with more": dumped({"summary": SUMMARY, "language": "ru"}),
    "wrapped": dumped({"result": {"summary": SUMMARY}}),
    "in quotes": f'"{SUMMARY}"',
    "with a raw line break": '{"summary": "Клиент хочет 20 стульев.\nПерезвонить в пятницу."}',
}


@pytest.mark.parametrize("name", PROSE)
def test_a_summary_is_text(name: str) -> None:
    """Without what models put around it."""
    assert sent(PROSE[name], "summarize_transcript") == SUMMARY


def test_a_summary_of_points_is_lines() -> None:
    """A list, or named points."""
    assert sent('["Хочет стулья", "Перезвонить"]', "summarize_transcript") == "- Хочет стулья\n- Перезвонить"
    assert sent('{"summary": ["Хочет стулья"]}', "summarize_transcript") == "- Хочет стулья"
    assert sent('{"Цель": "Стулья", "Итог": "Перезвонить"}', "summarize_transcript") == "Перезвонить"


@pytest.mark.parametrize(
    "text", ["{}", "```\n```", "...", "I'm sorry, I can't help with that.", "Please provide the transcript.",
             "Извините, я не могу выполнить это."],
)  # fmt: skip
def test_what_is_no_summary_is_refused(text: str) -> None:
    """It would stand in the CRM as what was said on the phone."""
    with pytest.raises(BadAnswer):
        sent(text, "summarize_transcript")


@pytest.mark.parametrize("text", ["Клиент {Иван} звонил.", "{Иван} звонил", "Вот и всё: клиент отказался."])
def test_prose_with_odd_signs_stays(text: str) -> None:
    """Only what is an object is taken for one."""
    assert sent(text, "summarize_transcript") == text
