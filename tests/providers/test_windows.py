# ruff: noqa: E501  (a table of the sentences of real servers)
"""Messages fitted to what a model takes: as the operator says, or as refusals told."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.clients import windows
from pipeline.clients.chat import Chat
from pipeline.clients.providers import Unremembered
from pipeline.clients.transport import Transport
from pipeline.clients.windows import Window, fit
from pipeline.domain.errors import ProviderRefused
from pipeline.domain.job import Message
from pipeline.settings.portals import Provider

from .conftest import Asked, Scripted

SAID = {"choices": [{"message": {"content": "Well."}, "finish_reason": "stop"}]}
BEGIN, END = "BEGIN of the instructions.", "What was agreed? END"


def conversation(turns: int, words: int) -> tuple[Message, ...]:
    older = [
        Message(role=("user", "assistant")[i % 2], content=f"turn {i} " + "слово " * words)
        for i in range(turns)
    ]
    return (Message(role="system", content="Be brief."), *older, Message(role="user", content="And now?"))


LONG = Message(role="user", content=f"{BEGIN} " + "слово дело " * 20_000 + END)


def test_older_turns_go_first() -> None:
    """The role, the newest turns and the question stay; nothing of what stays is cut."""
    asked = conversation(20, 100)
    kept = fit(asked, Window(size=4000))
    assert kept[0] == asked[0]
    assert kept[-1] == asked[-1]
    assert tuple(kept[1:-1]) == asked[-len(kept) + 1 : -1]
    assert 3 < len(kept) < len(asked)
    assert sum(Window(size=4000).cost(m.content) for m in kept) <= 3000


@pytest.mark.parametrize("window", [Window(size=8000), Window(size=15_666, unit="symbol")])
def test_a_long_prompt_keeps_its_beginning_and_its_end(window: Window) -> None:
    """Instructions stand at the beginning, what was agreed and what is asked at the end."""
    (kept,) = fit([LONG], window)
    assert kept.content.startswith(BEGIN)
    assert kept.content.endswith(END)
    assert "[...]" in kept.content
    assert window.cost(kept.content) <= window.size
    assert window.cost(kept.content) > window.size // 2


def test_what_fits_is_left_alone() -> None:
    """To the letter."""
    asked = list(conversation(4, 10))
    assert fit(asked, Window(size=16_000)) == asked


OPENAI = (
    "This model's maximum context length is {size} tokens. However, your messages resulted in {used} tokens."
)
REFUSALS: dict[str, tuple[int, Any]] = {
    "openai": (400, {"error": {"code": "context_length_exceeded", "param": "messages", "message": OPENAI}}),
    "vllm": (400, {"object": "error", "code": 400, "message": "This model's maximum context"
    " length is {size} tokens. "
                   "However, you requested {used} tokens in the messages, Please reduce the length of the messages."}),
    "litellm": (400, {"error": {"param": None, "code": "400", "message":
                "litellm.ContextWindowExceededError: litellm.BadRequestError: OpenAIException - " + OPENAI}}),
    "anthropic": (400, {"type": "error", "error": {"type": "invalid_request_error", "message":
                  "prompt is too long: {used} tokens > {size} maximum"}}),
    "llama.cpp": (400, {"error": {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 1, "n_ctx": 1,
                  "message": "the request exceeds the available context size"}}),
    "the router, without a number": (413, {"error": {"code": "context_length_exceeded", "message": "too long"}}),
    "groq": (413, {"error": {"code": "request_too_large", "message": "Please reduce the length of the messages."}}),
    "a symbol limit": (400, {"success": False, "error": {"code": "invalid_request", "message":
                       "The prompt exceeds the limit of {size} characters"}}),
}  # fmt: skip


def filled(value: Any, **numbers: int) -> Any:
    if isinstance(value, str):
        return value.format(**numbers) if "{" in value else value
    if isinstance(value, dict):
        own = {"n_ctx": numbers["size"], "n_prompt_tokens": numbers["used"]}
        return {name: own.get(name, filled(item, **numbers)) for name, item in value.items()}
    return value


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_for_length_is_answered_by_less(
    name: str, server: Scripted, transport: Transport, capabilities: Unremembered
) -> None:
    """Within the same step, and the next question fits at once where the window was told."""
    status, body = REFUSALS[name]
    symbols = "symbol" in name
    size = 30_000 if symbols else 8000

    def count(asked: Asked) -> int:
        text = "".join(message["content"] for message in asked.json()["messages"])
        return len(text) if symbols else len(text) * 2 // 5

    def rule(asked: Asked) -> tuple[int, Any]:
        used = count(asked)
        return (200, SAID) if used <= size - 500 else (status, filled(body, size=size, used=used))

    server.rule = rule
    chat = Chat(server.provider("m"), transport, capabilities)
    raw = chat.ask((LONG,), model="m", fits=True)
    assert raw["fitted"]
    sent = server.asked[-1].json()["messages"][0]["content"]
    assert sent.startswith(BEGIN)
    assert sent.endswith(END)
    assert len(server.asked) <= 6
    assert count(server.asked[-1]) > size // 4
    if "without" not in name and name != "groq":
        before = len(server.asked)
        chat.ask((LONG,), model="m", fits=True)
        assert len(server.asked) - before <= 2


def test_without_leave_a_refusal_for_length_is_raised(
    server: Scripted, transport: Transport, capabilities: Unremembered
) -> None:
    """Who asks shortens in a better way, and is told the window."""
    server.answer(400, filled(REFUSALS["openai"][1], size=8000, used=99_999))
    server.answer(400, filled(REFUSALS["openai"][1], size=8000, used=99_999))
    chat = Chat(server.provider("m"), transport, capabilities)
    with pytest.raises(ProviderRefused) as caught:
        chat.ask((LONG,), model="m")
    assert caught.value.provider_code == "context_length_exceeded"
    assert chat.window("m") == Window(size=8000)


def test_the_operators_word_counts(
    server: Scripted, transport: Transport, capabilities: Unremembered
) -> None:
    """A window per model, in tokens or symbols; what is set is not learned otherwise."""
    own = ("a=9000 symbols", "16000")
    provider = Provider(url=server.url, key=None, models=("a", "b"), windows=own)
    chat = Chat(provider, transport, capabilities)
    assert chat.window("a") == Window(size=9000, unit="symbol")
    assert chat.window("b") == Window(size=16_000)
    server.answer(200, SAID)
    chat.ask((LONG,), model="a", fits=True)
    assert len(server.asked[0].json()["messages"][0]["content"]) <= 9000


@pytest.mark.parametrize(
    ("text", "window"),
    [("16000", Window(size=16_000)), ("16000 tokens", Window(size=16_000)), (None, None), ("many", None),
     ("15666 symbols", Window(size=15_666, unit="symbol"))],
)  # fmt: skip
def test_windows_are_written_and_read(text: str | None, window: Window | None) -> None:
    """What was written is read again."""
    assert windows.read(text) == window
    if window:
        assert windows.read(windows.write(window)) == window
