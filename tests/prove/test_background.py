"""What may fail never holds up what must not: the CRM is slow, refuses, or answers nonsense."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.harness import Service

CALLS = 150


@pytest.mark.parametrize(
    "fault",
    [
        {"delay_seconds": 15.0},
        {"delay_seconds": 15.0, "status": 503, "body": {"error": "QUERY_LIMIT_EXCEEDED"}},
        {"delay_seconds": 5.0, "body": "<html>please wait</html>"},
    ],
    ids=["slow", "throttled", "nonsense"],
)
def test_calls_are_answered_while_their_deals_cannot_be_found(fault: dict[str, Any]) -> None:
    """A burst of calls on one portal: each has its outcome, and so has one that comes after them, while
    hardly any has been looked up."""
    with Service(TIMELINE="bitrix24") as service:
        service.env["CALLSCRIBE_BITRIX24_WEBHOOK"] = service.sandbox.webhook_url
        service.start()
        service.fault("/rest/*", times=None, **fault)
        burst = service.calls(CALLS)
        service.until(lambda: all(job.outcome for job in burst), 60, f"outcomes: {service.outcomes()}")
        assert service.under_way("link"), "nothing waits for the CRM: this proves nothing"
        later = service.call()
        service.until(lambda: later.outcome is not None, 10, "the call that came after them")
        assert service.outcomes() == {"success": CALLS + 1}
        answered = [one for one in service.sandbox.ledger.find("/rest/*") if one["finished_at"]]
        assert len(answered) < CALLS, "the deals were found as fast as the calls came"
