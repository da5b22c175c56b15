"""Chat: `POST {provider}/chat/completions`, in the shape of the OpenAI API and its dialects.

`Chat.ask` brings the raw answer, which is stored as it came; `read` is pure and can be done again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog

from pipeline.clients import windows
from pipeline.clients.dialect import Rung, Variant
from pipeline.clients.insides import answer_only
from pipeline.clients.messages import Body
from pipeline.clients.providers import DAY_SECONDS, Caller, Capabilities, amounts, body_object, raw_answer
from pipeline.clients.refusals import Names, Refusal
from pipeline.clients.transport import Answer, Transport
from pipeline.domain.errors import BadAnswer, UnusableAnswer
from pipeline.domain.job import Message, Reply
from pipeline.settings.portals import Provider

log = structlog.get_logger(__name__)

WORK = "chat"
ROLES = "message roles"  # a wish like the fields, though it is none: which roles the messages have
TIMEOUT_SECONDS = 300.0

_LIMIT = Names(
    fields=("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "maxOutputTokens"),
    words=r"max(?:imum)?[ _-](?:completion[ _-]|output[ _-]|new[ _-])?tokens|maxOutputTokens",
)
_TEMPERATURE = Names(fields=("temperature",))
_FORM = Names(
    fields=("response_format", "json_schema", "json_object", "schema", "structured_outputs", "guided_json"),
    words=r"response[ _-]?format|json[ _-]?(?:schema|object|mode)|structured[ _-]outputs?"
    r"|additionalProperties",
)
_STREAM = Names(fields=("stream",), words=r"\bstream(?:ing)?\b")
_ROLES = Names(
    fields=("role", "roles", "system"),
    words=r"(?:system|developer)[\"'`]?\s+(?:role|message|prompt|instruction)|roles? must alternate"
    r"|only .{0,30}roles|system role",
)
_CUT = frozenset(
    {"length", "max_tokens", "model_length", "max_output_tokens", "max_completion_tokens", "incomplete"}
)
_FILTERED = frozenset(
    {"content_filter", "safety", "recitation", "blocklist", "prohibited_content", "spii", "refusal",
     "sensitive", "content_filtered", "guardrail", "guardrail_intervened", "image_safety"}
)  # fmt: skip
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought")
_THINKING_PARTS = frozenset({"thinking", "reasoning", "thought", "redacted_thinking", "tool_use", "refusal"})


class Chat:
    """A chat model behind an OpenAI-compatible API."""

    def __init__(self, provider: Provider, transport: Transport, capabilities: Capabilities) -> None:
        self._caller = Caller(provider, transport, capabilities)

    def window(self, model: str | None) -> windows.Window | None:
        """How much the model takes: as the operator says, else as its refusals told; None: unknown."""
        said = dict(entry.rpartition("=")[::2] for entry in self._caller.provider.windows)
        own = said.get(model or "") or said.get("")
        return windows.read(own or self._caller.recall(model, windows.FACT))

    def ask(
        self,
        messages: Sequence[Message],
        *,
        model: str | None,
        schema: Mapping[str, Any] | None = None,
        as_json: bool = False,
        max_tokens: int | None = None,
        temperature: float | None = None,
        fits: bool = False,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> dict[str, Any]:
        """One question; returns the raw answer.

        schema: a JSON schema that the answer has to follow, asked for as `json_schema`, else as
        `json_object`, else in words alone. as_json: any JSON object. What a refusal does not take is renamed,
        clamped or left out. fits: messages that are longer than the model's window are cut to it, older
        turns first (see `windows.fit`); without it a refusal for length is raised.
        Raises ProviderRefused, ProviderAccount, ProviderUnavailable.
        """
        shown = list(messages)
        window = self.window(model) if fits else None
        if window:
            shown = windows.fit(shown, window, reply_tokens=max_tokens)

        def refit(refusal: Refusal) -> bool:
            nonlocal shown
            told = windows.of_refusal(refusal)
            if told is None:
                return False
            if told.window:
                self._caller.remember(model, windows.FACT, windows.write(told.window), seconds=DAY_SECONDS)
            if not fits:
                return False
            before, shown = shown, windows.shorter(shown, told, reply_tokens=max_tokens)
            return shown != before

        def send(body: Mapping[str, Any], seconds: float) -> Answer:
            fields = {name: value for name, value in body.items() if name != ROLES}
            fields["messages"] = _plain(shown, body[ROLES])
            return self._caller.post(
                "/chat/completions", model, body=Body(json=fields), timeout_seconds=seconds
            )

        text = json.dumps([(m.role, m.content) for m in messages], ensure_ascii=False)
        sent, answer = self._caller.ask(
            WORK,
            model,
            _rungs(schema=schema, as_json=as_json, max_tokens=max_tokens, temperature=temperature),
            lambda: {"model": model} if model else {},
            send,
            content=hashlib.sha256(text.encode()).hexdigest(),
            timeout_seconds=timeout_seconds,
            refit=refit,
        )
        form = sent.get("response_format", {}).get("type", "plain")
        is_fitted = [m.content for m in shown] != [m.content for m in messages]
        if is_fitted:
            left = sum(len(m.content) for m in shown) / max(1, sum(len(m.content) for m in messages))
            log.warning("messages_fitted_to_window", model=model, left=round(left, 2))
        return raw_answer(answer, model=model, form=form) | {"fitted": is_fitted}


def read(raw: Mapping[str, Any]) -> Reply:
    """A stored answer as a Reply with its tokens, free of the model's insides.

    An answer that reached its limit is marked as cut, and may be empty. Raises UnusableAnswer for what the
    same question would bring again (a refusal, a content filter), BadAnswer for what it may not.
    """
    body = body_object(raw)
    choice = _choice(body)
    finish = _finish(body, choice)
    message = choice.get("message")
    message = message if isinstance(message, dict) else {"content": message}
    if finish in _FILTERED:
        raise UnusableAnswer(
            f"The chat model's content filter ended the answer ({finish}).", http_status=raw["status"]
        )
    text = answer_only(_content(message, body, choice))
    is_cut = finish in _CUT
    if not text and not is_cut:
        text = _elsewhere(message)
    if not text and not is_cut:
        if message.get("refusal") or _has_part(message, "refusal"):
            raise UnusableAnswer("The chat model refuses to answer.", http_status=raw["status"])
        known = finish if finish in ("tool_calls", "function_call", "stop", "error") else "no reason given"
        raise BadAnswer(f"The chat model's answer holds no text ({known}).", http_status=raw["status"])
    took = amounts(raw)
    model = body.get("model")
    return Reply(
        text=text,
        is_cut=is_cut,
        model=model if isinstance(model, str) else raw.get("model"),
        asked=raw.get("model"),
        prompt_tokens=took["prompt_tokens"],
        completion_tokens=took["completion_tokens"],
    )


def _choice(body: Mapping[str, Any]) -> dict[str, Any]:
    """The first answer of a body, whichever interface it came from, as a choice of chat completions."""
    choices = body.get("choices")
    if isinstance(choices, list) and choices:
        choice = choices[0] if isinstance(choices[0], dict) else {}
        if not choice.get("message") and isinstance(choice.get("delta"), dict):
            return {**choice, "message": choice["delta"]}
        if not choice.get("message") and isinstance(choice.get("text"), str):
            return {**choice, "message": {"content": choice["text"]}}
        return dict(choice)
    if (
        isinstance(body.get("candidates"), list)
        and body["candidates"]
        and isinstance(body["candidates"][0], dict)
    ):
        first = body["candidates"][0]
        content = first.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        return {"message": {"content": parts}, "finish_reason": first.get("finishReason")}
    if isinstance(body.get("output"), list):  # the Responses interface
        parts = [p for item in body["output"] if isinstance(item, dict) for p in _parts(item.get("content"))]
        return {"message": {"content": parts}, "finish_reason": body.get("status")}
    finish = body.get("stop_reason") or body.get("done_reason")
    content = body.get("content")
    if isinstance(content, list) or (content and body.keys() & {"role", "stop_reason"}):
        return {"message": {"content": content}, "finish_reason": finish}
    if text := next((body[name] for name in ("output_text", "response", "text") if body.get(name)), None):
        return {"message": {"content": text}, "finish_reason": finish}
    message = body.get("message")  # as text it would be a gateway's word, not a model's
    return {"message": message if isinstance(message, dict) else {}, "finish_reason": finish}


def _finish(body: Mapping[str, Any], choice: Mapping[str, Any]) -> str:
    details = body.get("incomplete_details")
    if isinstance(details, dict) and isinstance(details.get("reason"), str):
        return str(details["reason"]).casefold()
    for name in ("finish_reason", "stop_reason", "native_finish_reason"):
        if isinstance(choice.get(name), str):
            return str(choice[name]).casefold()
    return ""


def _parts(content: Any) -> Iterable[Any]:
    return content if isinstance(content, list) else () if content is None else (content,)


def _content(message: Mapping[str, Any], body: Mapping[str, Any], choice: Mapping[str, Any]) -> str:
    found = []
    for part in _parts(message.get("content")):
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, dict) and part.get("type") not in _THINKING_PARTS and not part.get("thought"):
            text = part.get("text")
            text = text.get("value") if isinstance(text, dict) else text
            if isinstance(text, str):
                found.append(text)
            elif isinstance(part.get("json"), dict):
                found.append(json.dumps(part["json"], ensure_ascii=False))
    if isinstance(message.get("content"), dict):
        inner = message["content"]
        text = inner.get("text") or inner.get("content")
        found = [text if isinstance(text, str) else json.dumps(inner, ensure_ascii=False)]
    return "".join(found)


def _elsewhere(message: Mapping[str, Any]) -> str:
    """The answer where a finished message has no content: as the arguments of a call, parsed, or where a
    server's reasoning parser put all that the model wrote."""
    if isinstance(message.get("parsed"), dict):
        return json.dumps(message["parsed"], ensure_ascii=False)
    calls = message.get("tool_calls")
    call = calls[0] if isinstance(calls, list) and calls and isinstance(calls[0], dict) else {}
    for function in (call.get("function"), message.get("function_call")):
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if isinstance(arguments, dict):
            return json.dumps(arguments, ensure_ascii=False)
        if isinstance(arguments, str) and arguments.strip() not in ("", "{}"):
            return arguments.strip()
    if calls:
        return ""
    for name in ("text", "output_text", "answer"):
        if isinstance(message.get(name), str) and (text := answer_only(message[name])):
            return text
    thoughts = [message[name] for name in _THOUGHTS if isinstance(message.get(name), str)]
    thoughts += [
        str(part.get("text") or part.get("thinking") or "")
        for part in _parts(message.get("content"))
        if isinstance(part, dict) and part.get("type") in ("thinking", "reasoning")
    ]
    return next((text for thought in thoughts if (text := answer_only(thought))), "")


