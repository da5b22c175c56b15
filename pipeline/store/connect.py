"""Clients of the store's server, straight or by the word of its sentinels, and the scripts on it."""

from __future__ import annotations

import functools
import os
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from pipeline.domain.errors import StoreUnavailable
from pipeline.domain.timeval import limit_waits
from pipeline.settings.store_url import Sentinels, read_sentinels
from pipeline.store.scripts import sources

P = ParamSpec("P")
R = TypeVar("R")

CLOCK_SECONDS = 1.0


def guarded(method: Callable[P, R]) -> Callable[P, R]:
    """The store's own faults become StoreUnavailable."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except redis.RedisError as error:
            raise StoreUnavailable(f"the job store does not serve: {type(error).__name__}") from error

    return call


class Server:
    """One Redis or Valkey. Raises StoreUnavailable wherever it does not serve."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self.redis = connect(url, timeout_seconds=timeout_seconds)
        self._scripts = {name: self.redis.register_script(text) for name, text in sources().items()}
        self._lanes = Lanes(self.redis)
        self._clock = (0.0, -CLOCK_SECONDS)  # what it was at the server, and when by this machine

    @guarded
    def run(self, script: str, *args: Any) -> Any:
        """One atomic transition."""
        known = self._scripts[script]
        words = [arg if isinstance(arg, str) else str(arg) for arg in args]
        try:
            return self._lanes.ask("EVALSHA", known.sha, 0, *words)
        except redis.exceptions.NoScriptError:
            return known(args=words)

    @guarded
    def now(self) -> float:
        """The server's clock, unix seconds, asked for once a second: leases and due times follow it."""
        then, at = self._clock
        if (passed := time.monotonic() - at) < CLOCK_SECONDS:
            return then + passed
        seconds, micros = self.redis.time()
        self._clock = (seconds + micros / 1e6, time.monotonic())
        return self._clock[0]

    def close(self) -> None:
        """Gives the connections back."""
        self._lanes.close()
        close(self.redis)


class Lanes:
    """Connections for what each step asks, beside the client's own pool. Thread-safe.

    The client's way to a command takes three times as long as the command itself: it looks whether its
    connection still stands, and measures. Here one that does not is found out by the first word on it.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        self._idle: deque[Any] = deque()
        self._pid = os.getpid()

    def ask(self, *command: str | int) -> Any:
        """The answer, asked for once more where none came, as by the client; it may have run then."""
        if self._pid != os.getpid():  # a fork: what is open is the parent's
            self._idle, self._pid = deque(), os.getpid()
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._pool.connection_class(**self._pool.connection_kwargs)
        try:
            try:
                answer = self._once(connection, command)
            except (redis.ConnectionError, redis.TimeoutError):
                connection.disconnect()
                answer = self._once(connection, command)
        except redis.ResponseError:
            self._idle.append(connection)
            raise
        except BaseException:
            connection.disconnect()  # its answer may come yet
            raise
        self._idle.append(connection)
        return answer

    def _once(self, connection: Any, command: tuple[str | int, ...]) -> Any:
        connection.connect()  # where it is not
        connection.send_command(*command)
        return connection.read_response()

    def close(self) -> None:
        """Closes those that nobody uses."""
        while self._idle:
            self._idle.pop().disconnect()


def connect(url: str, *, timeout_seconds: float) -> redis.Redis:
    """A client with bounded waits, one repetition, and text for bytes."""

    def begin(connection: Any) -> None:
        connection.on_connect()
        if not isinstance(sock := connection._sock, ssl.SSLSocket):
            sock.settimeout(None)
            limit_waits(sock, timeout_seconds)

    options = _options(timeout_seconds) | {"retry": Retry(NoBackoff(), 1), "redis_connect_func": begin}
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
        "encoding_errors": "replace",  # a damaged record is read as one, and breaks nobody else's reading
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
    }


def _to_master(found: Sentinels) -> dict[str, Any]:
    return {"db": found.db, "username": found.username, "password": found.password}


def _to_sentinels(found: Sentinels, timeout_seconds: float) -> dict[str, Any]:
    options: dict[str, Any] = _options(timeout_seconds)
    return options | ({"password": found.sentinel_password} if found.sentinel_password else {})
