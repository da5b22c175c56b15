"""Answers to `extract_form_fields`: sloppy as models write them, and what the CRM parses of what we send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.domain.errors import BadAnswer
from pipeline.domain.job import Request
from pipeline.scoring.crm_answers import read_answer
from pipeline.scoring.crm_step import crm_step
from tests.scoring.crm import parsed

FIELDS = {
    "comment": "list[string]",
    "Название": "string or null",
    "Сумма сделки": "double or null",
    "Количество мест": "integer or null",
    "Дата закрытия": "date or null",
    "Нужна доставка": "boolean or null",
    "Источник": "enumeration or null",
    "Теги": "list[string] or null",
    "Бюджет": "money or null",
}
MARKERS = {
    "original_message": "The client wants twenty chairs.",
    "fields": FIELDS,
    "enum_fields_values": {"Источник": ["звонок", "веб-сайт", "выставка"]},
    "current_day": "26", "current_month": "11", "current_year": "2026",
}  # fmt: skip
FULL: dict[str, Any] = {
    "Название": "Стулья", "Сумма сделки": 1500.5, "Количество мест": 20, "Дата закрытия": "05.12.2026",
    "Нужна доставка": True, "Источник": "веб-сайт", "Теги": ["опт", "срочно"], "Бюджет": 30000,
    "comment": ["Перезвонить в пятницу", "Хочет скидку"],
}  # fmt: skip


def read(text: str, *, finished: bool = True, last: bool = False, **markers: Any) -> Any:
    request = Request(
        payload_provider="prompt", payload_raw="extract_form_fields", markers={**MARKERS, **markers}
    )
    step = crm_step(request)
    assert step is not None
    return parsed(read_answer(step, text, finished=finished, last=last))


def dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def full(**changed: Any) -> str:
    return dumped({**FULL, **{name.replace("_", " "): value for name, value in changed.items()}})


J = dumped(FULL)
FLAT = {name: value for name, value in FULL.items() if name != "comment"}
SLOPPY = {
    "as asked": J,
    "fenced": f"```json\n{J}\n```",
    "prose around": f"Вот поля:\n{J}\nНадеюсь, помог!",
    "braces around": f"Поля {{как просили}}:\n{J}\nГде {{null}} — не сказано.",
    "thoughts": f"<think>{{\"Сумма сделки\": 1}}</think>{J}",
    "a draft, then the answer": f"{dumped({'Название': 'x'})}\nИтог:\n{J}",
    "single quotes": repr(FULL),
    "the last brace forgotten": J[:-1],
    "trailing comma": J[:-1] + ",}",
    "in a list": dumped([FULL]),
    "wrapped": dumped({"fields": FULL}),
    "fields wrapped, comment beside": dumped({"fields": FLAT, "comment": FULL["comment"]}),
    "wrapped twice": dumped({"result": {"fields": FULL}}),
    "pairs": dumped([{"name": name, "value": value} for name, value in FULL.items()]),
    "pairs under a name": dumped({"fields": [{"name": name, "value": value} for name, value in FLAT.items()],
                                  "comment": FULL["comment"]}),
    "one object for each": "\n".join(dumped({name: value}) for name, value in FULL.items()),
    "values with types": dumped({name: {"value": value, "type": "x"} for name, value in FLAT.items()}
                                | {"comment": FULL["comment"]}),
    "names in capitals": dumped({name.upper(): value for name, value in FULL.items()}),
    "names with underscores": dumped({name.lower().replace(" ", "_"): value for name, value in FULL.items()}),
    "an unknown field": dumped({**FULL, "Город": "Москва"}),
    "comment as a string": full(comment="Перезвонить в пятницу\nХочет скидку"),
    "comment as bullets": full(comment="- Перезвонить в пятницу\n- Хочет скидку"),
    "comment as numbers": full(comment="1. Перезвонить в пятницу\n2. Хочет скидку"),
    "comment as objects": full(comment=[{"text": "Перезвонить в пятницу"}, {"text": "Хочет скидку"}]),
    "comment as an object": full(comment={"a": "Перезвонить в пятницу", "b": "Хочет скидку"}),
    "comments": dumped({**FLAT, "comments": FULL["comment"]}),
    "comment translated": dumped({**FLAT, "Комментарий": FULL["comment"]}),
    "comment with nothing among it": full(comment=[None, "Перезвонить в пятницу", "", "Хочет скидку"]),
    "number as text": full(Сумма_сделки="1500.5", Количество_мест="20"),
    "number with a currency": full(Сумма_сделки="1 500,50 руб.", Бюджет="30 000 ₽"),
    "number with a unit": full(Количество_мест="20 человек"),
    "number of thousands": full(Бюджет="30 тыс. руб."),
    "number as a float": full(Количество_мест=20.0),
    "number by the English way": full(Сумма_сделки="1,500.50", Бюджет="30,000"),
    "money as an object of one": full(Бюджет={"value": 30000}),
    "date in ISO": full(Дата_закрытия="2026-12-05"),
    "date and time": full(Дата_закрытия="2026-12-05T00:00:00+03:00"),
    "date with slashes": full(Дата_закрытия="05/12/2026"),
    "date of two digits": full(Дата_закрытия="5.12.26"),
    "date in words": full(Дата_закрытия="5 декабря 2026 года"),
    "date without a year": full(Дата_закрытия="5 декабря"),
    "date in English": full(Дата_закрытия="December 5, 2026"),
    "boolean as a word": full(Нужна_доставка="true"),
    "boolean as yes": full(Нужна_доставка="Да"),
    "boolean as a number": full(Нужна_доставка=1),
    "choice in capitals": full(Источник="Веб-Сайт"),
    "choice in a list": full(Источник=["веб-сайт"]),
    "choice in a sentence": full(Источник="Клиент пришёл: веб-сайт"),
    "choice as an object": full(Источник={"value": "веб-сайт"}),
    "list as a text": full(Теги="опт, срочно"),
    "list as lines": full(Теги="- опт\n- срочно"),
    "list with nothing in it": full(Теги=["опт", None, "срочно"]),
    "text as a list": full(Название=["Стулья"]),
    "wrapped in a list": dumped({"data": [FULL]}),
    "list in a string": full(Теги='["опт", "срочно"]'),
    "list in a string of python": full(Теги="['опт', 'срочно']"),
    "escaped as in a string": J.replace('"', '\\"'),
    "number about": full(Бюджет="около 30 000 рублей"),
    "control tokens": J.replace("Стулья", "Стулья<|endoftext|>"),
    "json in a string": dumped(J),
}  # fmt: skip


def test_there_are_forms_enough() -> None:
    """Forty and more."""
    assert len(SLOPPY) >= 40


@pytest.mark.parametrize("name", SLOPPY)
def test_the_crm_parses_what_was_meant(name: str) -> None:
    """The names of the markers, values of their types, comment a list."""
    assert read(SLOPPY[name]) == FULL


@pytest.mark.parametrize(
    "nothing", [None, "null", "None", "", "-", "не указано", "Нет данных", "N/A", "not specified", [], {}]
)
@pytest.mark.parametrize("name", [name for name in FIELDS if name != "comment"])
def test_nothing_is_null(name: str, nothing: Any) -> None:
    """However a model says that nothing was told."""
    assert read(dumped({**FULL, name: nothing})) == {**FULL, name: None}


def test_what_is_missing_is_null_and_the_comment_empty() -> None:
    """The CRM's names are all there."""
    assert read('{"Название": "Стулья"}') == {**dict.fromkeys(FLAT), "Название": "Стулья", "comment": []}
    assert read('{"comment": "Ошиблись номером"}') == {**dict.fromkeys(FLAT), "comment": ["Ошиблись номером"]}