def _has_part(message: Mapping[str, Any], kind: str) -> bool:
    return any(isinstance(part, dict) and part.get("type") == kind for part in _parts(message.get("content")))


def _rungs(
    *, schema: Mapping[str, Any] | None, as_json: bool, max_tokens: int | None, temperature: float | None
) -> tuple[Rung, ...]:
    """What is optional of a question, what may be spared most easily first."""
    schemas: tuple[Variant, ...] = ({},)
    if schema:
        named = {"name": "answer", "strict": True, "schema": dict(schema)}
        schemas = ({"response_format": {"type": "json_schema", "json_schema": named}},)
    if schema or as_json:
        schemas = (*(schemas if schema else ()), {"response_format": {"type": "json_object"}}, {})
    heat: tuple[Variant, ...] = ({"temperature": temperature}, {}) if temperature is not None else ({},)
    limits: tuple[Variant, ...] = ({"max_tokens": max_tokens}, {"max_completion_tokens": max_tokens}, {})
    return (
        Rung(name="stream", variants=({"stream": False}, {}), names=_STREAM),
        Rung(name="temperature", variants=heat, names=_TEMPERATURE, number=True),
        Rung(name="limit", variants=limits if max_tokens is not None else ({},), names=_LIMIT, number=True),
        Rung(name="response_format", variants=schemas, names=_FORM),
        Rung(name="roles", variants=({ROLES: "all"}, {ROLES: "user"}), names=_ROLES, optional=False),
    )  # fmt: skip


def _plain(messages: Sequence[Message], roles: str) -> list[dict[str, str]]:
    """Messages as they are sent; where a model knows no system role, its words stand before the user's."""
    if roles == "all":
        return [{"role": m.role, "content": m.content} for m in messages]
    sent: list[dict[str, str]] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        if sent and sent[-1]["role"] == role:
            sent[-1]["content"] += "\n\n" + message.content
        elif sent or role == "user":
            sent.append({"role": role, "content": message.content})
        else:
            sent.append({"role": "user", "content": f"(You said before:)\n{message.content}"})
    return sent
