"""Chat: `POST {provider}/chat/completions`, in the shape of the OpenAI API.

`Chat.ask` brings the raw answer, which is stored as it came; `read` is pure and can be done again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.clients.providers import (
    FORM_REFUSED,
    Caller,
    Capabilities,
    amounts,
    body_object,
    raw_answer,
    refused_parameter,
)
from pipeline.clients.transport import Answer, Transport
from pipeline.domain.errors import BadAnswer
from pipeline.domain.job import Message, Reply
from pipeline.settings.portals import Provider

SCHEMA_FORMS = ("json_schema", "json_object", "plain")
PARAMETERS = ("max_tokens", "temperature")  # newer models take another name, or none but their own value
TIMEOUT_SECONDS = 300.0


class Chat:
    """A chat model behind an OpenAI-compatible API."""

    def __init__(self, provider: Provider, transport: Transport, capabilities: Capabilities) -> None:
        self._caller = Caller(provider, transport, capabilities)

    def ask(
        self,
        messages: Sequence[Message],
        *,
        model: str | None,
        schema: Mapping[str, Any] | None = None,
        as_json: bool = False,
        max_tokens: int | None = None,
        temperature: float | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> dict[str, Any]:
        """One question; returns the raw answer.

        schema: a JSON schema that the answer has to follow, asked for as `json_schema`, on a 400 as
        `json_object`, then in words alone (and then without a temperature of ours). as_json: any JSON
        object. A 400 that names `max_tokens` or `temperature` as the parameter it does not take is asked
        again without it. Raises ProviderRefused, ProviderAccount, ProviderUnavailable.
        """
        forms = SCHEMA_FORMS if schema else SCHEMA_FORMS[1:] if as_json else SCHEMA_FORMS[2:]
        unwanted = {name for name in PARAMETERS if self._caller.recall(model, name) == "no"}

        def body(form: str) -> dict[str, Any]:
            content: dict[str, Any] = {"messages": [{"role": m.role, "content": m.content} for m in messages]}
            if model:
                content["model"] = model
            if max_tokens is not None:
                name = "max_completion_tokens" if "max_tokens" in unwanted else "max_tokens"
                content[name] = max_tokens
            ours = schema is not None and form == "plain"
            if temperature is not None and not ours and "temperature" not in unwanted:
                content["temperature"] = temperature
            if form == "json_schema":
                named = {"name": "answer", "strict": True, "schema": schema}
                content["response_format"] = {"type": form, "json_schema": named}
            elif form == "json_object":
                content["response_format"] = {"type": form}
            return content

        def send(form: str, seconds: float) -> Answer:
            while True:
                content = body(form)
                answer = self._caller.post("/chat/completions", json=content, timeout_seconds=seconds)
                refused = refused_parameter(answer) if answer.status in FORM_REFUSED else None
                if refused not in PARAMETERS or refused not in content:
                    return answer
                unwanted.add(refused)
                self._caller.remember(model, refused, "no")

        form, answer = self._caller.climb_down(
            model, f"chat_form:{forms[0]}", forms, send, timeout_seconds=timeout_seconds
        )
        return raw_answer(answer, model=model, form=form)


def read(raw: Mapping[str, Any]) -> Reply:
    """A stored answer as a Reply with its tokens; raises BadAnswer when it holds no text.

    A leading `<think>` block, which some open models send along, is not part of the answer.
    """
    body = body_object(raw)
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):  # parts, as newer servers send them
        content = "".join(
            part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    text = re.sub(r"^\s*<think>.*?</think>", "", content, flags=re.S).strip() if content else ""
    if not text:
        why = choice.get("finish_reason") if isinstance(choice, dict) else None
        known = why if why in ("length", "content_filter", "tool_calls", "stop") else "no reason given"
        raise BadAnswer(f"The chat model's answer holds no text ({known}).", http_status=raw["status"])
    took = amounts(raw)
    model = body.get("model")
    return Reply(
        text=text,
        model=model if isinstance(model, str) else raw.get("model"),
        prompt_tokens=took["prompt_tokens"],
        completion_tokens=took["completion_tokens"],
    )
