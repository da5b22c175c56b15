"""A paid call is one value: what is asked is what its answer is known by."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest

from pipeline.clients.transcriptions import Transcriptions
from pipeline.domain.job import JobId, PortalId, Step
from pipeline.domain.recording import Span, Stretch
from pipeline.steps.paid import PaidCall
from pipeline.steps.provider_steps import Asked, Drawing, Hearing, Scoring
from pipeline.steps.text_steps import Replying

OF_JOB: dict[str, Any] = {
    "portal": PortalId("acme"), "url": "https://e.example/v1", "model": "m", "job": JobId("job_a"),
    "step": Step("reply"),
}  # fmt: skip
SPAN = Span(start=0.0, end=1.0)
HEARING = Hearing(
    portal=PortalId("acme"), url="https://e.example/v1", model="m", sha256="0" * 64, channel=0, span=SPAN,
    stretches=(), hint="d", asked=Asked(language="en", prompt="w", temperature=None, speakers=False),
)  # fmt: skip
CALLS = [
    HEARING,
    Scoring(**OF_JOB, rubric=None, language="en", wrong=None),
    Replying(**OF_JOB, own_prompts=False, language="en", room=False, begun=None, wrong=None),
    Drawing(**OF_JOB, turn=0, number=1),
]
OTHER: dict[str, Any] = {
    "channel": 1, "span": Span(start=0.0, end=2.0), "stretches": (Stretch(at=0.0, span=SPAN),),
    "asked": replace(HEARING.asked, temperature=0.5), "wrong": ("answer", "why"), "own_prompts": True,
    "room": True, "turn": 1, "number": 2,
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS, ids=lambda call: type(call).__name__)
def test_every_field_of_a_paid_call_is_in_its_name(call: PaidCall) -> None:
    """Change any one of them, and it is another call."""
    assert replace(call).key == call.key
    for each in fields(call):
        if each.name == "rubric":
            continue  # of its own shape; the whole of it is taken
        changed = replace(call, **{each.name: OTHER.get(each.name, "another")})
        assert changed.key != call.key, each.name


def test_a_field_that_is_added_changes_the_name_and_reaches_the_client() -> None:
    """Nobody has to remember it in a second place."""

    @dataclass(frozen=True, kw_only=True)
    class Richer(Asked):
        diarize: bool = True

    richer = Richer(**vars(HEARING.asked))
    assert replace(HEARING, asked=richer).key != HEARING.key
    assert replace(HEARING, asked=replace(richer, diarize=False)).key != replace(HEARING, asked=richer).key
    taken = set(inspect.signature(Transcriptions.ask).parameters)
    assert set(vars(HEARING.asked)) <= taken
    assert "diarize" in vars(richer)  # and so among what the client is called with


def test_who_has_other_words_shares_what_was_heard_first() -> None:
    """The prompt is the job's own, the name the first job's."""
    other = replace(HEARING, asked=replace(HEARING.asked, prompt="other words"))
    assert other.key == HEARING.key
    assert replace(HEARING, hint="another").key != HEARING.key
