"""classify: a transcript to the chat model, which says what the lead is worth."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pipeline.clients.chat import Chat
from pipeline.domain.errors import BadAnswer, ProviderRefused
from pipeline.domain.job import Reply
from pipeline.domain.lead import Lead
from pipeline.domain.transcript import Transcript
from pipeline.scoring import question
from pipeline.scoring.fit import MAX_CHARS
from pipeline.scoring.lead import read_lead
from pipeline.scoring.rubric import Rubric

TIMEOUT_SECONDS = 60.0
SHORTER_CHARS = (MAX_CHARS, 36_000, 12_000)  # the last fits 8,000 tokens of Russian with the question
QUESTION_TOKENS = 1200  # with a rubric of some criteria
Wrong = tuple[str, str]  # an answer that could not be used, and why
TOO_LONG = ("context_length_exceeded", "string_above_max_length", "request_too_large", "invalid_request")


def scored(
    transcript: Transcript,
    rubric: Rubric | None,
    *,
    language: str,
    ask: Callable[[Wrong | None], Reply],
) -> tuple[Lead, Reply]:
    """What the lead is worth by a model's answer, and that answer: one question, at most one repair.

    ask: puts the question of `classify`, with what was wrong before. Raises BadAnswer where the repaired
    answer cannot be used either, and what ask raises.
    """
    reply = ask(None)
    try:
        return read_lead(reply.text, transcript, rubric, language=language), reply
    except BadAnswer as error:
        reply = ask((reply.text, error.message))
    return read_lead(reply.text, transcript, rubric, language=language), reply


def classify(
    transcript: Transcript,
    rubric: Rubric | None,
    *,
    chat: Chat,
    model: str | None,
    language: str = "en",
    wrong: Wrong | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> dict[str, Any]:
    """The chat model's raw answer; `chat.read` and `scored` make a Lead of it.

    language: of the reason, ISO 639-1. wrong: an answer that could not be used and why (the message of
    BadAnswer): the one repair attempt. A long transcript that the model refuses (400, 413: not served, not
    paid) is asked again shorter, see `scoring.fit`. timeout_seconds bounds all of it.
    Raises ProviderRefused, ProviderAccount, ProviderUnavailable.
    """
    ends_at = time.monotonic() + timeout_seconds
    length = len(transcript.text)
    window = chat.window(model)
    most = min(MAX_CHARS, window.characters(besides_tokens=QUESTION_TOKENS)) if window else MAX_CHARS
    allowances = [most, *(chars for chars in SHORTER_CHARS[1:] if chars < min(length, most))]
    for max_chars in allowances:
        if wrong:
            answer, error = wrong
            asked = question.repair_messages(
                transcript, rubric, language, answer=answer, error=error, max_chars=max_chars
            )
        else:
            asked = question.messages(transcript, rubric, language, max_chars=max_chars)
        try:
            return chat.ask(
                asked,
                model=model,
                schema=question.schema(rubric),
                temperature=0.0,
                timeout_seconds=max(1.0, ends_at - time.monotonic()),
            )
        except ProviderRefused as error:
            shorter_may_help = error.http_status == 413 or error.provider_code in TOO_LONG
            if max_chars == allowances[-1] or not shorter_may_help:
                raise
    raise AssertionError("the last allowance returns or raises")
