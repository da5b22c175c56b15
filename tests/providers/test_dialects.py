# ruff: noqa: E501  (a table of the sentences of real servers)
"""Servers of many dialects: no job is lost for an optional field, whatever way it is refused in.

Each server is a rule: which field it does not take, and how it says so. The sentences are those of real servers
(OpenAI, the AI Router, LiteLLM, vLLM, Azure, Groq, Mistral, Together, FastAPI ones), as public reports quote them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.clients import dialect
from pipeline.clients.chat import Chat
from pipeline.clients.dialect import read_learned
from pipeline.clients.images import Images
from pipeline.clients.providers import Unremembered, fact_key
from pipeline.clients.transcriptions import Transcriptions
from pipeline.clients.transport import Transport
from pipeline.domain.errors import ProviderRefused
from pipeline.domain.job import Message

from .conftest import Asked, Scripted

ASK = (Message(role="system", content="Be brief."), Message(role="user", content="Hello?"))
SCHEMA = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}
SAID = {"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}]}
HEARD = {"text": "hello", "segments": [{"start": 0, "end": 1, "text": "hello"}], "language": "ru"}
DRAWN = {"data": [{"url": "https://images.example.com/a.png"}]}


def openai(message: str, param: str | None = None, code: str | None = "invalid_value") -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def router(message: str, code: str = "invalid_request") -> dict[str, Any]:
    """The AI Router's raw shape, which has no param."""
    return {"error": {"message": message, "type": "invalid_request_error", "code": code}}


def wrapped(message: str, code: str = "invalid_request") -> dict[str, Any]:
    """The AI Router's other shape."""
    return {"success": False, "error": {"code": code, "message": message}}


def litellm(message: str) -> dict[str, Any]:
    """A proxy's shape: its own param is null, the real one is text inside of its sentence."""
    text = f"litellm.BadRequestError: OpenAIException - {message}. Received Model Group=m\nFallbacks=None"
    return {"error": {"message": text, "type": None, "param": None, "code": "400"}}


def pydantic(
    field: str, kind: str = "extra_forbidden", message: str = "Extra inputs are not permitted"
) -> dict[str, Any]:
    return {
        "detail": [
            {"type": kind, "loc": ["body", field], "msg": message, "input": "temperature prompt max_tokens"}
        ]
    }


def inner(field: str, message: str) -> dict[str, Any]:
    return litellm(json.dumps(openai(message, field)))


Fields = dict[str, Any]
Takes = Callable[[Fields], bool]


def without(*names: str) -> Takes:
    return lambda sent: not any(name in sent for name in names)


