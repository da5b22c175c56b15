"""The store is killed, away, hung, full, cut off; its broker loses and doubles messages."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.domain.kinds import QUEUES
from tests.faults.harness import HEARING, Service

AWAY_SECONDS = 6.0  # three leases
PATIENCE_SECONDS = 5.0  # of a portal


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One service for all of these, with recognition slow enough to be under way when the fault comes."""
    with Service() as running:
        running.start()
        running.fault(HEARING, delay_seconds=1.0, times=None)
        yield running


@pytest.fixture(scope="module")
def relayed() -> Iterator[Service]:
    """A service that reaches its store over a network."""
    with Service(relayed=True) as running:
        running.start()
        running.fault(HEARING, delay_seconds=1.0, times=None)
        yield running


def send_until_paying(service: Service, number: int = 24) -> None:
    """Jobs, some of them in the middle of a paid call."""
    service.calls(number)
    service.until(lambda: service.under_way("transcribe", 3), 30, "three paid calls under way")


def assert_refused_in_time(service: Service) -> None:
    """While the store is away a portal hears 503 before it gives up."""
    job = service.call()
    assert job.answer is not None
    assert job.answer["status"] == 503, job.answer
    assert job.answer["seconds"] < PATIENCE_SECONDS


def test_the_store_is_killed_and_restarted(service: Service) -> None:
    """What was accepted stands; nothing is paid again."""
    send_until_paying(service)
    service.kill("store")
    service.start_store()
    service.settle()
    service.check()


def test_the_store_is_down_for_longer_than_a_lease(service: Service) -> None:
    """Paid answers wait in the workers' hands for it; a portal hears 503 in time."""
    send_until_paying(service)
    service.kill("store")
    assert_refused_in_time(service)
    time.sleep(AWAY_SECONDS)
    service.start_store()
    service.settle(60)
    service.check()


def test_the_store_hangs(service: Service) -> None:
    """Stopped for three leases, then going on: as if it had been away."""
    send_until_paying(service)
    service.signal("store", signal.SIGSTOP)
    try:
        assert_refused_in_time(service)
        time.sleep(AWAY_SECONDS)
    finally:
        service.signal("store", signal.SIGCONT)
    service.settle(60)
    service.check()


def test_the_stores_memory_is_full(service: Service) -> None:
    """New calls are refused, those under way go on, and all is well once there is room."""
    send_until_paying(service)
    service.redis.config_set("maxmemory", 1)
    try:
        assert_refused_in_time(service)
        time.sleep(3)
    finally:
        service.redis.config_set("maxmemory", 0)
    service.settle(60)
    service.check()


def test_notifications_are_lost_and_doubled(service: Service) -> None:
    """Of messages and words 30 % vanish and as many come twice: only time is lost."""
    over, chance = threading.Event(), random.Random(7)
    seen = {"lost": 0, "doubled": 0, "lost words": 0, "doubled words": 0}

    def meddle() -> None:
        while not over.wait(0.001):
            for queue in QUEUES:
                message = service.redis.lpop(queue)
                if message is None:
                    continue
                fate = chance.random()
                seen["lost"] += fate < 0.3
                seen["doubled"] += fate > 0.7
                for _ in range(0 if fate < 0.3 else 2 if fate > 0.7 else 1):
                    service.redis.rpush(queue, message)
            meddle_with_words()

    def meddle_with_words() -> None:
        """The next word goes to somebody who died, or one comes for nothing."""
        fate, waiters = chance.random(), f"cs:waiters:{chance.choice(QUEUES)}"
        listed = service.redis.zrange(waiters, -1, -1)
        if fate < 0.3 and listed and not listed[0].startswith("dead:"):
            service.redis.zadd(waiters, {f"dead:{seen['lost words']}": service.store.now()})
            seen["lost words"] += 1
        elif fate > 0.7 and listed:
            service.redis.rpush(f"cs:word:{listed[0]}", "for nothing")
            seen["doubled words"] += 1

    thread = threading.Thread(target=meddle)
    thread.start()
    try:
        service.calls(40)
        service.settle(90)
    finally:
        over.set()
        thread.join()
    assert min(seen.values()) >= 5, seen
    service.check()


def test_the_network_to_the_store_swallows_everything(relayed: Service) -> None:
    """A black hole for three leases: no answers, no errors, no repeated payment."""
    send_until_paying(relayed)
    assert relayed.relay
    relayed.relay.hole()
    assert_refused_in_time(relayed)
    time.sleep(AWAY_SECONDS)
    relayed.relay.heal()
    relayed.settle(90)
    relayed.check()


def test_all_connections_to_the_store_break_again_and_again(relayed: Service) -> None:
    """Twelve times in six seconds, in the middle of whatever is written."""
    assert relayed.relay
    relayed.calls(16)
    for _ in range(12):
        relayed.relay.cut()
        time.sleep(0.5)
    relayed.settle(90)
    relayed.check()
