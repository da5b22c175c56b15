"""reply: a text request to the chat model."""

from __future__ import annotations

from typing import Any

from pipeline.clients.chat import TIMEOUT_SECONDS, Chat
from pipeline.domain.job import Message, Request
from pipeline.scoring.classify import Wrong
from pipeline.scoring.crm_step import crm_step
from pipeline.scoring.own_prompts import answer_schema, answer_tokens, own_prompt

GO_ON = (
    "Your answer was cut off. Go on exactly where it ended, in the same language and form, without repeating "
    "anything and without a word about this."
)
ROLES = ("system", "user", "assistant")
WRONG_CHARS = 16_000  # of an answer that is shown again


def reply(
    request: Request,
    *,
    chat: Chat,
    model: str | None,
    own_prompts: bool = False,
    language: str = "en",
    room: bool = False,
    begun: str | None = None,
    wrong: Wrong | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> dict[str, Any]:
    """The chat model's raw answer; `chat.read` takes the text from it.

    The portal's role is the system message, its context the turns before the prompt; the prompt goes as
    it was rendered, never the raw template. CRM's steps after a transcript are asked for in the form that
    the CRM reads, with room for all of it; own_prompts: and in our own words, since boxed portals send them
    without instructions. language: the portal's. room: without a limit of length, after an answer that it
    cut. begun: an answer that was cut without one, to be gone on with. wrong: an answer that the CRM could
    not read, and why. Raises ProviderRefused, ProviderAccount, ProviderUnavailable.
    """
    step = crm_step(request)
    messages = own_prompt(step, language) if step and own_prompts else _messages(request)
    if begun:
        messages = (*messages, Message(role="assistant", content=begun), Message(role="user", content=GO_ON))
    if wrong:
        answer, why = wrong
        again = f"This answer cannot be used: {why} Answer again, with the whole of it in the form asked for."
        messages = (
            *messages,
            Message(role="assistant", content=answer[:WRONG_CHARS] or "(nothing)"),
            Message(role="user", content=again),
        )
    needed = answer_tokens(step) if step else None
    limit = max(request.max_tokens or 0, needed or 0) or None
    return chat.ask(
        messages,
        model=model,
        schema=answer_schema(step) if step else None,
        as_json=needed is not None,
        max_tokens=None if room or begun else limit,
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
