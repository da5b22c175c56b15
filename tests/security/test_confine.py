"""Limits around native code: felt inside, relative to what was used before, gone afterwards."""

from __future__ import annotations

import errno
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.audio.confine import confined
from pipeline.domain.errors import NotAudio, TooLarge

ROOT = Path(__file__).parents[2]
KINDS = (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE)


def limits() -> list[tuple[int, int]]:
    return [resource.getrlimit(kind) for kind in KINDS]


def spin() -> None:
    """Until somebody stops us; two minutes at most, by the test's own time limit."""
    while True:
        pass


def test_memory_is_limited_beyond_what_is_held() -> None:
    """The allowance counts from what the process holds already, as often as one likes.

    In a process of its own: here threads of other tests may give memory back at any moment.
    """
    body = f"from {__name__} import hold_and_take_more; hold_and_take_more()"
    subprocess.run([sys.executable, "-c", body], cwd=ROOT, check=True)


def hold_and_take_more() -> None:
    """What the process of the test above does."""
    held = [bytearray(64 << 20) for _ in range(2)]
    for _ in range(3):
        with pytest.raises(NotAudio, match="64 MiB of memory"), confined(memory_bytes=64 << 20):
            bytearray(100 << 20)
        with confined(memory_bytes=64 << 20):
            assert len(bytearray(30 << 20)) == 30 << 20
    assert len(held) == 2
    assert len(bytearray(200 << 20)) == 200 << 20


def test_processor_time_is_limited_beyond_what_was_used() -> None:
    """A step that computes for too long ends with a refusal, one after another."""
    for _ in range(2):
        with pytest.raises(NotAudio, match="processor time"), confined(cpu_seconds=0.2):
            spin()


def test_the_processor_time_of_earlier_steps_does_not_count() -> None:
    """Steps that take more than one step's time together, and less each, are all served."""
    for _ in range(4):
        with confined(cpu_seconds=1.0):
            end = time.thread_time() + 0.3
            while time.thread_time() < end:
                pass


def test_native_code_that_is_deaf_to_signals_is_killed() -> None:
    """A loop in C that never comes back ends with its process, soon after the limit."""
    code = """
from pipeline.audio.confine import confined
with confined(cpu_seconds=0.1, grace_seconds=1.5):
    sum(range(10**13))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == -signal.SIGPROF


def test_files_are_limited(tmp_path: Path) -> None:
    """A file that grows beyond the limit is refused; other failures of writing stay what they are."""
    with pytest.raises(TooLarge), confined(file_bytes=1 << 20), (tmp_path / "a").open("wb") as file:
        file.write(bytes(2 << 20))
    with pytest.raises(OSError, match="No such") as failure, confined():
        (tmp_path / "missing" / "a").write_bytes(b"")
    assert failure.value.errno == errno.ENOENT


def test_everything_is_as_before() -> None:
    """Limits and the signal's handler come back after success, refusal and any other failure."""
    before, handler = limits(), signal.getsignal(signal.SIGVTALRM)
    with confined():
        inside = limits()
        assert inside[2][0] == 0  # no core file, it would hold the recording
    for failure in (NotAudio, KeyError, MemoryError):
        with pytest.raises((NotAudio, KeyError)), confined():
            raise failure
    assert limits() == before
    assert inside != before
    assert [hard for _, hard in inside] == [hard for _, hard in before]
    assert signal.getsignal(signal.SIGVTALRM) == handler
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == signal.getitimer(signal.ITIMER_PROF) == (0, 0)


def test_narrower_limits_of_the_machine_stay() -> None:
    """A soft limit that is set from outside, and is narrower, is not widened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with confined(file_bytes=1 << 30):
            assert resource.getrlimit(resource.RLIMIT_FSIZE) == (1 << 20, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_other_threads_go_without_the_time_limit() -> None:
    """Off the main thread no signal becomes an exception, so processor time is not limited there."""
    seen: list[tuple[float, float]] = []

    def work() -> None:
        with confined(memory_bytes=64 << 20):
            seen.extend(signal.getitimer(kind) for kind in (signal.ITIMER_VIRTUAL, signal.ITIMER_PROF))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(0, 0), (0, 0)]
