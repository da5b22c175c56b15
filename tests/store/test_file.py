"""What the store's files still hold of what records have lost."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from kombu import Connection

from pipeline.domain.job import Category, Due, Job, PortalId, Request, Source, Step
from pipeline.run.notifier import broker_url
from pipeline.settings.installation import Settings
from pipeline.store import Store, Transition, fields_of, job_id
from pipeline.store.records import dumps
from tests.conftest import embedded_store

SIGNED = "https://portal.example/recording?signature=NOBODYS-BUSINESS"


def test_a_folder_may_have_any_name(short_path: Path) -> None:
    """Spaces, quotes, brackets and signs of URLs: the store starts there, and all its clients find it."""
    folder = short_path / "a b[c]é%20#?'\"*\\d"
    folder.mkdir()
    with embedded_store(folder):
        settings = Settings(data_dir=folder, redis_url=None)
        with closing(Store(settings.store_url)) as store:
            assert store.now() > 0
        with Connection(broker_url(settings.store_url)) as broker:
            broker.ensure_connection(max_retries=1)
            assert broker.default_channel.client.ping()
    assert {path.name for path in folder.iterdir()} >= {"store"}


def test_a_link_that_the_record_has_lost_leaves_the_disk(short_path: Path) -> None:
    """Renewing the append-only file takes away what was replaced since, and leaves what stands."""
    with embedded_store(short_path) as (_, url):
        store = Store(url)
        now = store.now()
        job = Job(
            id=job_id("acme", "1"), portal=PortalId("acme"), category=Category.AUDIO, source=Source.ENGINE,
            accepted_at=now, deadline=now + 3600, request=Request(file_url=SIGNED),
        )  # fmt: skip
        store.accept(job, (Due(step=Step("fetch"), queue="media"),), fields_of(job), 100)
        claim = store.claim("media", "node:task", lease_seconds=30)
        assert claim is not None
        assert held(short_path, SIGNED)
        ended = dumps(replace(job.request, file_url=None))
        store.finish(
            store.load(job.id),
            Transition(facts={"fetch": {}}, dues=(), status="done", fields={"request": ended}, closed=True),
            claim=claim,
            retention_seconds=3600,
        )
        assert held(short_path, SIGNED)
        assert store.disk.renew() >= 10
        end = time.monotonic() + 20
        while held(short_path, SIGNED) and time.monotonic() < end:
            time.sleep(0.02)
        assert not held(short_path, SIGNED)
        assert store.load(job.id).status == "done"
        store.close()


def held(folder: Path, text: str) -> bool:
    """Whether any file of the store holds the text."""
    return any(text.encode() in file.read_bytes() for file in folder.rglob("*") if file.is_file())
