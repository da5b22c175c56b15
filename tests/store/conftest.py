"""A store on the real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.store import Governor


@pytest.fixture
def store(valkey: str) -> Iterator[Governor]:
    """A store on the real server."""
    opened = Governor(valkey)
    yield opened
    opened.close()
