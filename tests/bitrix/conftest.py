"""A portal on loopback and a REST client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.bitrix24.rest import Bitrix24
from pipeline.clients.transport import Transport
from tests.bitrix.portal import Portal, open_portal
from tests.installation import opened, sandbox, served

__all__ = ["opened", "sandbox", "served"]


@pytest.fixture
def portal() -> Iterator[Portal]:
    with open_portal() as found:
        yield found


@pytest.fixture(scope="package")
def transport() -> Iterator[Transport]:
    found = Transport()
    yield found
    found.close()


@pytest.fixture
def rest(portal: Portal, transport: Transport) -> Bitrix24:
    return Bitrix24(portal.url, transport=transport, timeout_seconds=5)
