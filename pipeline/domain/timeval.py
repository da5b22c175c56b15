"""Time-outs of sockets as the kernel takes them (SO_RCVTIMEO and SO_SNDTIMEO of socket(7)).

With Python's own, each read and each write is two system calls, and each gives way to all other threads.
"""

from __future__ import annotations

import math
import socket
import struct


def timeval(seconds: float) -> bytes:
    """A `struct timeval`; 0: no time-out."""
    whole, micros = divmod(math.ceil(seconds * 1e6), 1_000_000)
    return struct.pack("@ll", whole, micros)


def limit_waits(sock: socket.socket, seconds: float) -> None:
    """Each read and each write takes so long at the most; 0: as long as it takes."""
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        sock.setsockopt(socket.SOL_SOCKET, option, timeval(seconds))
