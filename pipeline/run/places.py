"""Places that the processes of one worker share: all but the last may be taken for any step."""

from __future__ import annotations

import fcntl
import tempfile
from pathlib import Path


class SharedPlaces:
    """Made before the processes are forked; each of them holds one place at a time.

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
