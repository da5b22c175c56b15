from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pipeline.clients.transport import Transport
from tests.transport.listener import Listener, Script

Serve = Callable[..., Listener]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts scripted servers and stops them after the test."""
    listeners: list[Listener] = []

    def start(script: Script, *, tls: bool = False) -> Listener:
        listeners.append(Listener(script, tls=tls))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.close()


@pytest.fixture
def transport() -> Iterator[Transport]:
    """A transport that trusts the loopback address."""
    made = Transport(trusted=["127.0.0.1"])
    yield made
    made.close()
