"""What people start: the demo, and a file on their own machine, heard by a real Whisper."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.system.processes import ROOT, command, environment, short_folder

AUDIO = ROOT / "fixtures" / "audio"


def done(*args: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = environment() | {"TMPDIR": str(folder)}
    return subprocess.run(command(*args), env=env, cwd=folder, capture_output=True, text=True, timeout=280)


@pytest.mark.timeout(300)
def test_the_demo_hears_an_english_and_a_russian_call() -> None:
    """Both come home as transcripts by speaker, a score and an entry in the timeline of their own deal."""
    with short_folder() as folder:
        shown = done("demo", "--recogniser", "whisper", folder=folder)
        assert shown.returncode == 0, shown.stdout + shown.stderr
        assert not [path for path in folder.iterdir() if path.name.startswith("callscribe")]
    english, russian = re.split(r"The portal sends a call \(russian-call", shown.stdout)
    for said, words in ((english, "phone system"), (russian, "сотрудников")):
        for part in ("Manager: ", "Client: ", words, '"lead": {', "AI classification: ", "state: written"):
            assert part in said, part


@pytest.mark.timeout(300)
def test_a_russian_file_is_heard_on_this_machine() -> None:
    """`transcribe --offline` needs neither key nor language: words by speaker, as JSON."""
    with short_folder() as folder:
        heard = done(
            "transcribe", "--offline", "--format", "json", str(AUDIO / "russian-call"), folder=folder
        )
        assert heard.returncode == 0, heard.stderr
    found = json.loads(heard.stdout)
    assert found["language"] == "ru"
    assert {segment["speaker"] for segment in found["segments"]} == {"manager", "client"}
    words = set(re.findall(r"\w+", found["text"].lower()))
    assert len(words & {"сотрудников", "бюджет", "рублей", "месяце", "спасибо"}) >= 4
