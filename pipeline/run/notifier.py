"""Celery messages that say only that a queue has work. A lost one costs latency, no more."""

from __future__ import annotations

import threading
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import structlog

from pipeline.settings.store_url import read_sentinels

if TYPE_CHECKING:
    from celery import Celery

TASK = "callscribe.work"
PAUSE_SECONDS = 0.002  # a message that comes within it waits, and so does its call

log = structlog.get_logger()


def broker_url(store_url: str) -> str:
    """The store's URL as Celery's redis transports spell it."""
    if found := read_sentinels(store_url):
        user = (
            f"{quote(found.username or '', safe='')}:{quote(found.password, safe='')}@"
            if found.password
            else ""
        )
        return ";".join(f"sentinel://{user}{host}:{port}/{found.db}" for host, port in found.hosts)
    return store_url.replace("unix://", "redis+socket://", 1)


def _sentinel_options(store_url: str) -> dict[str, object]:
    found = read_sentinels(store_url)
    if not found:
        return {}
    known = {"password": found.sentinel_password} if found.sentinel_password else {}
    return {"master_name": found.service, "sentinel_kwargs": {**known, "socket_timeout": 5}}


def broker_settings(store_url: str) -> dict[str, object]:
    """What the producer and the workers have in common."""
    return {
        "broker_url": broker_url(store_url),
        "broker_transport_options": {
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "retry_on_timeout": False,
            "max_retries": 1,
            "priority_steps": [0],  # one list for each queue: no message is before another
            **_sentinel_options(store_url),
        },
        "broker_connection_timeout": 5,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_default_queue": "upstream",
        "task_create_missing_queues": True,
        "worker_hijack_root_logger": False,
        "worker_prefetch_multiplier": 1,
        "event_queue_expires": 60,
    }


class Notifies(Protocol):
    """Says that a queue has work; may be lost, doubled or late."""

    def notify(self, queue: str, n: int = 1) -> None: ...


class Notifier:
    """Sends from a thread of its own, `most` messages per queue at a time; never blocks the caller."""

    def __init__(self, store_url: str, *, most: int = 32) -> None:
        self._store_url = store_url
        self._most = most
        self._wanted: Counter[str] = Counter()
        self._sent: Counter[str] = Counter()  # messages beside those that waited at the last look
        self._wake = threading.Condition()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._publish, name="notifier", daemon=True)
        self._thread.start()

    def notify(self, queue: str, n: int = 1) -> None:
        """Says that the queue has about `n` steps due."""
        with self._wake:
            if not self._wanted:  # else it is awake already; waking it is the dearest part of this call
                self._wake.notify()
            self._wanted[queue] = min(self._wanted[queue] + n, self._most)

    def close(self) -> None:
        """Sends what is left and stops."""
        self._closed.set()
        with self._wake:
            self._wake.notify()
        self._thread.join(timeout=2)
        if "_app" in self.__dict__:
            self._app.close()

    def load(self) -> None:
        """Loads Celery ahead of the first message, which does it otherwise; takes a moment."""
        self._app  # noqa: B018 (made at first use)

    @cached_property
    def _app(self) -> Celery:
        from celery import Celery

        app = Celery("callscribe.notifier", set_as_current=False)
        app.conf.update(broker_settings(self._store_url))
        return app

    def _publish(self) -> None:
        while True:
            with self._wake:
                while not self._wanted and not self._closed.is_set():
                    self._wake.wait()
                if self._closed.is_set() and not self._wanted:
                    return
                wanted, self._wanted = self._wanted, Counter()
            for queue, n in wanted.items():
                try:
                    with self._app.producer_or_acquire() as producer:
                        for _ in range(self._room(producer, queue, n)):
                            self._app.send_task(
                                TASK,
                                args=[queue],
                                queue=queue,
                                producer=producer,
                                retry=False,
                                ignore_result=True,
                            )
                except Exception as error:  # the sweeper notifies again
                    log.warning("notification_lost", queue=queue, error=type(error).__name__)
            self._closed.wait(PAUSE_SECONDS)

    def _room(self, producer: Any, queue: str, n: int) -> int:
        """How many of n messages may be sent.

        Nobody may be there to hear, so what waits is bounded by its number: a time after which messages
        expire would be another machine's clock. It is looked up only when so many were sent meanwhile.
        """
        if self._sent[queue] + n > self._most:
            self._sent[queue] = producer.channel.queue_declare(queue=queue).message_count
        room = max(0, min(n, self._most - self._sent[queue]))
        self._sent[queue] += room
        return room