CHAT: dict[str, tuple[Takes, int, Any, Fields]] = {
    # what it takes, status and body of its refusal, what it is sent in the end (None: left out)
    "openai o-series, max_tokens": (
        without("max_tokens"), 400,
        openai("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
               "max_tokens", "unsupported_parameter"),
        {"max_tokens": None, "max_completion_tokens": 5000, "temperature": 0.3},
    ),
    "the router's shape, max_tokens": (
        without("max_tokens"), 400, router("max_tokens is not supported by this model"),
        {"max_tokens": None, "max_completion_tokens": 5000, "temperature": 0.3},
    ),
    "the router's other shape, max_tokens": (
        without("max_tokens"), 422, wrapped("Parameter max_tokens is unknown"),
        {"max_tokens": None, "max_completion_tokens": 5000, "temperature": 0.3},
    ),
    "both limits unknown": (
        without("max_tokens", "max_completion_tokens"), 400, litellm("max tokens cannot be set for this model"),
        {"max_tokens": None, "max_completion_tokens": None, "temperature": 0.3},
    ),
    "a limit that is too large": (
        lambda sent: sent.get("max_tokens", 0) <= 4096, 400,
        openai("max_tokens is too large: 5000. This model supports at most 4096 completion tokens, whereas you "
               "provided 5000.", "max_tokens"),
        {"max_tokens": 4096, "temperature": 0.3},
    ),
    "groq's bound": (
        lambda sent: sent.get("max_tokens", 0) <= 1024, 400,
        router("`max_tokens` must be less than or equal to `1024`, the maximum value for `max_tokens` is less than "
               "the `context_window` for this model"),
        {"max_tokens": 1024, "temperature": 0.3},
    ),
    "anthropic's bound": (
        lambda sent: sent.get("max_tokens", 0) <= 4096, 400,
        litellm("max_tokens: 5000 > 4096, which is the maximum allowed number of output tokens for claude-3-haiku"),
        {"max_tokens": 4096, "temperature": 0.3},
    ),
    "vllm: what the messages leave": (
        lambda sent: sent.get("max_tokens", 0) <= 2896, 400,
        {"object": "error", "type": "BadRequestError", "param": None, "code": 400,
         "message": "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context length "
                    "is 4096 tokens and your request has 1200 input tokens (5000 > 4096 - 1200)."},
        {"max_tokens": 4096 - 1200 - 16, "temperature": 0.3},
    ),
    "google's range": (
        lambda sent: sent.get("max_tokens", 0) < 2049, 400,
        {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "Unable to submit request because it has a "
                   "maxOutputTokens value of 5000 but the supported range is from 1 (inclusive) to 2049 (exclusive)."}},
        {"max_tokens": 2048, "temperature": 0.3},
    ),
    "deepseek's range": (
        lambda sent: sent.get("max_tokens", 0) <= 4096, 400,
        router("Invalid max_tokens value, the valid range of max_tokens is [1, 4096]"),
        {"max_tokens": 4096, "temperature": 0.3},
    ),
    "tgi": (
        lambda sent: sent.get("max_tokens", 0) < 512, 422,
        {"error": "Input validation error: `max_new_tokens` must be strictly less than 512", "error_type": "validation"},
        {"max_tokens": 511, "temperature": 0.3},
    ),
    "too small a limit": (
        lambda sent: sent.get("max_tokens", 0) >= 8000, 400,
        openai("Invalid 'max_tokens': integer below minimum value. Expected a value >= 8000, but got 5000 instead.",
               "max_tokens", "integer_below_min_value"),
        {"max_tokens": 8000, "temperature": 0.3},
    ),
    "openai, only the default temperature": (
        without("temperature"), 400,
        openai("Unsupported value: 'temperature' does not support 0.3 with this model. Only the default (1) value is "
               "supported.", "temperature", "unsupported_value"),
        {"temperature": None, "max_tokens": 5000},
    ),
    "the router's shape, temperature": (
        without("temperature"), 400, wrapped("temperature is not supported with this model"),
        {"temperature": None, "max_tokens": 5000},
    ),
    "litellm, unsupported params": (
        without("temperature"), 400,
        {"error": {"message": "litellm.UnsupportedParamsError: openai does not support parameters: ['temperature'], for "
                              "model=o3. To drop these, set `litellm.drop_params=True`", "type": "None",
                   "param": None, "code": "400"}},
        {"temperature": None, "max_tokens": 5000},
    ),
    "an error inside of a proxy's sentence": (
        without("temperature"), 400, inner("temperature", "Unsupported parameter"),
        {"temperature": None, "max_tokens": 5000},
    ),
    "a cause as text": (
        without("temperature"), 400,
        {"error": {"code": 400, "message": "模型服务调用失败", "cause": json.dumps(openai("Unsupported value", "temperature"))}},
        {"temperature": None, "max_tokens": 5000},
    ),
    "a temperature out of bounds": (
        lambda sent: sent.get("temperature", 0) <= 0.2, 400, router("temperature must be between 0 and 0.2"),
        {"temperature": 0.2, "max_tokens": 5000},
    ),
    "fastapi, extra inputs": (
        without("temperature"), 422, pydantic("temperature"), {"temperature": None, "max_tokens": 5000},
    ),
    "fastapi, a bound": (
        lambda sent: sent.get("max_tokens", 0) <= 2048, 422,
        pydantic("max_tokens", "less_than_equal", "Input should be less than or equal to 2048"),
        {"max_tokens": 2048, "temperature": 0.3},
    ),
    "no json_schema": (
        lambda sent: sent.get("response_format", {}).get("type") != "json_schema", 400,
        openai("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
               "response_format"),
        {"response_format": {"type": "json_object"}, "temperature": 0.3, "max_tokens": 5000},
    ),
    "no json at all": (
        without("response_format"), 400, router("This model does not support JSON mode (response_format)"),
        {"response_format": None, "temperature": 0.3, "max_tokens": 5000},
    ),
    "together, json mode": (
        without("response_format"), 400, litellm("json_schema structured outputs are unavailable here"),
        {"response_format": None, "temperature": 0.3},
    ),
    "stream is unknown": (
        without("stream"), 400, openai("Unrecognized request argument supplied: stream", None, None),
        {"stream": None, "temperature": 0.3, "max_tokens": 5000},
    ),
    "a server that crashes on a keyword": (
        without("temperature"), 500,
        {"error": {"message": "generate() got an unexpected keyword argument 'temperature'", "type": "server_error"}},
        {"temperature": None, "max_tokens": 5000},
    ),
    "a server that has not implemented a field": (
        without("response_format"), 501, {"error": "the field 'response_format' is not implemented"},
        {"response_format": None, "max_tokens": 5000},
    ),
    "several fields, one after the other": (
        without("temperature", "response_format", "max_tokens"), 400,
        lambda sent: openai("Unsupported parameter", next(n for n in ("response_format", "max_tokens", "temperature") if n in sent)),
        {"temperature": None, "response_format": None, "max_tokens": None, "max_completion_tokens": 5000},
    ),
    "a refusal inside of a 200": (
        without("temperature"), 200, {"error": {"code": 400, "message": "Unsupported parameter: temperature"}},
        {"temperature": None, "max_tokens": 5000},
    ),
    "nothing is named": (
        lambda sent: sent.keys() <= {"model", "messages"}, 400, router("The request is not valid."),
        {"temperature": None, "max_tokens": None, "response_format": None, "stream": None},
    ),
    "a bare 400": (
        lambda sent: sent.keys() <= {"model", "messages"}, 400, b"Bad Request",
        {"temperature": None, "max_tokens": None, "response_format": None},
    ),
}  # fmt: skip


