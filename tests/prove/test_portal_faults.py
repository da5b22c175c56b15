"""The portal is down, late, forgetful, or says no."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.faults.harness import Service, each

CALLBACK = "/callback"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One service for all of these."""
    with Service() as running:
        running.start()
        yield running


def test_a_portal_that_is_down_until_ten_seconds_before_the_deadline_is_served(service: Service) -> None:
    """Whatever the breaker thinks, the last attempts come within these ten seconds."""
    ttl = 40
    down = service.fault(CALLBACK, status=503, times=None)
    begun = time.monotonic()
    jobs = service.calls(12, ttl=ttl)
    time.sleep(max(0.0, ttl - 10 - (time.monotonic() - begun)))
    assert down.seen >= 12 or down.seen >= 5  # the breaker spares a dead host
    service.mend(down)
    service.settle(30)
    assert all(job.outcome == "success" for job in jobs), service.outcomes()
    assert all((job.finished_at or 0) < job.sent_at + ttl for job in jobs)
    service.check()


def test_a_dead_portal_holds_up_no_other(service: Service) -> None:
    """While one host's callbacks hang, another's come at once."""
    late = service.fault("/error-callback", delay_seconds=8.0, times=None)
    refused = [service.call(prompt={"file": "{missing}", "fields": []}) for _ in range(12)]
    quick = service.calls(4)
    service.until(lambda: all(job.outcome for job in quick), 20, "the others are served")
    service.mend(late)
    service.settle(90)
    assert all(job.outcome == "error" for job in refused)
    service.check(success=False, repeated=sum(len(job.callbacks) - 1 for job in service.jobs))


def test_answers_to_callbacks_are_lost(service: Service) -> None:
    """Taken, and the answer never came: repetitions are refused for half a minute, which is the proof."""
    before = sum(len(job.callbacks) - 1 for job in service.jobs)
    for reset in ("after", "midway", "after", "midway"):
        service.fault(CALLBACK, reset=reset, times=1)
    service.calls(4)
    service.settle(90)
    service.check(success=False, repeated=before + 4 * 4)


def test_a_portal_says_no_before_it_says_yes(service: Service) -> None:
    """200 with an error in its body is a refusal, and so is 500; the same outcome is sent again."""
    before = sum(len(job.callbacks) - 1 for job in service.jobs)
    service.fault(CALLBACK, status=200, body={"status": "error", "errors": [{"message": "busy"}]}, times=3)
    service.fault(CALLBACK, status=500, times=2)
    service.fault(CALLBACK, status=302, headers={"location": "https://example.com/"}, times=1)
    service.fault(CALLBACK, reset="before", times=1)
    jobs = service.calls(5)
    service.settle(90)
    assert all(job.outcome == "success" for job in jobs)
    service.check(success=False, repeated=before)


def test_the_answer_to_a_timeline_entry_is_lost(service: Service) -> None:
    """The entry is looked for before it is written again: each call has one."""
    for reset in ("after", "midway", "before"):
        service.fault("/v1/timeline-logs", method="POST", reset=reset, times=1)
    service.fault("/v1/timeline-logs", method="POST", status=503, times=1)
    each(range(6), lambda _: service.file())
    service.settle(90)
    service.check(success=False, repeated=sum(len(job.callbacks) - 1 for job in service.jobs))


def test_fifty_requests_at_once_are_one_job(service: Service) -> None:
    """And so are those that come after its success."""
    job = service.call()
    each(range(50), lambda _: service.call(again=job.hash))
    service.settle(60)
    each(range(5), lambda _: service.call(again=job.hash))
    assert job.accepted
    assert len(job.callbacks) == 1
    service.settle(30)
