"""Failpoints: places at a durable write or an external effect where a test can make this process fail.

Off unless CALLSCRIBE_FAILPOINTS names them, comma-separated: `name=kill`, `name=raise`, `name=pause:SECONDS`;
`name=kill*2` acts on the first two hits only; `name=kill@PATH` acts once for each time that somebody makes
the file PATH, whichever process of many comes by first. Without a setting `hit` is a look into an empty dict.
"""

from __future__ import annotations

import os
import signal
import threading
import time

from pipeline.domain.errors import SettingsError, StoreUnavailable

NAMES = (
    "claim.after",  # leased, nothing done yet
    "blob.after",  # a file lies on the storage, the record does not know
    "paid.before",  # reserved, not yet asked
    "paid.answered",  # the provider answered, nothing stored
    "paid.kept",  # the answer is stored, the record does not know
    "step.before_finish",  # computed, not yet written
    "step.after_finish",  # written, nobody notified
    "callback.before",
    "callback.after",  # the portal answered, the record does not know
    "timeline.before",
    "timeline.after",  # the entry stands, the record does not know
    "accept.after",  # durable, not yet answered
)

_armed: dict[str, tuple[str, int, str]] = {}  # action, how often still, a file to be found
_lock = threading.Lock()


def arm(text: str | None) -> None:
    """Reads the setting; raises SettingsError for a name or action that does not exist."""
    _armed.clear()
    for part in (text or "").split(","):
        if not part.strip():
            continue
        name, _, action = part.strip().partition("=")
        action, _, latch = action.partition("@")
        action, _, times = action.partition("*")
        if name not in NAMES or action.partition(":")[0] not in ("kill", "raise", "pause"):
            raise SettingsError(f"CALLSCRIBE_FAILPOINTS: {part!r}: expected NAME=kill|raise|pause:SECONDS")
        _armed[name] = (action, int(times) if times else 1 << 30, latch)


def hit(name: str) -> None:
    """Acts if this failpoint is armed."""
    if name not in _armed:
        return
    with _lock:
        action, left, latch = _armed[name]
        if left <= 0 or (latch and not _taken(latch)):
            return
        _armed[name] = (action, left - 1, latch)
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "raise":
        raise StoreUnavailable(f"failpoint {name}")
    else:
        time.sleep(float(action.partition(":")[2]))


def _taken(latch: str) -> bool:
    try:
        os.unlink(latch)  # noqa: PTH108 (the one call that only one of many processes can win)
    except FileNotFoundError:
        return False
    return True
