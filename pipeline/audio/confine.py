"""Limits of memory, processor time and file size around native code that reads untrusted bytes.

They are set once, in a process that reads one recording and ends (zygote.py), and cannot be raised again.
Processor time is counted by interval timers (setitimer(2)); RLIMIT_CPU counts by the kernel's ticks, which on
a busy virtual machine fall far behind what getrusage(2) tells, but cannot be reset from within. Native code
that loops without end never returns to where an exception can be raised: then the process ends, and the
recording counts as one that crashes it.
"""

from __future__ import annotations

import errno
import math
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.domain.errors import NotAudio, TooLarge


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What reading one recording may take, beyond what the process holds at its begin.

    grace_seconds: of processor time, from the exception to the end of the process. wall_seconds: by the clock
    on the wall, after which whoever started it ends it: native code may also hang without working.
    folder_bytes, folder_files: what its files take together; whoever started it looks, and ends it.
    """

    memory_bytes: int = 768 << 20  # preparing hours of stereo takes less than 100 MB
    cpu_seconds: float = 900.0
    grace_seconds: float = 30.0
    wall_seconds: float = 1800.0
    niceness: int = 0  # nice(2): how far it gives way to whatever else the machine has to do
    file_bytes: int = 2 << 30  # one channel's sound of 18 hours
    folder_bytes: int = 8 << 30  # eight channels of four hours, and their pieces twice
    folder_files: int = 10_000  # a call of a day has a tenth


@contextmanager
def confined(limits: Limits = Limits(), held_bytes: int | None = None) -> Iterator[None]:
    """From now on the process has these limits; inside, what goes beyond them is an error with a name.

    held_bytes: as `data_bytes` tells, where that was asked already.
    Raises NotAudio where a recording asks for more memory or time than recordings do, TooLarge where a file
    would grow beyond its limit. Of the main thread only, since only there a signal becomes an exception.
    """

    def out_of_time(*_: Any) -> None:
        raise NotAudio(f"It takes more than {limits.cpu_seconds:.0f} s of processor time to read.")

    os.nice(limits.niceness)
    _limit(resource.RLIMIT_CORE, 0)  # it would hold the recording
    _limit(resource.RLIMIT_FSIZE, limits.file_bytes)
    _limit(resource.RLIMIT_CPU, math.ceil(limits.cpu_seconds + limits.grace_seconds) + 1)
    if (held := held_bytes or data_bytes()) is not None:
        _limit(resource.RLIMIT_DATA, held + limits.memory_bytes)
    signal.signal(signal.SIGVTALRM, out_of_time)
    signal.setitimer(signal.ITIMER_VIRTUAL, limits.cpu_seconds)
    # kills: no handler, so no interpreter has to run for it
    signal.setitimer(signal.ITIMER_PROF, limits.cpu_seconds + limits.grace_seconds)
    try:
        yield
    except MemoryError:
        raise NotAudio(f"It takes more than {limits.memory_bytes >> 20} MiB of memory to read.") from None
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise TooLarge(f"A piece of it grows beyond {limits.file_bytes >> 20} MiB.") from None
        raise
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit(kind: int, value: int) -> None:
    """No more than that, and no more than is allowed already."""
    ceilings = [ceiling for ceiling in resource.getrlimit(kind) if ceiling != resource.RLIM_INFINITY]
    most = min([value, *ceilings])
    resource.setrlimit(kind, (most, most))


def data_bytes() -> int | None:
    """What RLIMIT_DATA counts of this process; None where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    return None
