"""Sends recordings through the whole service and a real Whisper, and scores what comes of them.

Each goes the way of a recording that a client of `/v1/calls` uploads: api, workers and store as
`callscribe up` runs them, our own Whisper as the provider. Beside it, Whisper hears the whole file, both
sides mixed, with its voice activity detection: what a plain recogniser makes of the same recording.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from bench.truth.recordings import Recording
from bench.truth.scoring import Figures, score
from pipeline.cli.recogniser import chosen, local
from pipeline.cli.rehearsal import Rehearsal, rehearse

MODEL = "base"
PATIENCE_SECONDS = 900.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came of a recording.

    uploads, uploaded_seconds: what the recogniser was sent, which is what a provider bills. took_seconds:
    from the upload to the end of the job, on this machine. whole: of Whisper alone, on the whole file.
    """

    recording: Recording
    figures: Figures
    speakers: tuple[str | None, ...]
    uploads: int
    uploaded_seconds: float
    took_seconds: float
    whole: Figures | None
    transcript: dict[str, Any]

    @property
    def uploaded_share(self) -> float | None:
        """Seconds sent per second of speech."""
        speech = self.recording.truth.speech_seconds
        return round(self.uploaded_seconds / speech, 2) if speech else None


class Bench:
    """A running service and its recogniser."""

    def __init__(self, whole: Rehearsal, whisper_url: str) -> None:
        self._whole = whole
        self._whisper = httpx.Client(base_url=whisper_url, timeout=PATIENCE_SECONDS, trust_env=False)
        self._log = whole.folder / "log" / "whisper.log"

    def close(self) -> None:
        self._whisper.close()

    def measured(self, recording: Recording, *, beside: bool = True) -> Row:
        """The recording through the service, beside it through Whisper alone; AssertionError otherwise."""
        before = len(self._heard())
        begun = time.monotonic()
        job = self._done(recording)
        took = time.monotonic() - begun
        asked = self._heard()[before:]
        transcript: dict[str, Any] = job["transcript"] or {}
        whole = self._alone(recording) if beside else None
        return Row(
            recording=recording,
            figures=score(recording.truth, transcript),
            speakers=tuple(sorted({s["speaker"] for s in transcript.get("segments", ())}, key=str)),
            uploads=len(asked),
            uploaded_seconds=round(sum(line["seconds"] for line in asked), 1),
            took_seconds=round(took, 1),
            whole=whole,
            transcript=transcript,
        )

    def _done(self, recording: Recording) -> dict[str, Any]:
        """The job at its end."""
        fields = {"language": recording.truth.lang} if recording.truth.lang else {}
        with recording.path.open("rb") as file:
            sent = self._whole.api.post("/v1/calls", data=fields, files={"file": ("recording", file)})
        assert sent.status_code == 202, sent.text
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            self._whole.look()
            job: dict[str, Any] = self._whole.api.get(f"/v1/jobs/{sent.json()['id']}").json()
            if job["status"] in ("done", "failed"):
                error = (job["error"] or {}).get("slug", (job["error"] or {}).get("code"))
                assert not error or "no_speech" in str(job["error"]), job["error"]
                return job
        raise AssertionError(f"{recording.name} did not end in {PATIENCE_SECONDS:.0f} s")

    def _alone(self, recording: Recording) -> Figures:
        """Whisper on the whole file with voice activity detection."""
        fields = {"response_format": "verbose_json", "vad_filter": "true"}
        if recording.truth.lang:
            fields["language"] = recording.truth.lang
        with recording.path.open("rb") as file:
            answer = self._whisper.post(
                "/audio/transcriptions", data=fields, files={"file": ("recording", file)}
            )
        assert answer.status_code == 200, answer.text
        return score(replace(recording.truth, mixed=True), answer.json())

    def _heard(self) -> list[dict[str, Any]]:
        """A line per recording that the recogniser heard."""
        lines = []
        for line in self._log.read_text(encoding="utf-8").splitlines():
            if line.startswith("{") and (plain := json.loads(line)).get("event") == "recording_heard":
                lines.append(plain)
        return lines


@contextmanager
def bench(model: str = MODEL) -> Iterator[Bench]:
    """Everything started, and gone at the end."""
    name = chosen("whisper", model=model, say=print)
    with local(name, model=model) as hears, rehearse(hears=hears) as whole:
        made = Bench(whole, hears.url)
        try:
            yield made
        finally:
            made.close()


def measure(recordings: Iterable[Recording]) -> Iterator[Row]:
    """The rows, each as soon as it is known."""
    with bench() as running:
        for recording in recordings:
            yield running.measured(recording)


def kept(row: Row, folder: Path) -> None:
    """The transcript beside its figures, for whoever wants to read it."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = {"figures": row.figures.plain(), "transcript": row.transcript}
    path = folder / f"{row.recording.name}.json"
    path.write_text(json.dumps(plain, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
