"""Hostile files: the media worker refuses each with a clear word, stays alive and stays small."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.audio.signals import speech
from tests.security.hostile import flac_silence, lying, never_recordings, wav

ROOT = Path(__file__).parents[2]
AUDIO = ROOT / "fixtures" / "audio"
REFUSALS = {"not_audio", "too_long", "no_speech", "too_large"}
Results = Mapping[str, Mapping[str, Any]]


def swallow(folder: Path, files: Iterable[tuple[str, bytes]], *, max_seconds: float = 600) -> Results:
    """All files through one decoder: no process dies over one, in bounded time and memory."""
    expected = set()
    for name, content in files:
        (folder / name).write_bytes(content)
    expected = {path.name for path in folder.iterdir()}
    done = subprocess.run(
        [sys.executable, "-m", "tests.security.swallow", str(folder), str(max_seconds)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["name"] for line in lines} == expected
    assert max(line["peak_mib"] for line in lines) < 250
    for line in lines:
        assert line["outcome"] == "taken" or (line["outcome"] in REFUSALS and line["message"]), line
        assert "processor time" not in line["message"], line
        assert str(folder) not in line["message"], line
    return {line["name"]: line for line in lines}


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording that lies elsewhere on the disk and must never be heard through another file."""
    path = tmp_path_factory.mktemp("elsewhere") / "secret.wav"
    path.write_bytes(wav(data=speech(8000, 5.0)[0]))
    return path


def test_what_is_no_recording_is_refused(tmp_path: Path, secret: Path) -> None:
    """Error pages, scripts, playlists, images, archives, impossible rates and promises of gigabytes."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / secret.name).write_bytes(secret.read_bytes())  # a relative name would find it
    results = swallow(tmp_path / "scripts", never_recordings(secret))
    assert results[secret.name]["outcome"] == "taken"
    accepted = {name: line for name, line in results.items() if line["outcome"] != "not_audio"}
    assert set(accepted) == {secret.name}


def test_lying_headers_gain_nothing(tmp_path: Path, secret: Path) -> None:
    """What a header claims beyond the bytes is not believed: five seconds are five seconds."""
    for line in swallow(tmp_path, lying(secret)).values():
        assert (line["seconds"] or 0) <= 6, line


def test_a_day_of_silence_costs_nothing(tmp_path: Path) -> None:
    """24 hours in 156 kB are refused as too long, a quarter of an hour as silent, in a moment."""
    bombs = [("day", flac_silence(24)), ("quarter", flac_silence(0.15))]
    assert len(bombs[0][1]) < 200_000
    results = swallow(tmp_path, bombs)
    assert results["day"]["outcome"] == "too_long"
    assert results["quarter"]["outcome"] == "no_speech"


def test_truncated_everything(tmp_path: Path) -> None:
    """Every fixture cut at awkward places is taken as far as it goes, or refused."""
    cuts = (1, 3, 4, 11, 12, 13, 43, 44, 45, 100, 1000, 4095, 4096, 10_007)
    files = [
        (f"{path.name}-{cut}", path.read_bytes()[:cut])
        for path in sorted(AUDIO.iterdir())
        if path.suffix != ".json"
        for cut in cuts
    ]
    results = swallow(tmp_path, files)
    assert any(line["outcome"] == "taken" for line in results.values())


def test_mutations_of_recordings(tmp_path: Path) -> None:
    """A bounded, seeded run of damaged recordings: flipped bits, lost and doubled stretches, wild numbers."""
    chance = random.Random(20_240_229)
    files = []
    for path in sorted(AUDIO.iterdir()):
        if path.suffix == ".json":
            continue
        whole = path.read_bytes()[:60_000]
        files += [(f"{path.name}-{number}", _mutated(whole, chance)) for number in range(16)]
    swallow(tmp_path, files)


def _mutated(content: bytes, chance: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(chance.choice((1, 4, 30))):
        at = min(int(chance.expovariate(1 / 400)), len(data) - 1)  # headers are where it hurts
        match chance.randrange(5):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at : at + 4] = chance.choice(
                    (b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", bytes(4))
                )
            case 2:
                del data[at : at + chance.randrange(1, 64)]
            case 3:
                data[at:at] = data[at : at + chance.randrange(1, 512)]
            case 4:
                data[at : at + 16] = chance.randbytes(16)
    return bytes(data)
