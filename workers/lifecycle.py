"""How a worker begins and ends: its tools, its sweeper, and leaving without losing or repaying anything."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from multiprocessing import Event
from typing import Any

import structlog
from celery import signals

from pipeline.confinement.privileges import die_with_parent, give_up
from pipeline.domain.errors import CallscribeError
from pipeline.domain.kinds import MEDIA, UPSTREAM
from pipeline.run.garbage import collect_seldom
from pipeline.run.notices import Watch
from pipeline.run.notifier import Notifier
from pipeline.run.places import Places, SharedPlaces
from pipeline.run.pulse import Pulse
from pipeline.run.runner import Runner
from pipeline.settings import installation
from pipeline.settings.portals import load_portals
from pipeline.steps.tools import open_tools
from pipeline.telemetry import failpoints
from pipeline.telemetry.logs import configure, secrets_of, take_over
from pipeline.telemetry.traces import TRACES
from workers.reconciler import Reconciler
from workers.sweeper import Sweeper

log = structlog.get_logger()

MEDIA_DRAIN_SECONDS = 0.5


class Worker:
    """What a worker process holds; the children of a prefork pool open their own tools."""

    def __init__(self) -> None:
        self.node = os.environ.get("CALLSCRIBE_NODE") or f"{socket.gethostname()}-{os.getpid()}"
        self.leaving = Event()  # shared with the pool's children
        self._runner: Runner | None = None
        self._pid = 0
        self._lock = threading.Lock()
        self.threads = False  # one process of threads, or children of a prefork pool
        self.pulse: Pulse | None = None
        self.shared: SharedPlaces | None = None  # of the pool's children

    def live(self, role: str, *, places: int) -> None:
        """From now on this process says that it lives, and what it has counted."""
        runner = self.runner()
        TRACES.begin()
        self.pulse = Pulse(runner.tools.store, role, places=places, busy=lambda: runner.holds)
        self.pulse.start()
        collect_seldom()

    def runner(self) -> Runner:
        """This process's runner, opened at first use: connections do not survive a fork."""
        with self._lock:
            if self._runner is None or self._pid != os.getpid():
                loaded = installation.load()
                places = Places(loaded.places if self.threads else None, self.shared)
                self._runner = Runner(open_tools(loaded), notifier=Notifier(loaded.store_url), places=places)
                self._pid = os.getpid()
            return self._runner


worker = Worker()


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _logging(**_: Any) -> None:
    loaded = installation.load()
    configure(loaded.log_format, secrets=secrets_of(loaded, load_portals(loaded)))
    take_over()


@signals.celeryd_after_setup.connect  # type: ignore[untyped-decorator]
def _begin(sender: str, instance: Any, **_: Any) -> None:
    failpoints.arm(installation.load().failpoints)
    give_up()
    queues = set(instance.app.amqp.queues.consume_from)
    threads = "thread" in str(instance.pool_cls).lower()
    worker.threads = threads
    if threads:  # of a pool the children say that they live: a parent with threads must not fork
        worker.runner().tools.transport  # noqa: B018 (made before the first call waits for it)
        worker.live(UPSTREAM, places=instance.concurrency)
        Sweeper(worker.runner(), installation.load(), worker.leaving).start()
        Reconciler(worker.runner(), worker.leaving).start()
        Watch(worker.runner().tools, worker.leaving.wait).start()
    else:
        worker.shared = SharedPlaces(instance.concurrency)
    log.info("worker_begins", node=worker.node, queues=sorted(queues), places=instance.concurrency)


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def _child(**_: Any) -> None:
    """A child of the media pool does not outlive its parent; it reads no recording itself."""
    failpoints.arm(installation.load().failpoints)
    die_with_parent()
    give_up()
    worker.live(MEDIA, places=1)
    worker.runner().tools.decoder.start()


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _leave(how: str, **_: Any) -> None:
    """SIGTERM: claim nothing more, give paid calls their time, then free all leases and leave with 0."""
    worker.leaving.set()
    drain = installation.load().drain_seconds if worker.threads else MEDIA_DRAIN_SECONDS

    def end() -> None:
        until = time.monotonic() + drain
        while time.monotonic() < until and (not worker.threads or worker.runner().holds):
            time.sleep(0.05)
        try:
            held = worker.runner().tools.store.release(f"{worker.node}:", crashed=False)
            log.info("worker_left", node=worker.node, cut_off=held)
        except CallscribeError as error:
            log.warning("leases_not_freed", error=error.slug)
        if worker.pulse:
            worker.pulse.stop()
        TRACES.end()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    threading.Thread(target=end, name="leaving", daemon=True).start()
