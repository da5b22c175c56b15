"""POST /v1/calls, read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.contract import read_call, read_upload, type_id, type_name
from pipeline.domain.errors import BadRequest
from pipeline.domain.job import Entity

URL = "https://pbx.example/rec/1?sign=x"


def test_a_call_by_url_is_read() -> None:
    """Everything but the URL is optional."""
    body = {
        "url": URL, "entity": {"type": "deal", "id": "42"}, "language": "Russian", "prompt": "Acme",
        "callback_url": "https://me.example/done",
    }  # fmt: skip
    request = read_call(json.dumps(body).encode())
    assert request.file_url == URL
    assert request.entity == Entity(type="deal", id=42)
    assert (request.language, request.prompt) == ("ru", "Acme")
    assert request.callback_url == "https://me.example/done"
    assert read_call({"url": URL}).entity is None


@pytest.mark.parametrize(
    ("more", "field", "hint"),
    [
        ({"callbackUrl": URL}, "callbackUrl", "did you mean callback_url?"),
        ({"entity_id": 7}, "entity_id", "did you mean entity?"),
        ({"entity": {"type": "deal", "id": 7, "name": "x"}}, "entity.name", "expected one of type, id"),
        ({"\ud800" * 500: 1}, "?" * 64, "expected one of"),
    ],
)
def test_a_key_that_is_not_known_is_refused_by_name(more: dict[str, Any], field: str, hint: str) -> None:
    """What a mistyped key was meant for would not happen, and nobody would know."""
    with pytest.raises(BadRequest) as refusal:
        read_call({"url": URL} | more)
    assert refusal.value.field == field
    assert hint in refusal.value.message


@pytest.mark.parametrize(
    ("kind", "name"),
    [("Deal", "deal"), (2, "deal"), ("1", "lead"), ("dynamic_1038", "dynamic_1038"), (1038, "dynamic_1038"),
     ("smart invoice", "smart_invoice"), (31, "smart_invoice")],
)  # fmt: skip
def test_entity_types_by_name_and_by_number(kind: Any, name: str) -> None:
    """A type is named, or numbered as newer CRM methods do."""
    assert read_call({"url": URL, "entity": {"type": kind, "id": 7}}).entity == Entity(type=name, id=7)


def test_type_names_and_numbers_are_inverse() -> None:
    """What is written by number is the type that was named."""
    for name in ("lead", "deal", "contact", "company", "quote", "smart_invoice", "dynamic_130"):
        number = type_id(name)
        assert number is not None
        assert type_name(number) == name
    assert type_id("user") is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": None}, "url"),
        ({"url": 5}, "url"),
        ({"url": "s3://bucket/key"}, "url"),
        ({"entity": "deal"}, "entity"),
        ({"entity": {}}, "entity.type"),
        ({"entity": {"type": "user", "id": 1}}, "entity.type"),
        ({"entity": {"type": 5, "id": 1}}, "entity.type"),
        ({"entity": {"type": "deal"}}, "entity.id"),
        ({"entity": {"type": "deal", "id": 0}}, "entity.id"),
        ({"entity": {"type": "deal", "id": "7; drop"}}, "entity.id"),
        ({"entity": {"type": "deal", "id": 7.5}}, "entity.id"),
        ({"language": "Klingon"}, "language"),
        ({"language": {}}, "language"),
        ({"prompt": ["x"]}, "prompt"),
        ({"callback_url": "nowhere"}, "callback_url"),
        ({"activity_id": "x"}, "activity_id"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], field: str) -> None:
    """The 400 says which field."""
    with pytest.raises(BadRequest) as caught:
        read_call({"url": URL, **changes})
    assert caught.value.field == field


def test_an_upload_has_flat_fields() -> None:
    """Multipart fields name the entity by entity_type and entity_id; empty ones count as absent."""
    request = read_upload({"entity_type": "lead", "entity_id": "9", "language": "", "prompt": "x"})
    assert (request.file_url, request.entity, request.language) == (None, Entity(type="lead", id=9), None)
    assert read_upload({"entity_type": "", "entity_id": ""}).entity is None
    with pytest.raises(BadRequest, match="entity_id"):
        read_upload({"entity_type": "lead"})