def served(
    takes: Takes, status: int, refusal: Any, good: Any, read: Callable[[Asked], Fields]
) -> Callable[[Asked], tuple[int, Any]]:
    def answer(asked: Asked) -> tuple[int, Any]:
        sent = read(asked)
        if takes(sent):
            return 200, good
        return status, refusal(sent) if callable(refusal) else refusal

    return answer


@pytest.mark.parametrize("name", CHAT)
def test_chat_in_every_dialect(
    name: str, server: Scripted, transport: Transport, capabilities: Unremembered
) -> None:
    """The question is served within one step; only what was refused is renamed, clamped or left out."""
    takes, status, refusal, wanted = CHAT[name]
    server.rule = served(takes, status, refusal, SAID, Asked.json)
    chat = Chat(server.provider("m"), transport, capabilities)
    raw = chat.ask(ASK, model="m", schema=SCHEMA, max_tokens=5000, temperature=0.3, timeout_seconds=20)
    sent = server.asked[-1].json()
    assert raw["status"] == 200
    assert {field: sent.get(field) for field in wanted} == wanted
    assert server.asked[0].json().keys() >= {"stream", "temperature", "max_tokens", "response_format"}
    assert len(server.asked) <= 5


@pytest.mark.parametrize(
    "message",
    [
        "System role not supported",
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        "Developer instruction is not enabled for models/gemma-3-27b-it",
        "Conversation roles must alternate user/assistant/user/assistant/...",
    ],
)
def test_a_model_without_a_system_role(
    message: str, server: Scripted, transport: Transport, capabilities: Unremembered
) -> None:
    """Its words stand before the user's; nothing else of the question changes."""
    server.rule = served(
        lambda sent: [m["role"] for m in sent["messages"]] == ["user"], 400, router(message), SAID, Asked.json
    )
    chat = Chat(server.provider("m"), transport, capabilities)
    chat.ask((*ASK, Message(role="user", content="Well?")), model="m", temperature=0.3, max_tokens=9)
    sent = server.asked[-1].json()
    assert sent["messages"] == [{"role": "user", "content": "Be brief.\n\nHello?\n\nWell?"}]
    assert (sent["temperature"], sent["max_tokens"]) == (0.3, 9)


