"""reply: a text request to the chat model."""

from __future__ import annotations

from typing import Any

from pipeline.clients.chat import TIMEOUT_SECONDS, Chat
from pipeline.domain.job import Message, Request
from pipeline.scoring.own_prompts import own_prompt

GO_ON = (
    "Your answer was cut off. Go on exactly where it ended, in the same language and form, without repeating "
    "anything and without a word about this."
)
ROLES = ("system", "user", "assistant")


def reply(
    request: Request,
    *,
    chat: Chat,
    model: str | None,
    own_prompts: bool = False,
    language: str = "en",
    room: bool = False,
    begun: str | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> dict[str, Any]:
    """The chat model's raw answer; `chat.read` takes the text from it.

    The portal's role is the system message, its context the turns before the prompt; the prompt goes as
    it was rendered, never the raw template. own_prompts: CRM's steps after a transcript are asked for in
    our own words, since boxed portals send them without instructions. language: the portal's. room: without
    the request's limit of length, after an answer that it cut. begun: an answer that was cut without one, to
    be gone on with. Raises ProviderRefused, ProviderAccount, ProviderUnavailable.
    """
    own = own_prompt(request, language) if own_prompts else None
    if own:
        messages, as_json = own.messages, own.as_json
    else:
        messages, as_json = _messages(request), False
    if begun:
        messages = (*messages, Message(role="assistant", content=begun), Message(role="user", content=GO_ON))
    return chat.ask(
        messages,
        model=model,
        as_json=as_json,
        max_tokens=None if room or begun else request.max_tokens,
        fits=True,
        temperature=request.temperature,
        timeout_seconds=timeout_seconds,
    )


def _messages(request: Request) -> tuple[Message, ...]:
    role = (Message(role="system", content=request.role),) if request.role else ()
    context = tuple(
        Message(role=turn.role if turn.role in ROLES else "user", content=turn.content)
        for turn in request.context
    )
    return (*role, *context, Message(role="user", content=request.prompt or ""))
