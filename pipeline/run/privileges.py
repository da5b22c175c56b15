"""What a process of ours gives up: it needs no more, and what breaks into it should have less."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.settings.installation import Settings

PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 4, 38  # linux/prctl.h
CLONE_NEWUSER, CLONE_NEWNET = 0x1000_0000, 0x4000_0000  # linux/sched.h


def give_up() -> None:
    """No core dump, which would hold recordings and keys; no privilege by any program that is started; on
    Linux no other process of the same user can read this one's memory or environment."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def needs_no_network(settings: Settings) -> bool:
    """Whether store and audio storage are on this machine, so that media steps can do without any network."""
    return settings.store_url.startswith("unix://") and urlsplit(settings.storage).scheme == "file"


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
