"""Answers to `call_scoring`: sloppy as models write them, and what the CRM parses of what we send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.domain.errors import BadAnswer
from pipeline.domain.job import Request
from pipeline.scoring.crm_answers import read_answer
from pipeline.scoring.crm_step import crm_step
from tests.scoring.crm import parsed

NAMES = ["Поздоровался и представился", "Выяснил бюджет клиента", "Назначил следующий шаг"]
LINES = "\n".join(NAMES)
STATUS = [True, False, True]


def read(text: str, criteria: Any = LINES, *, finished: bool = True, last: bool = False) -> Any:
    request = Request(
        payload_provider="prompt",
        payload_raw="call_scoring",
        markers={"transcript": "[Client] hi", "criteria": criteria},
    )
    step = crm_step(request)
    assert step is not None
    return parsed(read_answer(step, text, finished=finished, last=last))


def item(n: int, **fields: Any) -> dict[str, Any]:
    return {"criterion": NAMES[n], "status": STATUS[n], "explanation": f"why {n}", **fields}


ITEMS = [item(n) for n in range(3)]
FULL = {"call_review": {"criteria": ITEMS}, "overall_summary": "Good.", "recommendations": "Ask."}


def dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def with_items(items: Any) -> str:
    return dumped({**FULL, "call_review": {"criteria": items}})


J = dumped(FULL)
SLOPPY = {
    "as asked": J,
    "fenced": f"```json\n{J}\n```",
    "fenced without a language": f"```\n{J}\n```",
    "fence that nobody closed": f"```json\n{J}",
    "prose before": f"Here is the review:\n{J}",
    "prose with braces before": f"In the form {{call_review}} as asked:\n{J}",
    "prose after": f"{J}\nHope this helps!",
    "prose with braces after": f"{J}\nNote: {{status}} may change, e.g. {{\"a\": 1}}.",
    "thoughts": f"<think>{{\"call_review\": 1}} hm</think>{J}",
    "thoughts that began unseen": f"well {{\"criteria\": []}} hm</think>{J}",
    "a draft, then the answer": f"{with_items(ITEMS[:1])}\nNo, better:\n{J}",
    "the answer, then a piece": f"{J}\n{with_items(ITEMS[:1])}",
    "indented": json.dumps(FULL, indent=4, ensure_ascii=False),
    "python": repr(FULL),
    "single quotes": J.replace('"', "'").replace("true", "True"),
    "typographic quotes": J.replace('"overall_summary"', "“overall_summary”").replace('"Good."', "“Good.”"),
    "trailing commas": J.replace("}]", "},]").replace('"Ask."}', '"Ask.",}'),
    "comments": J.replace('{"call_review"', '{ // the review\n"call_review"'),
    "names without quotes": J.replace('"criterion"', "criterion").replace('"status"', "status"),
    "a raw line break": J.replace("Good.", "Go\nod.").replace("Go\nod", "Good"),
    "escaped line breaks": J.replace(", ", ",\\n ").replace("\\n", "\n"),
    "flat": dumped({"criteria": ITEMS, "overall_summary": "Good.", "recommendations": "Ask."}),
    "all of it in the review": dumped(
        {"call_review": {"criteria": ITEMS, "overall_summary": "Good.", "recommendations": "Ask."}}
    ),
    "the last brace forgotten": J[:-1],
    "the review not closed": dumped(
        {"call_review": {"criteria": ITEMS, "overall_summary": "Good.", "recommendations": "Ask."}}
    )[:-1],
    "the list not closed": J.replace('}]}, "overall', '}}, "overall').replace(
        '"why 2"}}, "overall', '"why 2"}, "overall'
    ),
    "wrapped": dumped({"result": FULL}),
    "wrapped twice": dumped({"response": {"data": FULL}}),
    "in a list": dumped([FULL]),
    "json in a string": dumped(J),
    "a string of json in an object": dumped({"result": J}),
    "the review as a list": dumped({**FULL, "call_review": ITEMS}),
    "capital names": dumped({"Call_Review": {"Criteria": ITEMS}, "Overall_Summary": "Good.",
                             "Recommendations": "Ask."}),
    "camel case": dumped({"callReview": {"criteria": ITEMS}, "overallSummary": "Good.",
                          "recommendations": "Ask."}),
    "capital names inside": with_items([{key.title(): each for key, each in one.items()} for one in ITEMS]),
    "translated": dumped({"критерии": [{"критерий": one["criterion"], "статус": one["status"],
                                        "пояснение": one["explanation"]} for one in ITEMS],
                          "итог": "Good.", "рекомендации": "Ask."}),
    "by name": with_items({one["criterion"]: {"status": one["status"], "explanation": one["explanation"]}
                           for one in ITEMS}),
    "by name in a list": with_items(
        [{one["criterion"]: {"status": one["status"], "explanation": one["explanation"]}} for one in ITEMS]
    ),
    "by PHP's numbers": with_items({str(n): one for n, one in enumerate(ITEMS)}),
    "status as a word": with_items([item(n, status=str(STATUS[n]).lower()) for n in range(3)]),
    "status as yes": with_items([item(n, status="Yes" if STATUS[n] else "No") for n in range(3)]),
    "status in Russian": with_items([item(n, status="Да" if STATUS[n] else "Нет") for n in range(3)]),
    "status as fulfilled": with_items(
        [item(n, status="Выполнено" if STATUS[n] else "Не выполнено") for n in range(3)]
    ),
    "status as a number": with_items([item(n, status=int(STATUS[n])) for n in range(3)]),
    "status as a sign": with_items([item(n, status="✅" if STATUS[n] else "❌") for n in range(3)]),
    "status by another name": with_items(
        [{"name": one["criterion"], "met": one["status"], "reason": one["explanation"]} for one in ITEMS]
    ),
    "reordered": with_items([ITEMS[2], ITEMS[0], ITEMS[1]]),
    "twice the same": with_items([*ITEMS, ITEMS[1]]),
    "one more": with_items([*ITEMS, {"criterion": "Улыбался", "status": True, "explanation": "x"}]),
    "numbered": with_items([item(n, criterion=f"{n + 1}. {NAMES[n]}") for n in range(3)]),
    "numbered as criteria": with_items(
        [item(n, criterion=f"Критерий {n + 1}: {NAMES[n]}") for n in range(3)]
    ),
    "numbers alone": with_items([item(n, criterion=n + 1) for n in range(3)]),
    "a number beside": with_items([{"id": n + 1, "status": STATUS[n], "explanation": f"why {n}"}
                                   for n in range(3)]),
    "other letters": with_items([item(n, criterion=f"«{NAMES[n].upper()}».") for n in range(3)]),
    "reworded and reordered": with_items([item(1, criterion="Бюджет клиента выяснен"),
                                          item(2, criterion="Следующий шаг назначен"), item(0)]),
    "reworded beyond words": with_items([item(0, criterion="Приветствие"), item(1), item(2)]),
    "explanation as a list": with_items([item(n, explanation=[f"why {n}"]) for n in range(3)]),
    "unknown fields": with_items([item(n, score=5, confidence=0.9) for n in range(3)]),
    "summary as a list": dumped({**FULL, "overall_summary": ["Good."], "recommendations": ["Ask."]}),
    "summary in a wrapper": dumped({**FULL, "overall_summary": {"text": "Good."}}),
    "control tokens": f"<|im_start|>assistant\n{J}<|im_end|>",
    "tokens inside": J.replace("Good.", "Good.<|endoftext|>"),
    "harness words": f"### Response:\n{J}",
    "escaped as in a string": J.replace('"', '\\"'),
    "the review in a string": dumped({**FULL, "call_review": dumped(FULL["call_review"])}),
    "the criteria in a string": with_items(dumped(ITEMS)),
    "status in an object": with_items([item(n, status={"value": STATUS[n]}) for n in range(3)]),
    "status explained": with_items(
        [item(n, status="true (met)" if STATUS[n] else "No, it was not") for n in range(3)]
    ),
    "in groups": with_items({"Начало": ITEMS[:2], "Конец": ITEMS[2:]}),
    "in a list of groups": with_items([{"group": "a", "criteria": ITEMS[:2]}, {"criteria": ITEMS[2:]}]),
    "in two blocks": f"{dumped({'call_review': FULL['call_review']})}\n"
    + dumped({"overall_summary": "Good.", "recommendations": "Ask."}),
    "numbers from nought": with_items([{"id": n, "status": STATUS[n], "explanation": f"why {n}"}
                                       for n in range(3)]),
    "shortened": with_items([item(n, criterion=NAMES[n][:14] + "...") for n in range(3)]),
    "bom": f"\ufeff{J}",
}  # fmt: skip


def test_there_are_forms_enough() -> None:
    """Forty and more."""
    assert len(SLOPPY) >= 40


@pytest.mark.parametrize("name", SLOPPY)
def test_the_crm_parses_what_was_meant(name: str) -> None:
    """Every criterion once, in the markers' order and words, with a real boolean."""
    assert read(SLOPPY[name]) == FULL


