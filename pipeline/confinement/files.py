"""Which files a process may open from then on: those that it is given, and no other (landlock(7))."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import sysconfig
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pipeline

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same numbers on every machine
RULESET_VERSION, PATH_BENEATH = 1, 1  # linux/landlock.h
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, MAKE_REG = (1 << at for at in (0, 1, 2, 3, 8))
TRUNCATE = 1 << 14
READ = READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | MAKE_REG | TRUNCATE  # what is made there stays, so that it can be counted
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE  # what can be allowed of a file, not of a folder
RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # how many kinds of access each version knows; 5 and later: 16
CONNECT_AND_BIND = 3  # TCP, from version 4 on
SCOPES = 3  # abstract sockets, signals to others, from version 6 on


def landlock_version() -> int:
    """Which version of it the system has; 0 where it has none."""
    if sys.platform != "linux":
        return 0
    found: int = ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, RULESET_VERSION)
    return max(0, found)


def restrict_files(*, read: Iterable[Path], write: Iterable[Path] = ()) -> bool:
    """From now on this process opens no other file; False where the system has no such restriction.

    read: files and folders. write: folders, in which files may be made and read, not removed. Python's own
    code stays readable. What is open already stays open. Missing paths are passed over. After `give_up`.
    """
    version = landlock_version()
    if not version:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    known = (1 << RIGHTS.get(version, 16)) - 1
    wanted = struct.pack("<Q", known)
    wanted += struct.pack("<Q", CONNECT_AND_BIND) if version >= 4 else b""
    wanted += struct.pack("<Q", SCOPES) if version >= 6 else b""
    rules = libc.syscall(CREATE_RULESET, wanted, len(wanted), 0)
    if rules < 0:
        return False
    try:
        for paths, access in ((python_code(), READ), (read, READ), (write, WRITE)):
            for path in paths:
                _allow(libc, rules, path, access & known)
        return bool(libc.syscall(RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)


@cache
def python_code() -> frozenset[Path]:
    """Where Python's modules and the libraries beneath them lie: a module may be imported late."""
    ours = sysconfig.get_paths()
    found = {Path(ours[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    # packages may lie outside of the environment: Debian's own, a user's, those that a .pth names; a folder
    # of another name on the path may be a checkout, with settings in it
    found |= {Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")}
    return frozenset(found | {Path(pipeline.__file__).parent, *map(Path, ("/lib", "/lib64", "/usr/lib"))})


def _allow(libc: ctypes.CDLL, rules: int, path: Path, access: int) -> None:
    try:
        place = os.open(path, os.O_PATH)
    except FileNotFoundError:
        return
    try:
        allowed = access if path.is_dir() else access & OF_FILES
        if libc.syscall(ADD_RULE, rules, PATH_BENEATH, struct.pack("<Qi", allowed, place), 0) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(place)
