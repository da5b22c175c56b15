"""Workers that have been at work lately wait for word at the store; seen at the store itself."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from tests.system.processes import Portal, Service, until

QUEUES = ("upstream", "media")


@pytest.fixture
def store(service: Service) -> Iterator[redis.Redis]:
    path = service.folder / "data" / "redis.sock"
    with redis.Redis(unix_socket_path=str(path), decode_responses=True) as client:
        yield client


def waiters(store: redis.Redis, queue: str) -> list[str]:
    kinds = (f"cs:waiters:{queue}", f"cs:waiters:{queue}:urgent")
    return [str(owner) for kind in kinds for owner in store.zrange(kind, 0, -1)]  # type: ignore[union-attr]


def done(portal: Portal, service: Service) -> None:
    """A call from its request to its outcome."""
    portal.forget()
    token, words = portal.call(service.engines, service.folder)
    job = portal.outcome(token, tell=service.report)
    assert job["outcome"] == "success", job
    assert words in job["result"][0]


def until_both_wait(portal: Portal, service: Service, store: redis.Redis) -> None:
    """A call has gone through, and turns of both queues wait for the next one."""
    for _ in range(10):
        done(portal, service)
        try:
            until(lambda: all(waiters(store, queue) for queue in QUEUES), seconds=4)
            return
        except AssertionError:
            continue  # on a busy machine the first may have waited for long enough before the last does
    raise AssertionError(service.report())


@contextmanager
def watched(store: redis.Redis) -> Iterator[list[str]]:
    """The broker's queues to which messages were sent meanwhile."""
    sent: list[str] = []
    with store.monitor() as monitor:  # type: ignore[no-untyped-call]
        listens = threading.Event()

        def listen() -> None:
            for line in monitor.listen():
                name, *args = line["command"].split()
                if name == "PING" and args == ["over"]:
                    return
                listens.set()
                if name == "LPUSH" and args[0] in QUEUES:
                    sent.append(args[0])

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        until(lambda: store.ping() and listens.wait(0.1))
        try:
            yield sent
        finally:
            store.execute_command("PING", "over")
            thread.join(20)
        assert not thread.is_alive()


def test_a_call_goes_through_without_a_message(calm: Portal, service: Service, store: redis.Redis) -> None:
    """While workers wait for word, a call passes from the api to upstream, media and back by the store."""
    for _ in range(10):
        until_both_wait(calm, service, store)
        with watched(store) as sent:
            done(calm, service)
        if not sent:
            return
    raise AssertionError(f"each of ten calls needed messages, the last one {sent}")


@pytest.mark.parametrize("queue", QUEUES)
def test_killed_while_it_waits(calm: Portal, service: Service, store: redis.Redis, queue: str) -> None:
    """A process that is killed while it waits takes no word with it: the next call is done all the same."""
    until_both_wait(calm, service, store)
    (*_, owner) = waiters(store, queue)
    for pid in service.parts()["upstream" if queue == "upstream" else "pool"]:
        os.kill(pid, signal.SIGKILL)
    done(calm, service)
    until(lambda: owner not in waiters(store, queue), tell=service.report)


def test_who_leaves_waits_no_more(calm: Portal, service: Service, store: redis.Redis) -> None:
    """A worker that ends by SIGTERM is listed no longer, and the next call is done by the one after it."""
    until_both_wait(calm, service, store)
    for part in QUEUES:
        (pid,) = service.parts()[part]
        found = waiters(store, part)
        os.kill(pid, signal.SIGTERM)
        until(lambda found=found, part=part: not set(found) & set(waiters(store, part)))  # type: ignore[misc]
    done(calm, service)


def test_names_that_the_store_has_lost(calm: Portal, service: Service, store: redis.Redis) -> None:
    """While all wait and the store knows of none of them, as after a failover, the next call is done."""
    until_both_wait(calm, service, store)
    store.delete(*(f"cs:waiters:{queue}{kind}" for queue in QUEUES for kind in ("", ":urgent")))
    done(calm, service)


def test_nobody_waits_where_nothing_is_done(service: Service, store: redis.Redis) -> None:
    """Some seconds after the last step no worker waits any more, and nothing of it stays in the store."""
    until(lambda: not [*store.scan_iter("cs:waiters:*"), *store.scan_iter("cs:word:*")], tell=service.report)
