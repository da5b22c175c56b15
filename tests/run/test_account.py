"""A provider that refuses the account, and comes back, on a real store."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.domain.errors import ProviderAccount, ProviderUnavailable
from pipeline.domain.job import Category, Claim, Due, Job, PortalId, Request, Source, Step
from pipeline.run.attempt import Attempt
from pipeline.run.runner import Runner
from pipeline.settings.installation import Settings
from pipeline.steps.paid import PaidCall, buy
from pipeline.steps.provider_steps import OfJob
from pipeline.steps.tools import Result, Snooze, Tools, open_tools
from pipeline.store import fields_of, job_id

REFUSED = "The provider answered 401."


@pytest.fixture
def opened(valkey: str, tmp_path: Path) -> Iterator[list[Tools]]:
    """Tools of one installation: patient for an hour, and not patient at all."""
    made = []
    for hold in (3600.0, 0.0):
        settings = Settings(
            _env_file=None, redis_url=valkey, storage_url=tmp_path.as_uri(), account_hold_seconds=hold,
            transcription_model="a/b",
        )  # fmt: skip
        made.append(open_tools(settings))
    yield made
    for tools in made:
        tools.close()


def a_claim(
    tools: Tools, number: int, category: Category = Category.AUDIO, step: str | None = None
) -> tuple[Job, Claim]:
    """A new job and its one step, claimed."""
    now = tools.store.now()
    step = Step(step or ("transcribe:0" if category.spoken else "reply"))
    job = Job(
        id=job_id("portal", str(number)), portal=PortalId("portal"), category=category, source=Source.ENGINE,
        accepted_at=now, deadline=now + 3600, request=Request(),
    )  # fmt: skip
    tools.store.accept(job, (Due(step=step, queue="upstream"),), fields_of(job), 100)
    claim = tools.store.claim("upstream", "node:task", lease_seconds=30)
    assert claim is not None
    assert claim.job == job.id
    return job, claim


def a_call(model: str | None, claim: Claim) -> OfJob:
    """A call that is paid for in its job."""
    return OfJob(portal=claim.portal, url="https://e.example", model=model, job=claim.job, step=claim.step)


def ask(tools: Tools, job: Job, claim: Claim, *, refused: bool, until: float | None = math.inf) -> Any:
    """One paid call to a provider that refuses the account, or does not."""

    def answer(one: PaidCall, seconds: float) -> dict[str, Any]:
        if refused:
            raise ProviderAccount(REFUSED, http_status=401)
        body = {"text": "served", "usage": {"type": "tokens", "input_tokens": 40, "output_tokens": 8}}
        return {"status": 200, "body": json.dumps(body)}

    provider = tools.portals[PortalId("portal")].transcription
    return buy(
        tools, job, claim, provider, call=lambda model: a_call(model, claim), ask=answer,
        read=lambda raw: json.loads(raw["body"])["text"], until=until, seconds=30,
    )  # fmt: skip


def test_who_cannot_wait_asks_the_provider_itself(opened: list[Tools]) -> None:
    """Without patience, at its end and for text, one refusal does not answer for the next request."""
    patient, impatient = opened
    job, claim = a_claim(impatient, 1)
    with pytest.raises(ProviderAccount, match=REFUSED):
        ask(impatient, job, claim, refused=True)
    job, claim = a_claim(impatient, 2)
    assert ask(impatient, job, claim, refused=False) == "served"
    job, claim = a_claim(patient, 3)
    with pytest.raises(ProviderAccount, match=REFUSED):
        ask(patient, job, claim, refused=True)
    with pytest.raises(ProviderAccount, match="refuses the account"):
        ask(patient, job, claim, refused=False)  # held: one probe a minute
    over = replace(job, held_since=patient.store.now() - 3601)
    assert ask(patient, over, claim, refused=False) == "served"
    job, claim = a_claim(patient, 4, Category.TEXT)
    assert ask(patient, job, claim, refused=False) == "served"


def test_a_key_without_the_scope_of_one_kind_of_work_holds_no_other(opened: list[Tools]) -> None:
    """A refused score leaves recognition alone, though both use the same key."""
    patient, _ = opened
    job, claim = a_claim(patient, 1, step="classify")
    with pytest.raises(ProviderAccount):
        ask(patient, job, claim, refused=True)
    job, claim = a_claim(patient, 2)
    assert ask(patient, job, claim, refused=False) == "served"


def test_what_is_paid_is_counted_by_model_and_once(opened: list[Tools]) -> None:
    """The answer that is there already costs nothing; what was refused costs nothing."""
    patient, _ = opened
    job, claim = a_claim(patient, 1)
    with pytest.raises(ProviderAccount):
        ask(patient, job, claim, refused=True)
    job, claim = a_claim(patient, 2, Category.TEXT)
    for _ in range(2):
        assert ask(patient, job, claim, refused=False) == "served"
    paid = {"paid_calls": 1, "paid_seconds": 30, "prompt_tokens": 40, "completion_tokens": 8}
    counted = patient.store.usage.by_model(PortalId("portal"))
    assert counted["a/b"] == paid
    assert counted[""] == {"reserved_seconds": 30}
    assert patient.store.usage.of(PortalId("portal")) == {**paid, "reserved_seconds": 30}


def test_nothing_is_paid_in_the_reserve(opened: list[Tools]) -> None:
    """A step that is claimed so late waits for the end of its job, and asks nobody."""
    patient, _ = opened
    job, claim = a_claim(patient, 1)
    late = replace(job, deadline=patient.store.now() + 2.0)
    with pytest.raises(Snooze, match="reserve"):
        ask(patient, late, claim, refused=False, until=None)
    assert "paid_calls" not in patient.store.usage.of(PortalId("portal"))


def test_a_model_that_asks_for_long_patience_is_passed_over_at_once(opened: list[Tools]) -> None:
    """Retry-After of a day: the fallback is asked now, not after a try that never comes."""
    patient, _ = opened
    job, claim = a_claim(patient, 1)
    provider = replace(patient.portals[PortalId("portal")].transcription, models=("busy", "free"))
    asked: list[str | None] = []

    def answer(one: PaidCall, seconds: float) -> dict[str, Any]:
        asked.append(one.model)
        if one.model == "busy":
            raise ProviderUnavailable("slow down", http_status=429, retry_after_seconds=86_400.0)
        return {"status": 200, "body": "{}"}

    call = lambda model: a_call(model, claim)  # noqa: E731
    buy(patient, job, claim, provider, call=call, ask=answer, read=lambda raw: raw)
    assert asked == ["busy", "free"]


def test_a_hold_begins_anew_after_the_account_has_served(opened: list[Tools]) -> None:
    """What was held for most of its hour once, and served, may be held for a whole hour again."""
    patient, _ = opened
    job, claim = a_claim(patient, 1)
    patient.store.defer(claim, at=0.0, first={"held_since": "1000.0"})
    patient.store.tick()
    claim = patient.store.claim("upstream", "node:task", lease_seconds=30) or claim
    held = patient.store.load(job.id)
    assert held.held_since == 1000.0
    served = Result(facts={claim.step: {"text": "hello"}})
    Runner(patient)._commit(held, Attempt(claim), served)
    assert patient.store.load(job.id).held_since is None


def test_half_a_surrogate_pair_harms_no_record(opened: list[Tools]) -> None:
    """A model's answer may hold what UTF-8 cannot: it is kept with a mark in its place."""
    patient, _ = opened
    job, claim = a_claim(patient, 1, Category.TEXT)
    broken = json.loads('"dear \\ud83d friend"')
    Runner(patient)._commit(job, Attempt(claim), Result(facts={claim.step: {"text": broken}}))
    assert patient.store.load(job.id).facts[claim.step]["text"] == "dear \ufffd friend"
