"""A portal on loopback and a REST client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.bitrix24.rest import Bitrix24
from pipeline.clients.transport import Transport
from pipeline.sandbox.app import Sandbox
from tests.bitrix.portal import Portal
from tests.installation import opened, sandbox, served

__all__ = ["opened", "sandbox", "served"]


@pytest.fixture
def portal(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Portal:
    monkeypatch.setattr(sandbox.rest, "_methods", sandbox.rest._methods)
    monkeypatch.setattr(sandbox.engines, "_answers", yes)
    return Portal(sandbox)


async def yes(url: str) -> bool:
    """Every completions URL answers."""
    return True


@pytest.fixture(scope="package")
def transport() -> Iterator[Transport]:
    found = Transport()
    yield found
    found.close()


@pytest.fixture
def rest(portal: Portal, transport: Transport) -> Bitrix24:
    return Bitrix24(portal.url, transport=transport, timeout_seconds=5)
