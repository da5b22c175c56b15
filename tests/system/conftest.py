from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.processes import Portal, Service, sandbox, short_folder


@pytest.fixture(scope="module")
def portal() -> Iterator[Portal]:
    with sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def service(portal: Portal) -> Iterator[Service]:
    """One service for a module's tests, with leases long enough that waiting for them would be seen."""
    with short_folder() as folder:
        running = Service(folder, portal, lease_seconds="60", trusted_hosts="127.0.0.1")
        try:
            yield running
        finally:
            running.http.close()
            code = running.up.end()
        assert code == 0, running.up.output


@pytest.fixture
def calm(portal: Portal) -> Iterator[Portal]:
    """The portal without rules, before and after."""
    portal.forget()
    yield portal
    portal.forget()