@pytest.mark.parametrize(
    ("written", "wanted"),
    [("завтра", "27.11.2026"), ("послезавтра", "28.11.2026"), ("Tomorrow at 10:00", "27.11.2026"),
     ("3 мая", "03.05.2027"), ("1 Jan 2027", "01.01.2027")],
)  # fmt: skip
def test_days_are_counted_from_the_portals_today(written: str, wanted: str) -> None:
    """Its markers say which day it is."""
    assert read(full(Дата_закрытия=written))["Дата закрытия"] == wanted


def test_money_keeps_a_currency_that_is_told() -> None:
    """In the CRM's own form."""
    assert read(full(Бюджет={"amount": "1 500", "currency": "usd"}))["Бюджет"] == "1500|USD"
    assert read(full(Бюджет="1500|EUR"))["Бюджет"] == "1500|EUR"


WRONG = {
    "nothing": ("Не нашлось.", "no complete JSON object"),
    "an empty object": ("{}", "Название"),
    "translated names": (dumped({"amount": 1500, "title": "Стулья"}), "Сумма сделки"),
    "one translated name": (dumped({"amount": 1500, "comment": ["x"]}), "amount"),
    "a number in words": (full(Количество_мест="двадцать или тридцать"), "Количество мест"),
    "two numbers": (full(Сумма_сделки="1000-2000"), "Сумма сделки"),
    "half a place": (full(Количество_мест=2.5), "Количество мест"),
    "no date": (full(Дата_закрытия="когда-нибудь"), "Дата закрытия"),
    "an impossible date": (full(Дата_закрытия="31.02.2026"), "Дата закрытия"),
    "no boolean": (full(Нужна_доставка="возможно"), "Нужна доставка"),
    "no choice": (full(Источник="сарафан"), "выставка"),
    "two choices": (full(Источник=["звонок", "выставка"]), "Источник"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name: str) -> None:
    """The model hears which field, and what was expected."""
    text, named = WRONG[name]
    with pytest.raises(BadAnswer) as told:
        read(text)
    assert named in told.value.message


def test_a_second_time_what_does_not_fit_stays_in_the_comment() -> None:
    """The field is null, no value is made up, and nothing that was said is lost."""
    got = read(full(Сумма_сделки="1000-2000", Источник="сарафан"), last=True)
    assert (got["Сумма сделки"], got["Источник"]) == (None, None)
    assert got["comment"][-2:] == ["Сумма сделки: 1000-2000", "Источник: сарафан"]


def test_a_cut_answer_is_no_answer() -> None:
    """Fields that stand in what is left of one are not the whole."""
    with pytest.raises(BadAnswer):
        read(J[:-1], finished=False)


@pytest.mark.parametrize(
    "fields", [json.dumps(FIELDS), dumped(FIELDS),
               [{"name": name, "type": kind} for name, kind in FIELDS.items()],
               [{name: kind} for name, kind in FIELDS.items()]],
)  # fmt: skip
def test_markers_come_in_many_ways(fields: Any) -> None:
    """An object, JSON in a string, a list."""
    choices = json.dumps(MARKERS["enum_fields_values"])
    assert read(J, fields=fields, enum_fields_values=choices) == FULL


def test_without_fields_the_models_names_stay() -> None:
    """PHP's empty array: what is known is not checked against nothing."""
    assert read('```{"a": 1, "comment": "x"}```', fields=[], enum_fields_values=[]) == {
        "a": 1,
        "comment": ["x"],
    }
