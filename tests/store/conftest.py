"""A store on the real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.store import Store


@pytest.fixture
def store(valkey: str) -> Iterator[Store]:
    """A store on the real server."""
    opened = Store(valkey)
    yield opened
    opened.close()
