"""The one task: a queue has work."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import structlog
from celery import Task
from celery.worker.request import Request
from kombu.transport.virtual.base import QoS

from pipeline.domain.errors import CallscribeError, StoreUnavailable
from pipeline.run.notifier import TASK
from pipeline.run.pulse import hand_on
from pipeline.store import MOST_WAIT_SECONDS
from workers import app
from workers.lifecycle import worker

TURN_SECONDS = 20.0
LINGER_SECONDS = MOST_WAIT_SECONDS / 2

log = structlog.get_logger()


class WorkRequest(Request):  # type: ignore[misc]
    """Seen by the pool's parent: when a child dies over its task, the leases it held are freed at once."""

    def acknowledge(self) -> None:
        """As Celery does; but what the broker could not be told is over here all the same.

        Celery only logs it, and the message would count against the prefetch limit for ever: a few of them,
        and the worker hears no message any more.
        """
        super().acknowledge()
        with suppress(AttributeError):
            QoS.ack(self._message.channel.qos, self._message.delivery_tag)  # type: ignore[no-untyped-call]

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        self._free()
        return super().on_failure(exc_info, send_failed_event, return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> Any:
        if not soft:
            self._free()
        return super().on_timeout(soft, timeout)

    def _free(self) -> None:
        if worker.threads:  # nobody died: the turn saw to it
            return
        try:
            worker.runner().tools.store.release(
                f"{_owner(self.id, self.worker_pid)}:", crashed=True, alone=True
            )
        except CallscribeError as error:  # else the lease runs out by itself
            log.warning("leases_not_freed", error=error.slug)


def _owner(message: str, pid: int | None) -> str:
    """What holds the leases of a message's turns in one process; it may have come to another one as well."""
    return f"{worker.node}:{message}:{pid}"


class Work(Task):  # type: ignore[misc]
    """Celery's task with our request."""

    Request = WorkRequest


@app.task(name=TASK, base=Work, bind=True, ignore_result=True)  # type: ignore[untyped-decorator]
def work(self: Task, queue: str) -> int:
    """Claims and runs what is due in the queue until nothing is, and no word of more for 5 s; 20 s in all."""
    runner = worker.runner()

    def rests() -> None:
        if not worker.threads:  # a child may be ended at any moment
            with suppress(StoreUnavailable):
                hand_on(runner.tools.store)

    done = runner.drain(
        queue,
        _owner(self.request.id, os.getpid()),
        seconds=TURN_SECONDS,
        stop=worker.leaving.is_set,
        linger_seconds=LINGER_SECONDS,
        rests=rests,
    )
    if done:
        rests()
    return done
