"""Limits by address."""

from __future__ import annotations

import pytest

from pipeline.web.rate_limits import MOST_ADDRESSES, RateLimit


def test_a_bucket_refills() -> None:
    """`burst` at once, then `rate` a second; a refusal says how long to wait and costs nothing."""
    now = [0.0]
    limit = RateLimit(rate=2, burst=3, clock=lambda: now[0])
    assert [limit.wait("a") for _ in range(3)] == [0, 0, 0]
    assert limit.wait("a") == pytest.approx(0.5)
    assert limit.wait("a") == pytest.approx(0.5)
    assert limit.wait("b") == 0
    now[0] = 0.5
    assert limit.wait("a") == 0
    now[0] = 1000.0
    assert [limit.wait("a") for _ in range(4)] == [0, 0, 0, pytest.approx(0.5)]


def test_addresses_are_forgotten() -> None:
    """However many addresses come, what is remembered stays bounded."""
    limit = RateLimit(rate=1, burst=1)
    for number in range(MOST_ADDRESSES + 50):
        limit.wait(str(number))
    assert len(limit._buckets) == MOST_ADDRESSES
