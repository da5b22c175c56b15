"""The router fails in every way that its tables and networks know."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import recordings
from tests.faults.harness import HEARING, Service

# what befalls one call -> how often it may be paid again
PASSES: dict[str, tuple[dict[str, Any], int]] = {
    "429 with Retry-After": ({"status": 429, "headers": {"retry-after": "1"}}, 0),
    "429 with X-RateLimit-Reset": ({"status": 429, "headers": {"x-ratelimit-reset": "1"}}, 0),
    "429 bare": ({"status": 429}, 0),
    "500": ({"status": 500, "body": {"error": {"message": "", "code": "internal"}}}, 0),
    "502 with a code": ({"status": 502, "body": {"error": {"code": "ai_provider_unavailable"}}}, 0),
    "503": ({"status": 503, "body": {"error": {"code": "model_unavailable"}}}, 0),
    "503 as a page": ({"status": 503, "body": "<html>busy</html>"}, 0),
    "504": ({"status": 504, "body": {"error": {"code": "ai_provider_timeout"}}}, 0),
    "502 of a gateway": ({"status": 502, "body": "<html>bad gateway</html>"}, 0),
    "reset before the body": ({"reset": "before"}, 0),
    "reset after the body": ({"reset": "after"}, 1),
    "reset amid the answer": ({"reset": "midway"}, 1),
    "answer as a page": ({"status": 200, "body": "<html>welcome</html>"}, 0),
    "answer that drips": ({"drip_seconds": 3.0}, 0),
    "late answer": ({"delay_seconds": 4.0}, 0),
    "refused form": ({"status": 400, "body": {"error": {"code": "invalid_request"}}}, 0),
}  # fmt: skip


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One service for all of these."""
    with Service() as running:
        running.start()
        yield running


def next_digest(service: Service, tmp_path: Path, ahead: int) -> str:
    """Sha256 of the recording that the call after `ahead` others will be about."""
    number = 1 + len(service.jobs) + len(service.refused) + len(service.filed) + ahead  # counted from one
    path = tmp_path / f"{number}.wav"
    recordings.write(path, seed=number)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_passing_fault_of_the_router_is_survived(service: Service, tmp_path: Path) -> None:
    """One job per kind of fault, all at once: each succeeds; paid again is only what may have been lost."""
    for number, (rule, _) in enumerate(PASSES.values()):
        service.fault(HEARING, sha256=next_digest(service, tmp_path, number), times=1, **rule)
    jobs = [service.call() for _ in PASSES]
    service.settle(90)
    assert all(rule.seen >= 1 for rule in service.sandbox.script.rules[: len(PASSES)])
    for job, name in zip(jobs, PASSES, strict=True):
        assert job.outcome == "success", (name, job.error)
    service.check(repaid=sum(allowed for _, allowed in PASSES.values()))


def test_a_recording_comes_in_spite_of_its_host(service: Service) -> None:
    """Errors, resets, drips and lateness of the portal's disk: the call is heard all the same."""
    rules = [
        {"status": 500}, {"status": 503, "headers": {"retry-after": "1"}}, {"reset": "before"},
        {"reset": "midway"}, {"reset": "after"}, {"drip_seconds": 3.0}, {"delay_seconds": 3.0},
    ]  # fmt: skip
    for rule in rules:
        service.fault("/disk/downloadFile/*", times=1, **rule)
    service.calls(len(rules))
    service.settle(60)
    service.check(repaid=service.repaid())


def test_chat_that_fails_costs_no_transcript(service: Service) -> None:
    """The score may fail; the portal has its transcript."""
    broken = service.fault("/v1/chat/completions", status=400, times=None, body={"error": {"code": "no"}})
    service.calls(4)
    service.settle(60)
    service.mend(broken)
    service.check(repaid=service.repaid())


def test_a_refused_call_fails_at_once(service: Service) -> None:
    """The plain form refused: an error callback with a clear message, no further attempt."""
    asked = len(service.sandbox.ledger.find(f"*{HEARING}"))
    gone = service.fault(HEARING, status=404, times=None, body={"error": {"code": "ai_model_not_found"}})
    job = service.call()
    service.settle(30)
    service.mend(gone)
    assert job.outcome == "error"
    assert "does not know the model" in str(job.error)
    assert len(service.sandbox.ledger.find(f"*{HEARING}")) == asked + 1
    service.check(success=False, repaid=service.repaid())


def test_the_router_is_away_for_the_whole_ttl(service: Service) -> None:
    """Each portal hears an error before its ttl is over, and nothing is asked afterwards."""
    away = service.fault(HEARING, status=503, times=None)
    jobs = service.calls(6, ttl=15)
    service.settle(40)
    asked = len(service.sandbox.ledger.find(f"*{HEARING}"))
    time.sleep(3)
    service.mend(away)
    assert len(service.sandbox.ledger.find(f"*{HEARING}")) == asked
    for job in jobs:
        assert job.outcome == "error"
        assert job.finished_at is not None
        assert job.finished_at < job.sent_at + 15
    service.check(success=False, repaid=service.repaid())


@pytest.mark.timeout(180)
def test_calls_wait_for_a_refused_account(service: Service) -> None:
    """402: audio is held until the balance is back, asking once a minute."""
    service.redis.delete("cs:none", *service.redis.keys("cs:gate:*"))
    empty = service.fault("/v1/*/*", status=402, times=None, body={"error": {"code": "insufficient_balance"}})
    job = service.call()
    service.until(lambda: empty.seen > 0, 20, "the account is refused")
    time.sleep(5)
    assert job.outcome is None
    assert empty.seen == 1
    service.mend(empty)
    service.settle(100)
    assert job.outcome == "success"
    service.check(success=False, repaid=service.repaid())
