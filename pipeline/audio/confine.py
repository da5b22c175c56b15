"""Limits of memory, processor time and file size around native code that reads untrusted bytes.

Set for one media step at a time, relative to what the process has used already, and lifted afterwards: a
child of the pool serves any number of recordings. Processor time is counted by interval timers, which start
at nought with each step (setitimer(2)); RLIMIT_CPU counts from the start of the process, and by the kernel's
ticks, which on a busy virtual machine fall far behind what getrusage(2) tells. Native code that loops without
end never returns to where an exception can be raised: then the process ends, which the pool sees at once, and
the recording counts as one that crashes its worker.
"""

from __future__ import annotations

import errno
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.domain.errors import NotAudio, TooLarge

MEMORY_BYTES = 768 << 20  # preparing hours of stereo takes less than 100 MB
CPU_SECONDS = 900.0
GRACE_SECONDS = 30.0  # of processor time, from the exception to the end of the process
FILE_BYTES = 512 << 20  # no chunk comes near it


@contextmanager
def confined(
    *,
    memory_bytes: int = MEMORY_BYTES,
    cpu_seconds: float = CPU_SECONDS,
    grace_seconds: float = GRACE_SECONDS,
    file_bytes: int = FILE_BYTES,
) -> Iterator[None]:
    """Inside, the process may take that much more memory and processor time, and write files of that size.

    Raises NotAudio where a recording asks for more memory or time than recordings do, TooLarge where a file
    would grow beyond its limit. No core is dumped: it would hold the recording. Processor time is limited in
    the main thread only, since only there a signal becomes an exception. Limits hold for the whole process.
    """
    before: list[tuple[int, tuple[int, int]]] = []

    def limit(kind: int, value: int) -> None:
        soft, hard = resource.getrlimit(kind)
        ceilings = [ceiling for ceiling in (soft, hard) if ceiling != resource.RLIM_INFINITY]
        resource.setrlimit(kind, (min([value, *ceilings]), hard))
        before.append((kind, (soft, hard)))

    def out_of_time(*_: Any) -> None:
        raise NotAudio(f"It takes more than {cpu_seconds:.0f} s of processor time to read.")

    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGVTALRM, out_of_time) if in_main_thread else None
    try:
        limit(resource.RLIMIT_CORE, 0)
        limit(resource.RLIMIT_FSIZE, file_bytes)
        if (held := _data_bytes()) is not None:
            limit(resource.RLIMIT_DATA, held + memory_bytes)
        if in_main_thread:
            signal.setitimer(signal.ITIMER_VIRTUAL, cpu_seconds)
            # kills: no handler, so no interpreter has to run for it
            signal.setitimer(signal.ITIMER_PROF, cpu_seconds + grace_seconds)
        yield
    except MemoryError:
        raise NotAudio(f"It takes more than {memory_bytes >> 20} MiB of memory to read.") from None
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise TooLarge(f"A piece of it grows beyond {file_bytes >> 20} MiB.") from None
        raise
    finally:
        if in_main_thread:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.setitimer(signal.ITIMER_PROF, 0)
        for kind, was in reversed(before):
            resource.setrlimit(kind, was)
        if in_main_thread:
            signal.signal(signal.SIGVTALRM, handler)


def _data_bytes() -> int | None:
    """What RLIMIT_DATA counts of this process; None where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    return None
