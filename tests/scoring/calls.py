"""Short calls for the tests of this folder."""

from __future__ import annotations

from typing import Any

from pipeline.domain.transcript import Segment, Speaker, Transcript


def segment(start: float, end: float, speaker: Speaker | None, text: str) -> Segment:
    return Segment(start=start, end=end, speaker=speaker, text=text)


def transcript(*segments: Segment, text: str | None = None, **more: Any) -> Transcript:
    lines = [f"[{s.speaker}] {s.text}" if s.speaker else s.text for s in segments]
    return Transcript(
        text=text if text is not None else "\n".join(lines), language="en", segments=segments, **more
    )


CALL = transcript(
    segment(0.0, 2.0, "manager", "Hello, how many people would use it?"),
    segment(2.5, 5.0, "client", "About forty users. We have twelve thousand"),
    segment(5.0, 6.0, "client", "euros for it this year."),
    segment(7.0, 9.0, "manager", "Let's meet on Thursday at ten."),
    segment(9.5, 11.0, "client", "Yes, Thursday is fine; all of it... naïve café!"),
)
