"""A store behind sentinels, whose master dies under load."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from pipeline.domain.errors import LeaseLost, StoreUnavailable, UnknownJob
from pipeline.domain.job import JobId, PortalId
from pipeline.run.notifier import broker_settings
from pipeline.settings.store_url import Sentinels, read_sentinels
from pipeline.store import Intake, Quota, Stale, Store, Transition, persist, prepare
from tests.store.jobs import a_job, accept, due
from tests.store.sentinels import sentinels


def test_a_failover_under_load_stops_nobody(short_path: Path) -> None:
    """Workers, those that wait for word too, go on with the new master; what is accepted there is done."""
    with sentinels(short_path) as group:
        store = Store(group.url, timeout_seconds=2.0)
        store.limit("media", {PortalId("acme"): 1000})
        done: set[JobId] = set()
        over = threading.Event()

        def work(number: int) -> None:
            while not over.is_set():
                try:
                    claim = store.claim("media", f"node:{number}", lease_seconds=2, waits=True)
                    if claim is None:
                        store.word(f"node:{number}", seconds=1)
                        continue
                    job = store.load(claim.job)
                    store.finish(
                        job, Transition(facts={"fetch": 1}, dues=(), status="done", closed=True), claim=claim
                    )
                    done.add(claim.job)
                except (StoreUnavailable, LeaseLost, Stale, UnknownJob):
                    over.wait(0.05)

        workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for worker in workers:
            worker.start()
        try:
            for number in range(100):
                accept(store, a_job(store, number), limit=10_000)
            group.fail_over()
            wanted = {persist(sent, store, number) for number in range(100, 200)}

            async def one_more() -> str:
                intake = Intake(group.url)
                try:
                    made = prepare(persist(a_job, store, 777), (due("fetch"),), quota=Quota(10_000))
                    wanted.add(made.job.id)
                    return (await intake.accept(made))[0]
                finally:
                    await intake.close()

            # a sentinel that is kept from its work doubts the new master for a moment, as it does the old one
            assert persist(lambda: asyncio.run(one_more())) in ("new", "known")
            end = threading.Event()
            for _ in range(600):
                if wanted <= done:
                    break
                end.wait(0.05)
            assert wanted <= done, f"{len(wanted - done)} are not done"
        finally:
            over.set()
            for worker in workers:
                worker.join()
            store.close()


def sent(store: Store, number: int) -> JobId:
    """A job that is accepted."""
    job = a_job(store, number)
    accept(store, job, limit=10_000)
    return job.id


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("redis+sentinel://a/s", Sentinels(hosts=(("a", 26379),), service="s")),
        (
            "redis+sentinel://me:p%40ss@a:1,b:2/s/3?sentinel_password=x",
            Sentinels(
                hosts=(("a", 1), ("b", 2)), service="s", db=3, username="me", password="p@ss",
                sentinel_password="x",
            ),
        ),
        ("redis://a/0", None),
    ],
)  # fmt: skip
def test_an_address_of_sentinels_is_read(url: str, found: Sentinels | None) -> None:
    """Hosts, service, database, and the passwords of both."""
    assert read_sentinels(url) == found


@pytest.mark.parametrize("url", ["redis+sentinel://a", "redis+sentinel://a:x/s", "redis+sentinel:///s",
                                 "redis+sentinel://a/s/x", "redis+sentinel://a/s?what=1"])  # fmt: skip
def test_an_address_of_sentinels_that_lacks_something_is_refused(url: str) -> None:
    """At the start, not at the first failover."""
    with pytest.raises(ValueError, match=r"."):
        read_sentinels(url)


def test_celery_is_told_of_all_sentinels() -> None:
    """In its own spelling, with the name of the service."""
    told = broker_settings("redis+sentinel://:pw@a:1,b:2/s/3?sentinel_password=x")
    assert told["broker_url"] == "sentinel://:pw@a:1/3;sentinel://:pw@b:2/3"
    options = told["broker_transport_options"]
    assert isinstance(options, dict)
    assert options["master_name"] == "s"
    assert options["sentinel_kwargs"]["password"] == "x"