HEARING: dict[str, tuple[str, Takes, int, Any, Fields]] = {
    "openai, gpt-4o": (
        "my-recogniser", lambda sent: sent.get("response_format") != "verbose_json", 400,
        openai("response_format 'verbose_json' is not compatible with model 'gpt-4o-transcribe-api-ev3'. Use 'json' or "
               "'text' instead.", "response_format", "unsupported_value"),
        {"response_format": "json", "timestamp_granularities[]": None, "language": "uz", "prompt": "Bitrix24, CRM"},
    ),
    "no words": (
        "whisper-large", lambda sent: "word" not in sent.get("timestamp_granularities[]", []), 400,
        router("Only 'segment' is supported in timestamp_granularities"),
        {"response_format": "verbose_json", "timestamp_granularities[]": ["segment"], "language": "uz"},
    ),
    "vllm: no words": (
        "whisper-large", lambda sent: "word" not in sent.get("timestamp_granularities[]", []), 400,
        {"error": {"message": "Word level timestamps are not supported", "type": "BadRequestError", "param": None,
                   "code": 400}},
        {"response_format": "verbose_json", "timestamp_granularities[]": ["segment"], "language": "uz"},
    ),
    "no timestamps": (
        "whisper-large", without("timestamp_granularities[]"), 422, pydantic("timestamp_granularities[]"),
        {"response_format": "verbose_json", "timestamp_granularities[]": None, "language": "uz"},
    ),
    "a language that it does not know": (
        "whisper-large", without("language", "languages[]"), 400,
        openai("Invalid language 'uz'. Language parameter must be specified in ISO-639-1 format.", "language",
               "invalid_language_format"),
        {"response_format": "verbose_json", "language": None, "languages[]": None, "prompt": "Bitrix24, CRM"},
    ),
    "the router's code": (
        "whisper-large", without("language", "languages[]"), 400, wrapped("Language is not supported", "invalid_language"),
        {"response_format": "verbose_json", "language": None, "prompt": "Bitrix24, CRM"},
    ),
    "languages instead of language": (
        "whisper-large", without("language"), 400,
        openai("Unknown parameter: 'language'.", "language", "unknown_parameter"),
        {"language": None, "languages[]": ["uz"], "prompt": "Bitrix24, CRM"},
    ),
    "keywords instead of prompt": (
        "whisper-large", without("prompt"), 400, openai("Unsupported parameter: prompt", "prompt", "unsupported_parameter"),
        {"prompt": None, "keywords[]": ["Bitrix24", "CRM"], "language": "uz"},
    ),
    "no hints at all": (
        "whisper-large", without("prompt", "keywords[]"), 500,
        {"detail": "transcribe() got an unexpected keyword argument 'prompt'"},
        {"prompt": None, "keywords[]": None, "language": "uz", "response_format": "verbose_json"},
    ),
    "chunking is required": (
        "whisper-large", lambda sent: sent.get("chunking_strategy") == "auto", 400,
        litellm("chunking_strategy is required for diarization models"),
        {"chunking_strategy": "auto", "language": "uz", "response_format": "verbose_json"},
    ),
    "no diarize": (
        "whisperx-large", without("diarize"), 422, pydantic("diarize"),
        {"diarize": None, "response_format": "verbose_json", "language": "uz"},
    ),
    "mistral: language or timestamps": (
        "voxtral-mini-latest", lambda sent: not {"language", "timestamp_granularities"} <= sent.keys(), 422,
        {"object": "error", "message": "timestamp_granularities is currently not compatible with language, please use "
                                       "either one or the other", "type": "invalid_request", "code": None},
        {"language": None, "timestamp_granularities": ["segment"], "diarize": "true", "response_format": None,
         "prompt": None, "context_bias": ["Bitrix24", "CRM"]},
    ),
    "nothing is named": (
        "whisper-large", lambda sent: sent.keys() <= {"file", "model"}, 400, router("Bad request"),
        {"language": None, "prompt": None, "response_format": None},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HEARING)
def test_recognition_in_every_dialect(
    name: str, server: Scripted, transport: Transport, capabilities: Unremembered, tmp_path: Path
) -> None:
    """The recording is heard within one step; only what was refused is renamed or left out."""
    model, takes, status, refusal, wanted = HEARING[name]
    server.rule = served(takes, status, refusal, HEARD, Asked.form)
    heard(server, transport, capabilities, tmp_path, model)
    sent = server.asked[-1].form()
    assert {field: sent.get(field) for field in wanted} == wanted
    assert sent["file"][2] == b"fLaC bytes"
    assert len(server.asked) <= 4


def heard(
    server: Scripted,
    transport: Transport,
    capabilities: Unremembered,
    tmp_path: Path,
    model: str,
    **more: Any,
) -> dict[str, Any]:
    path = tmp_path / "recording"
    path.write_bytes(more.pop("content", b"fLaC bytes"))
    asked = {"language": "uz", "prompt": "Bitrix24, CRM", "speakers": True, **more}
    client = Transcriptions(server.provider(model), transport, capabilities)
    return client.ask(
        path, filename="a.flac", content_type="audio/flac", model=model, timeout_seconds=20, **asked
    )


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("gpt-transcribe", {"languages[]": ["uz"], "keywords[]": ["Bitrix24", "CRM b Ltd"], "response_format": "json",
                            "language": None, "prompt": None, "timestamp_granularities[]": None, "diarize": None}),
        ("openai/gpt-4o-transcribe-diarize", {"response_format": "diarized_json", "chunking_strategy": "auto",
                                              "prompt": None, "keywords[]": None, "language": "uz"}),
        ("voxtral-small-transcribe-3", {"diarize": "true", "timestamp_granularities": ["segment"], "prompt": None,
                                        "context_bias": ["Bitrix24", "CRM_b_Ltd"], "response_format": None}),
        ("whisperx", {"diarize": "true", "response_format": "verbose_json", "prompt": "Bitrix24, CRM b Ltd"}),
        ("whisper-1", {"diarize": None, "response_format": "verbose_json", "language": "uz", "temperature": None}),
    ],
)  # fmt: skip
def test_known_families_are_asked_in_their_own_way(
    model: str,
    wanted: Fields,
    server: Scripted,
    transport: Transport,
    capabilities: Unremembered,
    tmp_path: Path,
) -> None:
    """The first request is the right one already; hints bear no line break and no angle bracket."""
    server.answer(200, HEARD)
    heard(
        server,
        transport,
        capabilities,
        tmp_path,
        model,
        prompt="Bitrix24,\nCRM <b> Ltd",
        speakers="x" in model,
    )
    sent = server.asked[0].form()
    assert {field: sent.get(field) for field in wanted} == wanted