@pytest.mark.parametrize("name", ["a piece", "loose objects", "a bare list"])
def test_criteria_without_the_rest(name: str) -> None:
    """The verdicts stand, and what was not said is empty."""
    text = {
        "a piece": dumped({"call_review": {"criteria": ITEMS}}),
        "loose objects": "\n".join(map(dumped, ITEMS)),
        "a bare list": dumped(ITEMS),
    }[name]
    assert read(text) == {**FULL, "overall_summary": "", "recommendations": ""}


WRONG = {
    "nothing": ("I am glad to help.", "no complete JSON object"),
    "a missing criterion": (with_items(ITEMS[:2]), NAMES[2]),
    "an empty list": (with_items([]), "criteria"),
    "no list": (dumped({"overall_summary": "Good."}), "criteria"),
    "no verdict": (with_items([item(0, status="partly"), *ITEMS[1:]]), NAMES[0]),
    "a verdict of null": (with_items([item(0, status=None), *ITEMS[1:]]), "neither true nor false"),
    "two verdicts": (with_items([*ITEMS, item(0, status=False)]), "twice"),
    "other criteria": (with_items([item(n, criterion=f"Something else {n}") for n in (0, 1)]), NAMES[0]),
    "placed by nobody": (with_items([item(1), item(0, criterion="Нечто"), item(2)]), NAMES[0]),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name: str) -> None:
    """The model hears which criterion, or what, it left out."""
    text, named = WRONG[name]
    with pytest.raises(BadAnswer) as told:
        read(text)
    assert named in told.value.message


