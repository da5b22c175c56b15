"""Whether audio can be kept just now: asked by a thread that may hang as the storage does."""

from __future__ import annotations

import threading
import time

import structlog

from pipeline.domain.errors import CallscribeError
from pipeline.storage.blobs import Blobs

log = structlog.get_logger()

LOOK_SECONDS = 10.0  # between two looks while all is well
AGAIN_SECONDS = 1.0  # while it is not
BOUND_SECONDS = 10.0  # a look that takes longer counts as failed


class StorageWatch:
    """Looks from the moment it is made until it is closed; all methods return at once, but for `first`."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._begun = time.monotonic()
        self._looking = True
        self._why: str | None = None
        self._done, self._closing = threading.Event(), threading.Event()
        # a daemon: an object store that hangs must not hold up the end of the process either
        self._thread = threading.Thread(target=self._watch, name="storage", daemon=True)
        self._thread.start()

    def first(self, seconds: float) -> str | None:
        """Waits for the end of the first look, `seconds` at the most: what `why` says then."""
        self._done.wait(seconds)
        return self.why

    @property
    def why(self) -> str | None:
        """Why audio cannot be kept, or None; before the end of the first look it is not known to work."""
        late = self._looking and time.monotonic() - self._begun > BOUND_SECONDS
        if late or not self._done.is_set():
            return "The audio storage does not answer."
        return self._why

    def close(self) -> None:
        """Looks no more."""
        self._closing.set()

    def _watch(self) -> None:
        while not self._closing.is_set():
            self._begun, self._looking = time.monotonic(), True
            try:
                self._blobs.usable()
                self._why = None
            except CallscribeError as error:
                if self._why is None:
                    log.error("audio_storage_fails", why=error.message, hint=error.hint)
                self._why = error.message
            self._looking = False
            self._done.set()
            self._closing.wait(AGAIN_SECONDS if self._why else LOOK_SECONDS)
