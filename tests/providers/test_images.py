"""The image client, and portals' image requests."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from pipeline.clients.images import Images, kind_of, nearest_size, pictures, read
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
    [({"data": [{"b64_json": "aGk="}]}, "no link"), ({"data": []}, "no image"), ({}, "no image"),
     ({"data": [{"url": None}]}, "no image"), ({"data": "x"}, "no image"),
     ({"data": [{"finish_reason": "CONTENT_FILTERED"}]}, "content filter")],
)  # fmt: skip
def test_answers_without_links_are_bad(body: Any, said: str) -> None:
    """Only what leads to an image is a result."""
    raw = {"model": None, "form": "url", "status": 200, "content_type": "", "body": json.dumps(body)}
    with pytest.raises(BadAnswer, match=said):
        read(raw)


PNG = b"\x89PNG\r\n\x1a\n rest"
CODE = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    "body",
    [
        {"data": [{"b64_json": CODE}]},
        {"data": [{"url": f"data:image/png;base64,{CODE}"}]},
        {"data": [{"b64_json": f"data:image/png;base64,{CODE}"}]},
        {"data": {"b64_json": CODE}},
        {"images": [CODE]},
        {"images": [{"image": CODE}]},
        {"success": True, "data": {"images": [{"b64_json": CODE}]}},
        {"b64_json": CODE},
    ],
)
def test_bytes_are_found_wherever_they_are(body: Any) -> None:
    """Bytes come as base64, as data URLs, under several names and in several envelopes."""
    raw = {"model": None, "form": "plain", "status": 200, "content_type": "", "body": json.dumps(body)}
    found = pictures(raw)
    assert [picture.data for picture in found] == [PNG]
    assert kind_of(PNG) == "png"


@pytest.mark.parametrize(
    ("wanted", "options", "nearest"),
    [
        ("1024x1792", ["1024x1024", "1024x1536", "1536x1024"], "1024x1536"),
        ("1792x1024", ["1024x1024", "1024x1536", "1536x1024"], "1536x1024"),
        ("1024x1792", ["512x512", "1024x1024"], "1024x1024"),
        ("1024x1024", ["256x256", "512x512"], "512x512"),
        ("1024x1024", [], None),
    ],
)
def test_the_nearest_size_is_taken(wanted: str, options: list[str], nearest: str | None) -> None:
    """Of the sizes that a refusal lists: the same orientation first, then the nearest shape and area."""
    assert nearest_size(wanted, options) == nearest