def test_a_cut_answer_is_no_answer() -> None:
    """Brackets are closed only where the model says that it has finished."""
    with pytest.raises(BadAnswer):
        read(J[:-1], finished=False)
    with pytest.raises(BadAnswer):
        read(J[: J.index("why 2")], finished=False)
    with pytest.raises(BadAnswer):
        read(J[: J.index("why 1")], finished=True)


def test_who_is_asked_twice_and_says_nothing_has_not_seen_it() -> None:
    """True was for what the call shows; a second null is no true."""
    text = with_items([item(0, status=None), *ITEMS[1:]])
    assert read(text, last=True)["call_review"]["criteria"][0]["status"] is False


@pytest.mark.parametrize(
    "criteria", [NAMES, json.dumps(NAMES), json.dumps(NAMES, ensure_ascii=False), dict(enumerate(NAMES)),
                 [{"criterion": name} for name in NAMES], "\n\n".join(NAMES) + "\r\n", "\\n".join(NAMES),
                 [*NAMES, NAMES[0]]],
)  # fmt: skip
def test_criteria_come_in_many_ways(criteria: Any) -> None:
    """Lines, lists, PHP's lists with holes, JSON in a string."""
    assert read(J, criteria) == FULL


SUBJECTS = [
    "цену", "срок", "склад", "объём", "марку", "цвет", "город", "адрес", "оплату", "скидку", "гарантию",
    "монтаж", "доставку", "договор", "тендер", "офис", "сайт", "почту", "телефон", "команду", "опыт", "отзыв",
    "тест", "демо", "кредит", "лизинг",
]  # fmt: skip


def test_many_criteria_are_told_apart() -> None:
    """Twenty-six, alike in their first words, numbered by the portal: each gets its own verdict."""
    names = [f"{n + 1}. Менеджер задал клиенту вопрос про {word}" for n, word in enumerate(SUBJECTS)]
    items = [{"criterion": name.partition(" ")[2], "status": n % 3 == 0, "explanation": name}
             for n, name in enumerate(names)]  # fmt: skip
    items.reverse()
    got = read(with_items(items), "\n".join(names))["call_review"]["criteria"]
    assert [each["criterion"] for each in got] == names
    assert [each["status"] for each in got] == [n % 3 == 0 for n in range(26)]
    assert [each["explanation"] for each in got] == names
