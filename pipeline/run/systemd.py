"""What systemd wants to hear of a service of Type=notify: that it is ready, lives, leaves (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

SOCKET = "NOTIFY_SOCKET"
BEAT_SECONDS = 5.0  # a WatchdogSec of 10 or more is kept

_beaten_at = -BEAT_SECONDS


def listens() -> bool:
    """Whether systemd has started this process, and wants to hear of it."""
    return bool(os.environ.get(SOCKET))


def tell(state: str) -> None:
    """READY=1, STOPPING=1, WATCHDOG=1; nothing at all where nobody listens."""
    address = os.environ.get(SOCKET, "")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
        told.connect("\0" + address[1:] if address.startswith("@") else address)
        told.sendall(state.encode())


def alive() -> None:
    """For the loop that must not stand still: as often as it likes, told every few seconds."""
    global _beaten_at
    if listens() and time.monotonic() >= _beaten_at + BEAT_SECONDS:
        _beaten_at = time.monotonic()
        tell("WATCHDOG=1")
