"""What a process of ours gives up: it needs no more, and what breaks into it should have less."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38  # linux/prctl.h
CLONE_NEWUSER, CLONE_NEWNET = 0x1000_0000, 0x4000_0000  # linux/sched.h
CAPABILITY_VERSION_3, CAP_DAC_OVERRIDE = 0x2008_0522, 1 << 1  # linux/capability.h


def give_up() -> None:
    """No core dump, which would hold recordings and keys; no privilege by any program that is started; on
    Linux no other process of the same user can read this one's memory or environment."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def die_with_parent() -> None:
    """Linux kills this process when the thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def leave_network() -> bool:
    """Puts this process into a network of its own that leads nowhere; False where the system forbids it.

    Linux only, before `give_up`, while the process has one thread. Unix sockets of files stay in reach.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) == 0:
        return True
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        return False
    try:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    except OSError:
        pass  # the names of owners differ then; what may be read and written does not
    return True


def drop_capabilities() -> None:
    """Root's powers over other processes and the system go, where a process has them (capset(2)).

    Not the one over files: a folder may be another user's, and which files are open to it is restricted else.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    header, held = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    if libc.capget(header, held) == 0:
        files = held[1] & CAP_DAC_OVERRIDE  # of what is permitted
        libc.capset(header, (ctypes.c_uint32 * 6)(files, files))
