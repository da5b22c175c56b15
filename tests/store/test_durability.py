"""What a server's settings mean for a job that was accepted."""

from __future__ import annotations

import pytest
import redis

from pipeline.store import Store
from pipeline.store.durability import judge

SAFE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


def test_the_servers_own_settings_are_judged(store: Store, valkey: str) -> None:
    """The embedded store is safe; one setting changed, and it is not."""
    assert store.disk.durability().is_safe
    with redis.Redis.from_url(valkey) as raw:
        raw.config_set("maxmemory-policy", "allkeys-lru")
        try:
            found = store.disk.durability()
        finally:
            raw.config_set("maxmemory-policy", "noeviction")
    assert not found.is_safe
    assert "thrown away" in found.says
    assert "noeviction" in found.hint


@pytest.mark.parametrize(
    ("changed", "says", "hint"),
    [
        ({"appendonly": "no"}, "appendonly is off", "appendonly yes"),
        ({"appendfsync": "everysec"}, "last second", "appendfsync always"),
        ({"appendfsync": "no"}, "power failure", "appendfsync always"),
        ({"maxmemory-policy": "volatile-ttl"}, "thrown away", "noeviction"),
        ({"maxmemory-policy": "allkeys-lru"}, "thrown away", "noeviction"),
    ],
)
def test_each_setting_that_loses_jobs_is_told_with_its_remedy(
    changed: dict[str, str], says: str, hint: str
) -> None:
    """None of them is called safe."""
    found = judge(SAFE | changed)
    assert not found.is_safe
    assert says in found.says
    assert hint in found.hint


@pytest.mark.parametrize("left_out", [*SAFE, None])
def test_a_server_that_does_not_tell_is_not_called_safe(left_out: str | None) -> None:
    """Whether it tells nothing, or leaves one of them out."""
    told = {name: value for name, value in SAFE.items() if left_out and name != left_out}
    found = judge(told)
    assert not found.is_safe
    assert "does not tell" in found.says
    assert "operator" in found.hint


def test_several_faults_are_told_together() -> None:
    """Each with its remedy."""
    found = judge({"appendonly": "no", "appendfsync": "no", "maxmemory-policy": "allkeys-random"})
    assert "appendonly" in found.hint
    assert "noeviction" in found.hint
