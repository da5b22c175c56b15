"""Calls whose event never came are found all the same, each once, and never the portal's history."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.domain.job import JobId, Source
from pipeline.run.reconcile import EVERY_SECONDS, GRACE_SECONDS, reconcile
from pipeline.run.runner import Runner
from pipeline.steps.tools import Tools
from pipeline.store import job_id
from tests.bitrix.portal import Portal
from tests.installation import PORTAL, Open, connected


@pytest.fixture
def opened(valkey: str, portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Real tools over a real store."""
    monkeypatch.chdir(tmp_path)
    with connected(
        redis_url=valkey, data_dir=tmp_path, bitrix24_webhook=portal.url, timeline="bitrix24",
        portal_application_token="apptoken", portal_token="t" * 24,
    ) as make:  # fmt: skip
        yield make


@pytest.fixture
def tools(opened: Open) -> Tools:
    return opened()


def next_turn(tools: Tools) -> None:
    """Lets the pause between two polls pass."""
    assert 0 < tools.store._redis.pttl(f"cs:once:reconcile:{PORTAL}") <= EVERY_SECONDS * 1000
    tools.store._redis.delete(f"cs:once:reconcile:{PORTAL}")


def job_of(activity: int) -> JobId:
    """The id that the activity's event makes as well."""
    return job_id(PORTAL, f"activity:{activity}")


def test_a_missed_call_becomes_a_job_once(tools: Tools, portal: Portal) -> None:
    """One job per activity, one poll in ten minutes, each call looked at once."""
    now = tools.store.now()
    portal.call(5, now - 600)
    assert reconcile(tools) == 1
    job = tools.store.load(job_of(5))
    assert (job.source, job.request.activity_id) == (Source.EVENT, 5)
    asked = len(portal.asked)
    assert reconcile(tools) == 0
    assert len(portal.asked) == asked  # not its turn
    next_turn(tools)
    tools.store.erase(job_of(5))
    assert reconcile(tools) == 0  # it was looked at before,
    assert tools.store._redis.ttl(f"cs:known:reconciled:{PORTAL}") == -1  # which is never forgotten


def test_history_and_the_last_minutes_are_left_alone(tools: Tools, portal: Portal) -> None:
    """Before the connection it is history; at the end, events get the first chance."""
    now = tools.store.now()
    portal.call(4, now - 7200)
    portal.call(6, now - GRACE_SECONDS / 2)
    assert reconcile(tools) == 0


def test_backfill_reaches_back(opened: Open, tools: Tools, portal: Portal) -> None:
    """BACKFILL_SECONDS before the connection count as well."""
    portal.call(4, tools.store.now() - 7200)
    assert reconcile(opened(backfill_seconds=10_000)) == 1


def test_a_portal_that_does_not_answer_is_asked_again_later(tools: Tools, portal: Portal) -> None:
    """Nothing is forgotten by a failed poll."""
    portal.call(5, tools.store.now() - 600)
    portal.fails((500, {"error": "INTERNAL_SERVER_ERROR"}))
    assert reconcile(tools) == 0
    next_turn(tools)
    assert reconcile(tools) == 1


def test_a_portal_whose_limit_is_used_up_is_asked_when_there_is_a_turn(tools: Tools, portal: Portal) -> None:
    """Nothing is asked meanwhile, and no turn of ten minutes is lost."""
    portal.call(5, tools.store.now() - 600)
    full = {"rate": 2.0, "burst": 45}
    tools.store.limits.turn(f"rest:{PORTAL}", verb="fill", **full)
    assert reconcile(tools) == 0
    assert portal.asked == []
    tools.store._redis.zadd(f"cs:turns:rest:{PORTAL}", {"reconcile": tools.store.now() - 1})
    assert reconcile(tools) == 1


def test_a_call_of_no_recording_is_dropped_when_it_is_looked_up(tools: Tools, portal: Portal) -> None:
    """The job of a call that nobody answered leaves no trace."""
    portal.call(5, tools.store.now() - 600)
    portal.crm.calls = {"": {"CALL_ID": "call.5", "CRM_ACTIVITY_ID": "5", "CALL_FAILED_CODE": "304"}}
    reconcile(tools)
    Runner(tools).drain("upstream", "test", seconds=5, stop=lambda: False)
    assert tools.store.page() == []


def test_portals_without_events_are_not_polled(opened: Open, portal: Portal) -> None:
    """No application token: the operator did not ask for events."""
    tools = opened(portal_application_token=None)
    portal.call(5, tools.store.now() - 600)
    assert reconcile(tools) == 0
    assert portal.asked == []
