"""Preparation of an hour of 8 kHz mp3, side by side with what it could cost: `python -m bench.prepare`.

Floors: FFmpeg's own silence detection (where the program is installed) and bare decoding by PyAV. Rival:
the usual recipe, pydub's `split_on_silence` over the whole recording (with --pydub; it takes minutes).
Every figure is the best of --repeat runs, each in a process of its own; memory is that process's peak.
"""

from __future__ import annotations

import argparse
import math
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av

from bench.report import Row
from tests.audio.signals import decoded, speech, write

# calls of the fixtures: one that hardly rests, so that its frames are copied, and one that is packed
FIXTURES = Path(__file__).parents[1] / "fixtures" / "audio"
COPIED, ENCODED = "russian-call", "sales-call"


def ours(path: Path) -> None:
    """What the step split does, the chunk files included."""
    from pipeline.audio.limits import UploadLimits
    from pipeline.audio.split import gathered, split

    with tempfile.TemporaryDirectory() as out:
        parts = split(
            path,
            sha256="0" * 64,
            content_type=None,
            out=Path(out),
            limits=UploadLimits(),
            chunk_seconds=600,
            uploads_per_minute=4,
            name="chunk",
            max_seconds=20_000,
        )
        gathered(parts)


def decode(path: Path) -> None:
    """Bare decoding."""
    with av.open(str(path)) as container:
        for _ in container.decode(container.streams.audio[0]):
            pass


def silencedetect(path: Path) -> None:
    """FFmpeg's silence detection."""
    _ffmpeg("-i", str(path), "-af", "silencedetect", "-f", "null", "-")


def silencedetect_flac(path: Path) -> None:
    """FFmpeg's silence detection, and all of it as FLAC."""
    with tempfile.TemporaryDirectory() as out:
        _ffmpeg("-i", str(path), "-af", "silencedetect", "-c:a", "flac", f"{out}/whole.flac")


def _ffmpeg(*arguments: str) -> None:
    program = shutil.which("ffmpeg")
    assert program
    subprocess.run([program, "-v", "error", *arguments], check=True)


def recipe(path: Path) -> None:
    """The whole recording in memory, cut and exported with pydub."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pydub import AudioSegment
        from pydub.silence import split_on_silence

    with tempfile.TemporaryDirectory() as out:
        whole = AudioSegment.from_file(str(path))
        for number, part in enumerate(split_on_silence(whole, min_silence_len=500, silence_thresh=-45)):
            part.export(str(Path(out) / f"{number}.wav"), format="wav")


WAYS: dict[str, Callable[[Path], None]] = {
    "ffmpeg": silencedetect,
    "ffmpeg to flac": silencedetect_flac,
    "decode": decode,
    "callscribe": ours,
    "pydub": recipe,
}


def measured(way: str, path: Path) -> list[float]:
    """Seconds, processor seconds and peak MB of one run in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "bench.prepare", "--way", way, str(path)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(each) for each in output.split()]


def run(way: str, path: Path) -> None:
    """One run, for `measured`."""
    before = _processor()
    started = time.perf_counter()
    WAYS[way](path)
    took = time.perf_counter() - started
    print(took, _processor() - before, _peak() if not way.startswith("ffmpeg") else 0.0)


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _peak() -> float:
    """Peak resident MB of this process alone: `ru_maxrss` would still know its parent's."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line) / 1024


def recording(folder: Path, seconds: int, *, stereo: bool = False, call: str = COPIED) -> Path:
    """A call of the fixtures again and again as 8 kHz mp3 at 16 kbit/s, or words and pauses on two sides of
    44.1 kHz wav.
    """
    if not stereo:
        pcm, _ = decoded(FIXTURES / call, 8000)
        whole = (pcm * (seconds * 16_000 // len(pcm) + 1))[: seconds * 16_000]
        return write(
            folder / "call.mp3", whole, rate=8000, codec="libmp3lame", container="mp3", bit_rate=16_000
        )
    one, _ = speech(44_100, 600, seed=1)
    other, _ = speech(44_100, 600, seed=2, start=1.7)
    times = seconds // 600
    return write(folder / "call.wav", one * times, other * times, rate=44_100)


def measure(quick: bool) -> list[Row]:
    """Processor time of preparing an hour (quick: ten minutes) of mp3, beside FFmpeg and bare decoding."""
    length = "ten minutes" if quick else "an hour"
    return [
        _row(f"preparing {length} of mp3, frames copied", COPIED, "ffmpeg", quick),
        _row(f"preparing {length} of mp3, packed and encoded", ENCODED, "ffmpeg to flac", quick),
    ]


def _row(what: str, call: str, floor: str, quick: bool) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        path = recording(Path(folder), 600 if quick else 3600, call=call)
        ways = ["callscribe", "decode", *([floor] if shutil.which("ffmpeg") else [])]
        runs = [{way: measured(way, path)[1] for way in ways} for _ in range(2 if quick else 3)]
    beside = {way: [run_[way] for run_ in runs] for way in ways[1:]}
    ours_ = [run_["callscribe"] for run_ in runs]
    return Row(what=f"{what}, processor time", unit="s", ours=ours_, beside=beside, wanted="<= 1.5 of ffmpeg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("path", nargs="?", type=Path, help="a recording of your own")
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--stereo", action="store_true", help="two sides of 44.1 kHz wav instead")
    parser.add_argument("--pydub", action="store_true", help="the pydub recipe as well")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        run(given.way, given.path)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = given.path or recording(Path(folder), given.seconds, stereo=given.stereo)
        ways = [way for way in WAYS if way != "pydub" or given.pydub]
        ways = [way for way in ways if not way.startswith("ffmpeg") or shutil.which("ffmpeg")]
        best: dict[str, list[float]] = {}
        for _ in range(given.repeat):  # in turn, so that a busy moment of the machine is everybody's
            for way in ways:
                if way == "pydub" and way in best:
                    continue
                figures = measured(way, path)
                best[way] = [min(pair) for pair in zip(best.get(way, figures), figures, strict=True)]
        print(f"{path.name}, {path.stat().st_size / 1e6:.1f} MB, best of {given.repeat}")
        print(f"{'way':12}{'seconds':>9}{'of ours':>9}{'processor':>11}{'of ours':>9}{'peak MB':>9}")
        ours_seconds, ours_processor, _ = best["callscribe"]
        for way, (seconds, processor, peak) in best.items():
            print(
                f"{way:12}{seconds:9.2f}{seconds / ours_seconds:8.2f}x{processor:11.2f}"
                f"{processor / ours_processor:8.2f}x{peak or math.nan:9.0f}"
            )


if __name__ == "__main__":
    main()
