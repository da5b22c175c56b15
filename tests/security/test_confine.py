"""Limits around native code, each in a process of its own: they cannot be lifted again."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BEGIN = """
import errno, resource, signal, sys, time
from pathlib import Path
from pipeline.audio.confine import Limits, confined
from pipeline.domain.errors import NotAudio, TooLarge
"""


def alone(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    """What becomes of a process that runs this code."""
    return subprocess.run(
        [sys.executable, "-c", BEGIN + code, *args], cwd=ROOT, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def told(code: str, *args: str) -> str:
    done = alone(code, *args)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_memory_is_limited_beyond_what_is_held() -> None:
    """The allowance counts from what the process holds already."""
    code = """
held = bytearray(128 << 20)
try:
    with confined(Limits(memory_bytes=64 << 20)):
        assert len(bytearray(30 << 20)) == 30 << 20
        bytearray(100 << 20)
except NotAudio as error:
    print(error.message)
"""
    assert told(code) == "It takes more than 64 MiB of memory to read."


def test_processor_time_is_limited() -> None:
    """What computes for too long ends with a refusal; what waits does not."""
    code = """
try:
    with confined(Limits(cpu_seconds=0.2)):
        time.sleep(0.4)
        print("waited")
        while True:
            pass
except NotAudio as error:
    print(error.message)
"""
    assert told(code).splitlines() == ["waited", "It takes more than 0 s of processor time to read."]


def test_native_code_that_is_deaf_to_signals_is_killed() -> None:
    """A loop in C that never comes back ends with its process, soon after the limit."""
    code = """
with confined(Limits(cpu_seconds=0.1, grace_seconds=0.5)):
    sum(range(10**13))
"""
    assert alone(code).returncode == -signal.SIGPROF


def test_files_are_limited(tmp_path: Path) -> None:
    """A file that grows beyond the limit is refused; other failures of writing stay what they are."""
    code = """
folder = Path(sys.argv[1])
for path, size in ((folder / "a", 2 << 20), (folder / "no" / "a", 0)):
    try:
        with confined(Limits(file_bytes=1 << 20)):
            path.write_bytes(bytes(size))
    except (TooLarge, OSError) as error:
        print(type(error).__name__, error)
"""
    large, missing = told(code, str(tmp_path)).splitlines()
    assert large == "TooLarge A piece of it grows beyond 1 MiB."
    assert missing.startswith("FileNotFoundError")


def test_limits_cannot_be_raised() -> None:
    """What is limited stays so, in this process and its children; narrower limits of the machine stay."""
    code = """
KINDS = (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 2 << 20))
with confined(Limits(file_bytes=1 << 30)):
    pass
for kind in KINDS:
    soft, hard = resource.getrlimit(kind)
    print(soft == hard != resource.RLIM_INFINITY)
print(resource.getrlimit(resource.RLIMIT_FSIZE), signal.getitimer(signal.ITIMER_PROF)[0])
"""
    assert told(code).splitlines() == ["True", "True", "True", "(1048576, 1048576) 0.0"]
