"""Temporary folders that hold recordings while a step runs, and are gone even when its process is killed.

Each folder is locked by its process; the kernel drops the lock with the process, and whoever comes next
removes what nobody holds.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.domain.errors import StoreUnavailable


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for the files of one step; raises StoreUnavailable when the disk has no room for it."""
    try:
        with _entrance() as root:
            _tidy(root)
            folder = Path(tempfile.mkdtemp(dir=root))
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        raise StoreUnavailable(f"No temporary folder can be made: {error.strerror}.") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def tidy() -> None:
    """Removes the folders of processes that were killed."""
    with _entrance() as root:
        _tidy(root)


@contextmanager
def _entrance() -> Iterator[Path]:
    """Folders are made and removed by one process at a time, so that none goes before it is locked."""
    root = Path(tempfile.gettempdir()) / f"callscribe-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    if root.lstat().st_uid != os.getuid():
        raise OSError(0, f"{root} is another user's")
    lock = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield root
    finally:
        os.close(lock)


def _tidy(root: Path) -> None:
    for folder in root.iterdir():
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # its owner has just removed it
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)
