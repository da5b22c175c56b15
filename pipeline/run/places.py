"""Places for steps: how many run at a time, and which of them are kept for what is urgent."""

from __future__ import annotations

import fcntl
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pipeline.domain.kinds import BACKGROUND, QUEUES, UPSTREAM
from pipeline.settings.portals import Portals
from pipeline.steps.tools import Tools

BACKGROUND_LIMIT = 2  # of a portal's steps at a time: its CRM takes two requests a second
GIVE_WAY_SECONDS = 0.05  # about as long as a short call is worked at


class SharedPlaces:
    """Places that the processes of one worker share: all but the last may be taken for any step. Made before
    they are forked; each of them holds one place at a time.

    Locks of a file, since the kernel gives back what a process held when it was killed.
    """

    def __init__(self, places: int) -> None:
        """places: how many processes there are. One that is alone may take any step."""
        self._file, name = tempfile.mkstemp()  # it lives as long as the worker
        Path(name).unlink()
        self._most = max(1, places - 1)
        self._held: int | None = None

    def enter(self) -> bool:
        """Whether this process may take any step now; else the last place is left, for urgent ones."""
        if self._held is not None:
            return True
        for place in range(self._most):
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except OSError:
                continue
            self._held = place
            return True
        return False

    def leave(self) -> None:
        """Gives the place back."""
        if self._held is not None:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._held)
            self._held = None


class Places:
    """Those of one process. Thread-safe.

    most: queue -> how many of its steps run at a time; others have no bound. The last free one of several is
    kept for urgent steps, and so is that of processes which have one each (shared).
    """

    def __init__(self, most: Mapping[str, int] | None = None, shared: SharedPlaces | None = None) -> None:
        self._most, self._shared = most or {}, shared
        self._busy: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()  # turns that had a place, and wait for word
        self._unheard: set[str] = set()  # told of work while all places were taken
        self._lock = threading.Lock()
        self._left = threading.Condition(self._lock)

    def enter(self, queue: str) -> bool:
        """Takes a place of the queue, if one is free."""
        with self._lock:
            if self._busy[queue] >= self._most.get(queue, sys.maxsize):
                self._unheard.add(queue)
                return False
            self._busy[queue] += 1
            return True

    def is_last(self, queue: str) -> bool:
        """Whether whoever has taken a place of the queue has the last one."""
        if self._shared is not None:
            return not self._shared.enter()
        return 1 < self._most.get(queue, 1) <= self._busy[queue]

    def leave(self, queue: str) -> bool:
        """Gives the place back; whether word came meanwhile that nobody had a place for."""
        if self._shared is not None:
            self._shared.leave()
        with self._lock:
            self._busy[queue] -= 1
            self._left.notify_all()
            unheard = queue in self._unheard
            self._unheard.discard(queue)
            return unheard

    def give_way(self, queue: str) -> None:
        """What nobody waits for begins when nothing that a portal waits for is under way here, or a moment
        later: they would have the processor in turns.
        """
        if queue == BACKGROUND:
            with self._left:
                self._left.wait_for(lambda: not self._busy[UPSTREAM], GIVE_WAY_SECONDS)

    @contextmanager
    def waiting(self, queue: str) -> Iterator[bool]:
        """Waits without a place; not where as many turns as there are places are here, since others are to be
        heard of by message.
        """
        with self._lock:
            may = self._busy[queue] + self._waiting[queue] < self._most.get(queue, sys.maxsize)
            self._waiting[queue] += may
        try:
            yield may
        finally:
            with self._lock:
                self._waiting[queue] -= may

    def free(self, queue: str) -> int:
        """How many more steps of the queue there are places for."""
        with self._lock:
            return self._most.get(queue, sys.maxsize) - self._busy[queue]


class PortalLimits:
    """How many steps of each portal may run at a time, as the settings have it."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._told: Portals | None = None

    def tell(self) -> None:
        """Tells the store, when the settings have changed."""
        portals = self._tools.portals
        if portals is self._told:
            return
        for queue in QUEUES:
            most = BACKGROUND_LIMIT if queue == BACKGROUND else sys.maxsize
            self._tools.store.limit(
                queue, {portal.id: min(portal.concurrency, most) for portal in portals.values()}
            )
        self._told = portals
