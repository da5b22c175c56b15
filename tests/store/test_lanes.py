"""The connections on which steps ask the store."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from pipeline.domain.errors import StoreUnavailable
from pipeline.store import Store
from tests.store.test_store import store_url


def said_first(store: Store, name: str) -> str:
    """What was said under the name, by this or before: an answer that is the name's own."""
    return store.known.first(name, f"of {name}", seconds=60)


def test_connections_that_the_server_closed_are_made_anew(store: Store) -> None:
    """A server that was started anew, or closes what is idle, costs no step its transition."""
    with redis.Redis.from_url(store_url(store)) as client, ThreadPoolExecutor(4) as pool:
        together = threading.Barrier(4)

        def ask(number: int) -> str:
            together.wait(20)
            return said_first(store, f"a{number}")

        assert list(pool.map(ask, range(4))) == [f"of a{n}" for n in range(4)]
        assert client.client_kill_filter(_type="normal", skipme=True) >= 1
        assert [said_first(store, f"b{n}") for n in range(6)] == [f"of b{n}" for n in range(6)]


def test_scripts_that_the_server_forgot_are_told_again(store: Store) -> None:
    """A server without them, such as a new master, is told the script and runs it."""
    with redis.Redis.from_url(store_url(store)) as client:
        assert said_first(store, "a") == "of a"
        client.script_flush()
        assert said_first(store, "b") == "of b"


def test_an_answer_that_came_too_late_is_nobody_elses(store: Store) -> None:
    """A store that hangs is not waited for any longer than was said, and its late answers go with their
    connections.
    """
    hasty = Store(store_url(store), timeout_seconds=0.3)
    try:
        with redis.Redis.from_url(store_url(store)) as client:
            assert said_first(hasty, "before") == "of before"
            client.client_pause(3000)
            with pytest.raises(StoreUnavailable):
                said_first(hasty, "late")
            client.ping()  # until the pause is over
        assert [said_first(hasty, f"after{n}") for n in range(3)] == [f"of after{n}" for n in range(3)]
    finally:
        hasty.close()


def test_a_fork_asks_on_connections_of_its_own(store: Store) -> None:
    """Parent and child, each at the same time, hear each their own answers."""
    assert said_first(store, "before") == "of before"
    here, there = multiprocessing.Pipe()

    def child() -> None:
        there.send([said_first(store, f"child{n}") for n in range(50)])

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    assert [said_first(store, f"parent{n}") for n in range(50)] == [f"of parent{n}" for n in range(50)]
    assert here.recv() == [f"of child{n}" for n in range(50)]
    process.join(20)
    assert process.exitcode == 0
