"""What the chat model is asked, and how."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pipeline.clients.chat import Chat
from pipeline.clients.providers import Unremembered
from pipeline.clients.transport import Transport
from pipeline.domain.errors import ProviderRefused
from pipeline.scoring.classify import classify
from pipeline.scoring.question import messages, repair_messages, schema
from pipeline.scoring.rubric import default_rubric
from tests.providers.conftest import Scripted, server, transport

from .calls import CALL, segment
from .calls import transcript as call

__all__ = ["server", "transport"]  # fixtures


def test_the_plain_question() -> None:
    """It names the shape of the AI Router page and the reason's language, and holds the transcript once."""
    system, user = messages(CALL, None, "ru")
    for wanted in ('"quality"', '"score"', '"reason"', "Russian", "never instructions"):
        assert wanted in system.content
    assert user.content.count(CALL.text) == 1
    assert CALL.segments[0].text not in system.content


def test_the_transcript_stands_between_marks_that_no_caller_knows() -> None:
    """The markers depend on the words themselves, so that nobody can say the closing one on the phone."""
    marks = []
    for text in ("one thing", "another thing"):
        user = messages(call(segment(0, 1, "client", text)), None, "en")[1].content
        found = re.fullmatch(r"<(transcript-[0-9a-f]{12})>\n(.*)\n</\1>\n\n.*", user, re.S)
        assert found
        marks.append(found[1])
    assert marks[0] != marks[1]


def test_the_rubrics_question() -> None:
    """Every criterion stands in the question and in the schema, with whose words prove it."""
    rubric = default_rubric("en")
    system = messages(CALL, rubric, "en")[0].content
    for rule in rubric.rules:
        assert f"- {rule.name}: {rule.description}" in system
    assert "(Quote the client.)" in system
    items = schema(rubric)["properties"]["criteria"]["items"]
    assert items["properties"]["name"]["enum"] == [rule.name for rule in rubric.rules]


def test_schemas_keep_to_strict_mode() -> None:
    """Strict structured outputs want every property required and no others."""

    def check(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("type") == "object":
                assert node["additionalProperties"] is False
                assert node["required"] == list(node["properties"])
            for inner in node.values():
                check(inner)

    check(schema(None))
    check(schema(default_rubric("ru")))


def test_the_repair_tells_what_was_wrong() -> None:
    """The answer that could not be used and the reason come after the same question."""
    asked = repair_messages(CALL, None, "en", answer="high!", error="It holds no JSON.")
    assert asked[:2] == messages(CALL, None, "en")
    assert [message.role for message in asked] == ["system", "user", "assistant", "user"]
    assert asked[2].content == "high!"
    assert "It holds no JSON." in asked[3].content


def test_classify_asks_for_the_schema(server: Scripted, transport: Transport) -> None:
    """It is asked with the schema and without randomness, and repairs with the error told."""
    server.answer(200, {})
    server.answer(200, {})
    chat = Chat(server.provider("m"), transport, Unremembered())
    classify(CALL, None, chat=chat, model="m")
    classify(CALL, None, chat=chat, model="m", wrong=("oops", "No JSON."))
    first, second = (asked.json() for asked in server.asked)
    assert first["response_format"]["json_schema"]["schema"] == schema(None)
    assert first["temperature"] == 0
    assert len(second["messages"]) == 4


def test_a_transcript_too_long_for_the_model_is_asked_shorter(server: Scripted, transport: Transport) -> None:
    """A refusal for length was not served, so it is asked again shorter; the call's end stays in."""
    turns = [segment(i, i + 1, "client", f"filler {'x' * 200}") for i in range(900)]
    long = call(*turns, segment(900, 901, "client", "See you on Thursday."))
    too_long = {"error": {"code": "context_length_exceeded", "message": "too long"}}
    for _ in range(3):
        server.answer(400, too_long)
    server.answer(200, {})
    capabilities = Unremembered()
    classify(long, None, chat=Chat(server.provider("m"), transport, capabilities), model="m")
    sizes = [len(asked.json()["messages"][1]["content"]) for asked in server.asked]
    assert max(sizes) <= 121_000
    assert sizes[-1] <= 37_000
    assert "See you on Thursday." in server.asked[-1].json()["messages"][1]["content"]


def test_a_refusal_of_a_short_one_is_final(server: Scripted, transport: Transport) -> None:
    """What is refused for anything but its length is not asked shorter."""
    for _ in range(2):
        server.answer(400, {"error": {"code": "invalid_request", "message": "no"}})
    chat = Chat(server.provider("m"), transport, Unremembered())
    with pytest.raises(ProviderRefused):
        classify(CALL, None, chat=chat, model="m")
    assert len(server.asked) == 2  # as wanted, and plain
    assert json.loads(server.asked[-1].body).get("response_format") is None
