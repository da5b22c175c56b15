"""Short recordings, each different from all others, that pass for somebody speaking."""

from __future__ import annotations

import math
import random
import struct
import wave
from pathlib import Path

RATE = 8000


def write(path: Path, *, seconds: float = 1.5, seed: int = 0) -> None:
    """A wav, 8 kHz mono: a voice-like buzz in words of a fifth of a second."""
    chance = random.Random(seed)
    pitch = chance.uniform(90, 220)
    samples = bytearray()
    for number in range(int(seconds * RATE)):
        at = number / RATE
        loud = 0.3 if at % 0.3 < 0.2 else 0.01
        value = sum(math.sin(2 * math.pi * pitch * n * at) / n for n in (1, 2, 3))
        samples += struct.pack("<h", int(12_000 * loud * value + chance.randrange(-90, 90)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(samples))
