"""Retry is a decision from an error and the record, nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.domain.errors import (
    CallscribeError,
    DownloadFailed,
    NotAudio,
    ProviderAccount,
    ProviderRefused,
    ProviderUnavailable,
)
from pipeline.domain.job import (
    Attempts,
    Category,
    Claim,
    Failure,
    Job,
    JobId,
    PortalId,
    Request,
    Source,
    Step,
)
from pipeline.steps.retry import Again, callback_at, decide

NOW = 1_000.0
JOB = Job(
    id=JobId("job_a"), portal=PortalId("acme"), category=Category.AUDIO, source=Source.ENGINE,
    accepted_at=NOW, deadline=NOW + 14_400, request=Request(),
)  # fmt: skip
CLAIM = Claim(
    job=JOB.id, step=Step("transcribe:0"), queue="upstream", portal=JOB.portal, fence="1", attempt=1, lost=0,
    deadline=JOB.deadline,
)  # fmt: skip


def decided(error: CallscribeError, *, job: Job = JOB, attempt: int = 1, now: float = NOW) -> Again | Failure:
    """The decision with an hour of patience for a refused account."""
    return decide(error, job=job, claim=replace(CLAIM, attempt=attempt), now=now, hold_seconds=3600)


@pytest.mark.parametrize("error", [NotAudio("x"), ProviderRefused("x")])
def test_permanent_errors_fail_at_once(error: CallscribeError) -> None:
    """What can never be served is not tried again, and keeps its code and words."""
    failure = decided(error)
    assert isinstance(failure, Failure)
    assert (failure.slug, failure.code, failure.message) == (error.slug, error.code, "x")


def test_transient_errors_wait_longer_each_time_and_never_beyond_the_reserve() -> None:
    """Gaps grow to a minute; the last try comes just before the reserve, and then it is over."""
    gaps = [decided(DownloadFailed("x"), attempt=n) for n in (1, 3, 7, 50)]
    assert all(isinstance(gap, Again) for gap in gaps)
    seconds = [gap.at - NOW for gap in gaps if isinstance(gap, Again)]
    assert 0.7 <= seconds[0] <= 1.3
    assert seconds[0] < seconds[1] < seconds[2]
    assert 45 <= seconds[3] <= 75
    last = JOB.deadline - JOB.reserve
    near = decided(DownloadFailed("x"), attempt=50, now=last - 10)
    assert isinstance(near, Again)
    assert near.at == last - 1
    assert isinstance(decided(DownloadFailed("x"), attempt=50, now=last - 0.5), Failure)


def test_what_the_provider_asks_for_is_obeyed() -> None:
    """Retry-After is the least that is waited."""
    again = decided(ProviderUnavailable("x", retry_after_seconds=42))
    assert isinstance(again, Again)
    assert NOW + 42 <= again.at <= NOW + 43.5


def test_calls_that_may_have_been_paid_are_capped() -> None:
    """After four answers lost in the network the job fails rather than paying on."""
    lost = ProviderUnavailable("x", ambiguous=True)
    first = decided(lost)
    assert isinstance(first, Again)
    assert first.ambiguous
    often = replace(JOB, attempts={CLAIM.step: Attempts(ambiguous=4)})
    assert isinstance(decided(lost, job=often), Failure)


def test_a_refused_account_holds_calls_and_fails_text_at_once() -> None:
    """Audio waits for the operator, one probe a minute, for the time set; a person is not kept waiting."""
    refused = ProviderAccount("x")
    again = decided(refused)
    assert isinstance(again, Again)
    assert again.held
    assert again.at == NOW + 60
    assert isinstance(decided(refused, job=replace(JOB, held_since=NOW - 3_601)), Failure)
    assert isinstance(decided(refused, job=replace(JOB, category=Category.TEXT)), Failure)


def test_an_unforeseen_error_is_tried_three_times() -> None:
    """A bug of ours does not spin."""
    error = CallscribeError("KeyError in merge")
    tries = [
        decide(error, job=JOB, claim=replace(CLAIM, attempt=n), now=NOW, hold_seconds=0, unexpected=True)
        for n in (1, 2, 3)
    ]
    assert [isinstance(each, Again) for each in tries] == [True, True, False]


def test_after_the_callback_nobody_waits_for_the_score() -> None:
    """A score that follows in the timeline may be tried beyond the deadline."""
    sent = replace(JOB, facts={"callback": {"accepted": True}})
    again = decided(DownloadFailed("x"), job=sent, now=JOB.deadline + 5)
    assert isinstance(again, Again)


def test_callbacks_follow_their_gaps_and_end_with_one_last_try() -> None:
    """0, 2, 5, 15, 30, 60 s, then 60-120 s, and once more 3 s before the deadline."""
    deadline = NOW + 10_000
    gaps = [(callback_at(n, begun=NOW, now=NOW, deadline=deadline) or 0) - NOW for n in range(7)]
    assert gaps[:6] == [0, 2, 5, 15, 30, 60]
    assert 60 <= gaps[6] <= 120
    assert callback_at(9, begun=deadline - 20, now=deadline - 20, deadline=deadline) == deadline - 3
    assert callback_at(9, begun=deadline - 6, now=deadline - 2, deadline=deadline) == deadline - 2
    assert callback_at(9, begun=deadline - 3, now=deadline - 2, deadline=deadline) is None
