"""What a job did, as lines of text."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.domain.job import Event
from pipeline.domain.labels import clock, speaker_word
from pipeline.domain.transcript import Transcript

BAR = 40


def moment(at: float) -> str:
    """A moment as RFC 3339, UTC, whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def duration(seconds: float) -> str:
    """Seconds for people: 0.42 s, 12 s, 03:05, 01:02:03."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return clock(round(seconds))


def timeline(events: Sequence[Event], *, width: int = BAR) -> list[str]:
    """One line per event: when, which step, a bar from its start to its end, what came of it."""
    if not events:
        return []
    first = min(event.at - (event.took or 0.0) for event in events)
    whole = max(max(event.at for event in events) - first, 1e-6)
    steps = max(len(event.step) for event in events)
    lines = []
    for event in events:
        begun = event.at - (event.took or 0.0)
        left = min(int((begun - first) / whole * width), width - 1)
        right = max(left + 1, min(round((event.at - first) / whole * width), width))
        mark = "█" if event.took is not None else "·"
        bar = " " * left + mark * (right - left) + " " * (width - right)
        notes = [event.what]
        if event.took is not None:
            notes.append(duration(event.took))
        if event.attempt > 1:
            notes.append(f"attempt {event.attempt}")
        if event.why:
            notes.append(event.why)
        at = duration(event.at - first)
        lines.append(f"{at:>8}  {event.step:<{steps}} |{bar}| {', '.join(notes)}")
    return lines


def turns(transcript: Transcript) -> list[str]:
    """The transcript by speaker, a line per segment, with its place in the recording."""
    lines = []
    for segment in transcript.segments:
        who = f"{speaker_word(segment.speaker)}: " if segment.speaker else ""
        lines.append(f"{clock(segment.start)}  {who}{segment.text}")
    return lines or transcript.text.splitlines()


def records(rows: Iterable[Mapping[str, Any]], head: Sequence[str]) -> list[str]:
    """The same values that a JSON document has, as columns; what is unset is a dash."""
    return table(head, [["-" if row[name] is None else str(row[name]) for name in head] for row in rows])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns as wide as they need to be."""
    whole = [list(head), *(list(row) for row in rows)]
    widths = [max(len(row[index]) for row in whole) for index in range(len(head))]
    return ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in whole]
