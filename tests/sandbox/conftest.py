"""One sandbox for the whole area: each test starts with an empty script and an empty ledger."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from pipeline.sandbox.app import KEY, Sandbox


@pytest.fixture(scope="package")
def served() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def sandbox(served: Sandbox) -> Iterator[Sandbox]:
    yield served
    served.script.clear()
    served.ledger.clear()
    served.engines.registered.clear()


@pytest.fixture
def router(sandbox: Sandbox) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(
        base_url=sandbox.router_url, headers=headers, timeout=100, trust_env=False, verify=False
    ) as client:
        yield client


@pytest.fixture
def rest(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.webhook_url, timeout=10, trust_env=False, verify=False) as client:
        yield client
