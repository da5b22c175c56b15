"""Clients of the store's server, straight or by the word of its sentinels."""

from __future__ import annotations

from typing import Any, cast

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from pipeline.settings.store_url import Sentinels, read_sentinels


def connect(url: str, *, timeout_seconds: float) -> redis.Redis:
    """A client with bounded waits, one repetition, and text for bytes."""
    options = _options(timeout_seconds) | {"retry": Retry(NoBackoff(), 1)}
    if found := read_sentinels(url):
        known: Any = Sentinel(found.hosts, sentinel_kwargs=_to_sentinels(found, timeout_seconds))  # type: ignore[no-untyped-call]
        return cast(redis.Redis, known.master_for(found.service, **_to_master(found), **options))
    return redis.Redis.from_url(url, **options)


def connect_async(url: str, *, timeout_seconds: float) -> redis.asyncio.Redis:
    """The same for an event loop."""
    options = _options(timeout_seconds) | {"retry": AsyncRetry(NoBackoff(), 1)}
    if found := read_sentinels(url):
        known: Any = AsyncSentinel(found.hosts, sentinel_kwargs=_to_sentinels(found, timeout_seconds))  # type: ignore[no-untyped-call]
        return cast(redis.asyncio.Redis, known.master_for(found.service, **_to_master(found), **options))
    return redis.asyncio.Redis.from_url(url, **options)


def close(client: redis.Redis) -> None:
    """Closes the client, and those that ask its sentinels."""
    client.close()
    for known in _sentinels(client):
        known.close()


async def close_async(client: redis.asyncio.Redis) -> None:
    """The same for an event loop."""
    await client.aclose()
    for known in _sentinels(client):
        await known.aclose()


def _sentinels(client: Any) -> list[Any]:
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    return list(manager.sentinels) if manager else []


def _options(timeout_seconds: float) -> dict[str, Any]:
    return {
        "decode_responses": True,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
    }


def _to_master(found: Sentinels) -> dict[str, Any]:
    return {"db": found.db, "username": found.username, "password": found.password}


def _to_sentinels(found: Sentinels, timeout_seconds: float) -> dict[str, Any]:
    options: dict[str, Any] = _options(timeout_seconds)
    return options | ({"password": found.sentinel_password} if found.sentinel_password else {})
