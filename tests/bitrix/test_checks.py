"""Why calls do not arrive, told check by check."""

from __future__ import annotations

import time

import pytest

from pipeline.bitrix24.checks import Check, arrival_checks
from pipeline.bitrix24.engines import Wish, completions_url, register
from pipeline.bitrix24.rest import Bitrix24
from pipeline.clients.transport import Transport
from pipeline.domain.job import Category
from tests.bitrix.portal import CODE, Portal

PUBLIC = "https://callscribe.example"
URLS = {category: completions_url(PUBLIC, "t" * 24, category) for category in (Category.TEXT, Category.AUDIO)}


def look(rest: Bitrix24, arrived: int | None = None) -> dict[str, Check]:
    return {check.name: check for check in arrival_checks(rest, URLS, arrived=arrived)}


@pytest.fixture
def connected(portal: Portal, rest: Bitrix24) -> Portal:
    """A portal on which all is well."""
    register(rest, [Wish(category=category, completions_url=url) for category, url in URLS.items()])
    portal.call(5, time.time() - 60, FILES=[{"id": "71"}])
    portal.crm.activities[5].transcript = "a talk"
    return portal


def test_all_checks_are_ok_where_all_is_well(connected: Portal, rest: Bitrix24) -> None:
    """Each is named with what the portal says."""
    found = look(rest)
    assert {check.state for check in found.values()} == {"ok"}
    assert list(found) == [
        "webhook", "scopes", "text engine", "audio engine", "recordings", "transcripts",
    ]  # fmt: skip


def test_a_wrong_webhook_ends_the_look(transport: Transport, portal: Portal) -> None:
    """Nothing else can be known then."""
    rest = Bitrix24(portal.url.replace(CODE, "other"), transport=transport)
    found = look(rest)
    assert list(found) == ["webhook"]
    assert "wrong or was deleted" in found["webhook"].says
    assert "other" not in found["webhook"].says


def test_missing_scopes_are_named_with_their_use(connected: Portal, rest: Bitrix24) -> None:
    """Which to tick, and what for."""
    connected.scopes = ["crm", "ai_admin"]
    found = look(rest)["scopes"]
    assert found.state == "failed"
    assert "disk (recordings" in found.says
    assert "crm (" not in found.says


def test_engines_that_lead_elsewhere_or_are_missing(connected: Portal, rest: Bitrix24) -> None:
    """An old address, none at all, and audio without text."""
    connected.engines["callscribe_audio"]["completions_url"] = "https://old.example/engines/old-token/audio"
    connected.sandbox.engines.registered.remove(connected.engines["callscribe_text"])
    found = look(rest)
    assert found["audio engine"].says == "leads elsewhere: https://old.example/engines/***/audio"
    assert found["text engine"].state == "failed"


def test_calls_that_are_not_recorded(connected: Portal, rest: Bitrix24) -> None:
    """The telephony's setting."""
    connected.crm.activities[5].fields["FILES"] = []
    assert look(rest)["recordings"].state == "failed"
    connected.crm.activities.clear()
    assert look(rest)["calls"].state == "unknown"


def test_recorded_calls_that_nobody_was_sent(connected: Portal, rest: Bitrix24) -> None:
    """The engine was not chosen, or the CRM's AI is off."""
    connected.crm.activities[5].transcript = None
    assert "An administrator must still choose" in look(rest)["choice of the engine"].hint
    assert look(rest, arrived=3)["transcripts"].state == "ok"
    connected.denied.add(5)
    assert look(rest)["CoPilot in the CRM"].state == "failed"
