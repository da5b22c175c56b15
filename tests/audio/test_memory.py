"""Preparation takes the same memory for a minute and for an hour."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

from tests.audio.signals import speech

PROGRAM = """
import resource, sys
from pathlib import Path
from pipeline.audio.limits import UploadLimits
from pipeline.audio.split import gathered, split

def peak():
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if "VmHWM" in line)
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

idle = peak()
path = Path(sys.argv[1])
_, plan = gathered(split(path, sha256="", content_type=None, out=path.parent / "out", limits=UploadLimits(),
                         chunk_seconds=600, uploads_per_minute=4, name="chunk"))
print(idle, peak(), round(plan.seconds), len(plan.chunks))
"""


def prepared(folder: Path, minutes: int) -> tuple[int, int]:
    """KB above idle at the peak, and chunks, of a two-sided call of that length."""
    folder.mkdir()
    one, _ = speech(8000, 60, seed=1)
    other, _ = speech(8000, 60, seed=2)
    both = bytearray(len(one) * 2)
    for channel, pcm in enumerate((one, other)):
        both[2 * channel :: 4], both[2 * channel + 1 :: 4] = pcm[::2], pcm[1::2]
    with wave.open(str(folder / "call"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        for _ in range(minutes):
            file.writeframesraw(bytes(both))
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder / "call")]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    idle, peak, seconds, chunks = map(int, output.split())
    assert seconds == minutes * 60
    return peak - idle, chunks


def test_constant_memory(tmp_path: Path) -> None:
    """An hour on two channels takes a few megabytes more than two minutes, and far less than a hundred."""
    short, _ = prepared(tmp_path / "short", 2)
    long, chunks = prepared(tmp_path / "long", 60)
    assert chunks >= 8
    assert long < 100_000
    assert long - short < 30_000


def test_numpy_is_loaded_where_recordings_are_read() -> None:
    """What only says which function is to read a recording does without NumPy's time and memory."""
    program = (
        "import sys\n"
        "import pipeline.steps.audio_steps, pipeline.steps.archive_steps, pipeline.health.machine\n"
        "print('numpy._core' in sys.modules)\n"
        "from pipeline.audio.arrays import load\n"
        "load()\n"
        "print('numpy._core' in sys.modules)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert output.split() == ["False", "True"]
