"""The chat client, and how text requests are answered with it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.clients.chat import Chat, read
from pipeline.clients.providers import Unremembered
from pipeline.clients.transport import Transport
from pipeline.domain.errors import BadAnswer, ProviderRefused
from pipeline.domain.job import Message, Request
from pipeline.scoring.reply import reply

from .conftest import Scripted

SCHEMA = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
ASK = (Message(role="system", content="s"), Message(role="user", content="u"))
REFUSAL = {"error": {"message": "no", "type": "invalid_request_error", "code": "invalid_request"}}


def done(text: Any, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}], **more}


@pytest.fixture
def chat(server: Scripted, transport: Transport, capabilities: Unremembered) -> Chat:
    return Chat(server.provider("m"), transport, capabilities)


def test_the_ladder_of_formats(server: Scripted, chat: Chat) -> None:
    """json_schema, where that is refused json_object, then plain; the last is remembered."""
    for form in ("json_schema", "json_object"):
        server.answer(
            400, {"error": {"code": "invalid_request", "message": f"response_format {form} is not known"}}
        )
    server.answer(200, done("{}"))
    server.answer(200, done("{}"))
    chat.ask(ASK, model="m", schema=SCHEMA, temperature=0.0)
    chat.ask(ASK, model="m", schema=SCHEMA, temperature=0.0)
    bodies = [asked.json() for asked in server.asked]
    kinds = [body.get("response_format", {}).get("type") for body in bodies]
    assert kinds == ["json_schema", "json_object", None, None]
    assert bodies[0]["response_format"]["json_schema"]["schema"] == SCHEMA
    assert all("temperature" in body for body in bodies)


def test_a_refusal_that_names_nothing_is_asked_once_more(server: Scripted, chat: Chat) -> None:
    """A 400 that says nothing is asked again without all that is optional, and then is permanent."""
    server.answer(400, REFUSAL)
    server.answer(400, REFUSAL)
    with pytest.raises(ProviderRefused):
        chat.ask(ASK, model="m", max_tokens=5, temperature=0.5, schema=SCHEMA)
    assert server.asked[1].json().keys() == {"model", "messages"}
    assert len(server.asked) == 2


def test_parameters_that_the_model_names_are_given_up(server: Scripted, chat: Chat) -> None:
    """A 400 that names max_tokens or temperature is asked again as newer models want it, and remembered."""
    for param in ("max_tokens", "temperature"):
        server.answer(400, {"error": {"code": "unsupported_parameter", "message": "no", "param": param}})
    server.answer(200, done("hi"))
    server.answer(200, done("hi"))
    chat.ask(ASK, model="m", max_tokens=5, temperature=0.5)
    chat.ask(ASK, model="m", max_tokens=7, temperature=0.5)
    last = [asked.json() for asked in server.asked][2:]
    assert [body["max_completion_tokens"] for body in last] == [5, 7]
    assert not any(body.keys() & {"max_tokens", "temperature"} for body in last)


def test_an_answer_is_read(server: Scripted, chat: Chat) -> None:
    """Text, model and tokens are read; a thinking block and parts are understood."""
    server.answer(200, done(" Hello. ", model="m-2026", usage={"prompt_tokens": 7, "completion_tokens": 2}))
    answer = read(chat.ask(ASK, model="m"))
    assert (answer.text, answer.model) == ("Hello.", "m-2026")
    assert (answer.prompt_tokens, answer.completion_tokens) == (7, 2)
    for content in ("<think>hm {}\n</think>\nHello.", [{"type": "text", "text": "Hello."}]):
        server.answer(200, done(content))
        assert read(chat.ask(ASK, model="m")).text == "Hello."


@pytest.mark.parametrize(
    "body",
    [{}, done(None), done(""), done("  "), done("<think>a</think>"), {"choices": []}, {"choices": [None]}, [],
     {"choices": [{"message": []}]}, {"error": {"code": "model_unavailable"}}],
)  # fmt: skip
def test_an_answer_without_text_is_bad(body: Any) -> None:
    """No text means BadAnswer: an empty result would end the portal's chain in silence."""
    raw = {"model": "m", "form": "plain", "status": 200, "content_type": "", "body": json.dumps(body)}
    with pytest.raises(BadAnswer):
        read(raw)


def test_a_text_request_as_the_portal_sends_it(server: Scripted, chat: Chat) -> None:
    """Role as system, context in between, the rendered prompt last, its limits passed on."""
    server.answer(200, done("hi"))
    request = Request(
        prompt="Write an e-mail.",
        role="You are a manager.",
        context=(Message(role="assistant", content="Hello"), Message(role="bot", content="odd")),
        max_tokens=300,
        temperature=0.7,
    )
    reply(request, chat=chat, model="m")
    assert server.asked[0].json() == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "You are a manager."},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "odd"},
            {"role": "user", "content": "Write an e-mail."},
        ],
        "max_tokens": 300,
        "temperature": 0.7,
        "stream": False,
    }


@pytest.mark.parametrize(
    ("step", "markers", "as_json", "wanted"),
    [
        ("summarize_transcript", {"original_message": "[Client] hi", "manager_name": "Ann"}, False, "Ann"),
        ("extract_form_fields", {"original_message": "sum", "fields": {"budget": "double or null"},
                                 "enum_fields_values": []}, True, "budget"),
        ("call_scoring", {"transcript": "[Client] hi", "criteria": "Greeted\nAsked", "client_type": "new"},
         True, "Greeted"),
    ],
)  # fmt: skip
def test_own_prompts_for_steps_of_crm(
    server: Scripted, chat: Chat, step: str, markers: dict[str, Any], as_json: bool, wanted: str
) -> None:
    """With own prompts on, a step is asked from its markers, in the portal's language; off, the portal's
    prompt passes unchanged."""
    request = Request(prompt="bare", payload_provider="prompt", payload_raw=step, markers=markers)
    server.answer(200, done("{}"))
    server.answer(200, done("{}"))
    reply(request, chat=chat, model="m", own_prompts=True, language="ru")
    reply(request, chat=chat, model="m")
    own, passed = (asked.json() for asked in server.asked)
    assert ("response_format" in own) is as_json
    assert wanted in own["messages"][0]["content"]
    assert "русский" in own["messages"][0]["content"]
    material = markers.get("original_message") or markers["transcript"]
    assert material in own["messages"][1]["content"]
    assert passed["messages"] == [{"role": "user", "content": "bare"}]