DRAWING: dict[str, tuple[Takes, int, Any, Fields]] = {
    "openai, bytes only": (
        without("response_format"), 400, openai("Unknown parameter: 'response_format'.", "response_format", "unknown_parameter"),
        {"response_format": None, "n": 4, "size": "1024x1792"},
    ),
    "sizes are listed": (
        lambda sent: sent.get("size") in ("1024x1536", "auto"), 400,
        openai("Invalid value: '1024x1792'. Supported values are: '1024x1024', '1024x1536', '1536x1024', and 'auto'.",
               "size", "invalid_value"),
        {"size": "1024x1536", "n": 4, "response_format": "url"},
    ),
    "sizes are not listed": (
        without("size"), 400, router("The size 1024x1792 is not supported"), {"size": None, "n": 4},
    ),
    "one at a time": (
        lambda sent: sent.get("n", 1) == 1, 400, openai("You must provide n=1 for this model.", None, "invalid_value"),
        {"n": 1, "size": "1024x1792", "response_format": "url"},
    ),
    "n is too large": (
        lambda sent: sent.get("n", 1) <= 2, 422, pydantic("n", "less_than_equal", "Input should be less than or equal to 2"),
        {"n": 2, "size": "1024x1792"},
    ),
    "nothing is named": (
        lambda sent: sent.keys() <= {"model", "prompt"}, 400, router("no"), {"n": None, "size": None},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWING)
def test_images_in_every_dialect(
    name: str, server: Scripted, transport: Transport, capabilities: Unremembered
) -> None:
    """The image is drawn within one step; size and number become what the model takes."""
    takes, status, refusal, wanted = DRAWING[name]
    server.rule = served(takes, status, refusal, DRAWN, Asked.json)
    Images(server.provider("m"), transport, capabilities).ask("a cat", model="m", size="1024x1792", number=4)
    sent = server.asked[-1].json()
    assert {field: sent.get(field) for field in wanted} == wanted
    assert len(server.asked) <= 3


# -- what is learned


def facts(server: Scripted, capabilities: Unremembered, work: str = "chat") -> dict[str, dialect.Learned]:
    return read_learned(capabilities.recall(fact_key(server.provider("m"), "m", f"dialect:{work}")))


def test_a_named_refusal_is_remembered_for_minutes(
    server: Scripted, transport: Transport, capabilities: Unremembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next request spares the field; a quarter of an hour later it is tried again."""
    server.rule = served(
        without("temperature"), 400, router("temperature is not supported"), SAID, Asked.json
    )
    chat = Chat(server.provider("m"), transport, capabilities)
    chat.ask(ASK, model="m", temperature=0.3)
    chat.ask(ASK, model="m", temperature=0.3)
    assert ["temperature" in asked.json() for asked in server.asked] == [True, False, False]
    assert facts(server, capabilities)["temperature"].how == "named"
    later = dialect.time.time() + dialect.FORGET_SECONDS + 1
    monkeypatch.setattr(dialect.time, "time", lambda: later)
    chat.ask(ASK, model="m", temperature=0.3)
    assert ["temperature" in asked.json() for asked in server.asked[3:]] == [True, False]


def test_an_unnamed_refusal_is_believed_when_it_repeats(
    server: Scripted, transport: Transport, capabilities: Unremembered
) -> None:
    """Once may have been the content; the same content again proves nothing; other content does."""
    server.rule = served(lambda sent: "temperature" not in sent, 400, router("no"), SAID, Asked.json)
    chat = Chat(server.provider("m"), transport, capabilities)
    other = (Message(role="user", content="Something else"),)
    often = []
    for question in (ASK, ASK, other, other):
        before = len(server.asked)
        chat.ask(question, model="m", temperature=0.3)
        often.append(len(server.asked) - before)
    assert often == [2, 2, 2, 1]


def test_a_value_is_not_a_name(server: Scripted, transport: Transport, capabilities: Unremembered) -> None:
    """A limit refused for its size is clamped for that request, and the next one is sent as wanted."""
    refusal = openai(
        "max_tokens is too large: 9000. This model supports at most 4096 completion tokens.", "max_tokens"
    )
    server.rule = served(lambda sent: sent["max_tokens"] <= 4096, 400, refusal, SAID, Asked.json)
    chat = Chat(server.provider("m"), transport, capabilities)
    chat.ask(ASK, model="m", max_tokens=9000)
    chat.ask(ASK, model="m", max_tokens=500)
    assert [asked.json()["max_tokens"] for asked in server.asked] == [9000, 4096, 500]
    assert not facts(server, capabilities)


def test_a_language_is_given_up_for_itself_alone(
    server: Scripted, transport: Transport, capabilities: Unremembered, tmp_path: Path
) -> None:
    """Another language is asked for as before; the refused one is not sent again."""
    server.rule = served(
        lambda sent: sent.get("language") in (None, "ru"),
        400,
        router("Unsupported language: uz"),
        HEARD,
        Asked.form,
    )
    for language in ("uz", "ru", "uz"):
        heard(server, transport, capabilities, tmp_path, "m", language=language)
    assert [asked.form().get("language") for asked in server.asked] == ["uz", None, "ru", None]


def test_a_hint_that_is_too_long_is_shortened(
    server: Scripted, transport: Transport, capabilities: Unremembered, tmp_path: Path
) -> None:
    """Half of it still helps, and the next hint is sent whole."""
    server.rule = served(
        lambda sent: len(sent.get("prompt", "")) <= 300, 400, router("prompt is too long, at most 300 characters"),
        HEARD, Asked.form,
    )  # fmt: skip
    raw = heard(server, transport, capabilities, tmp_path, "m", prompt="word " * 100)
    assert 100 < len(server.asked[-1].form()["prompt"]) <= 300
    assert raw["prompt"] == ("word " * 100).strip()
    heard(server, transport, capabilities, tmp_path, "m", prompt="short")
    assert server.asked[-1].form()["prompt"] == "short"


def test_nothing_is_learned_from_a_request_that_was_not_served(
    server: Scripted, transport: Transport, capabilities: Unremembered
) -> None:
    """A refusal in the end teaches nothing, even where a field was named on the way."""
    server.answer(400, router("temperature is not supported"))
    server.answer(400, router("The messages are not valid."))
    server.answer(400, router("The messages are not valid."))
    with pytest.raises(ProviderRefused):
        Chat(server.provider("m"), transport, capabilities).ask(ASK, model="m", temperature=0.3)
    assert not facts(server, capabilities)
    assert len(server.asked) == 3


def test_no_words_of_customers_are_remembered(
    server: Scripted, transport: Transport, capabilities: Unremembered, tmp_path: Path
) -> None:
    """What is remembered names fields, never a hint's text."""
    server.rule = served(without("prompt"), 400, router("Unknown parameter prompt"), HEARD, Asked.form)
    heard(server, transport, capabilities, tmp_path, "m", prompt="Ivanov, secret project")
    assert "Ivanov" not in str(capabilities._facts)
