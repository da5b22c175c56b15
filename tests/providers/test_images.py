"""The image client, and portals' image requests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.clients.images import Images, read
from pipeline.clients.providers import Unremembered
from pipeline.clients.transport import Transport
from pipeline.domain.errors import BadAnswer
from pipeline.domain.job import Request

from .conftest import Scripted

URL = "https://images.example.com/a.png"


@pytest.fixture
def images(server: Scripted, transport: Transport, capabilities: Unremembered) -> Images:
    return Images(server.provider("painter"), transport, capabilities)


@pytest.mark.parametrize(
    ("form", "size"),
    [("square", "1024x1024"), ("portrait", "1024x1792"), ("landscape", "1792x1024"), (None, "1024x1024"),
     ("round", "1024x1024")],
)  # fmt: skip
def test_formats_are_sizes(server: Scripted, images: Images, form: str | None, size: str) -> None:
    """The portal's formats become sizes; prompt, number and model go along."""
    server.answer(200, {"data": [{"url": URL}]})
    raw = images.draw(Request(prompt="a cat", image_format=form, images_number=2), model="painter")
    assert read(raw) == [URL]
    assert server.asked[0].path == "/v1/images/generations"
    assert server.asked[0].json() == {
        "model": "painter", "prompt": "a cat", "n": 2, "size": size, "response_format": "url",
    }  # fmt: skip


def test_the_style_joins_the_prompt(server: Scripted, images: Images) -> None:
    """A style is words for the model."""
    server.answer(200, {"data": [{"url": URL}]})
    images.draw(Request(prompt="a cat", image_style="oil painting"), model="painter")
    prompt = server.asked[0].json()["prompt"]
    assert prompt.startswith("a cat")
    assert "oil painting" in prompt


def test_a_refused_response_format_is_dropped(server: Scripted, images: Images) -> None:
    """Models that take no response_format are asked without it, and that is remembered."""
    server.answer(400, {"error": {"code": "unknown_parameter", "message": "response_format"}})
    server.answer(200, {"data": [{"url": URL}]})
    server.answer(200, {"data": [{"url": URL}]})
    images.ask("a", model="painter")
    images.ask("a", model="painter")
    assert ["response_format" in asked.json() for asked in server.asked] == [True, False, False]


@pytest.mark.parametrize(
    ("body", "said"),
    [({"data": [{"b64_json": "aGk="}]}, "bytes"), ({"data": []}, "no link"), ({}, "no link"),
     ({"data": [{"url": "file:///etc/passwd"}]}, "no link"), ({"data": "x"}, "no link")],
)  # fmt: skip
def test_answers_without_links_are_bad(body: Any, said: str) -> None:
    """Only http links that a portal can fetch are results."""
    raw = {"model": None, "form": "url", "status": 200, "content_type": "", "body": json.dumps(body)}
    with pytest.raises(BadAnswer, match=said):
        read(raw)
