"""Deals are found and entries written on portals with the limits of the cloud, whatever dies meanwhile."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.faults.harness import Service
from tests.faults.telephony import Telephony


def test_each_call_has_its_entry_once_on_two_portals_with_limits() -> None:
    """By event and engine request, or the request alone; workers are killed, the CRM fails and refuses."""
    both, alone = Telephony("both"), Telephony("alone", events=False)
    with Service(frees=True, telephony=[both, alone]) as service:
        service.start(upstream=2)
        for number in range(24):
            service.ring(both, late=2.0 if number % 5 == 0 else 0.0)
            service.ring(alone)
            if number in (8, 16):
                service.kill("upstream")
            if number == 10:
                both.sandbox.script.add(path="/rest/*", times=3, status=503, body={"error": "OVERLOAD"})
                alone.sandbox.script.add(path="*logmessage.add", times=2, reset="after")
            time.sleep(0.2)
        for portal in service.telephony:
            portal.sent()
        service.until(lambda: not service.unfinished(), 90, "nothing left to do")
        assert not both.wrong() + alone.wrong()
        for portal in service.telephony:
            asked = portal.sandbox.ledger.find("/rest/*")
            refused = [one for one in asked if one["status"] == 503]
            assert len(refused) <= 6, "the limit of the portal was not kept"
            assert len(asked) <= 6 * len(portal.calls)


@pytest.mark.parametrize(
    "fault",
    [
        {"delay_seconds": 15.0},
        {"status": 503, "body": {"error": "QUERY_LIMIT_EXCEEDED"}},
        {"status": 200, "body": {"result": {"result": {"c0": [{"ID": "x"}]}, "result_error": "?"}}},
    ],
    ids=["slow", "refuses", "nonsense"],
)
def test_one_portals_ill_crm_delays_no_other_and_heals(fault: dict[str, Any]) -> None:
    """Sixty of its calls wait for their deals; another portal's have their entries meanwhile, and the
    ill one's once it is well."""
    ill, well = Telephony("ill", events=False), Telephony("well")
    with Service(telephony=[ill, well]) as service:
        service.start()
        rule = ill.sandbox.script.add(path="/rest/*", times=None, **fault)
        for _ in range(60):
            service.ring(ill)
        ill.sent()
        service.until(lambda: all(c.job and c.job.outcome for c in ill.calls), 60, "the ill one's outcomes")
        for _ in range(10):
            service.ring(well)
        well.sent()
        service.until(lambda: not well.wrong(), 30, "the other portal's entries")
        asked = len(ill.sandbox.ledger.find("/rest/*"))
        assert asked < 60, f"{asked} requests to a portal that is not well"
        ill.sandbox.script.rules.remove(rule)
        service.until(
            lambda: len(ill.sandbox.crm.log_entries) >= 10, 90, "entries on the portal that is well"
        )
        assert len({one["entityId"] for one in ill.sandbox.crm.log_entries}) == len(
            ill.sandbox.crm.log_entries
        )
