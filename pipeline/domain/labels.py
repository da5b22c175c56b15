"""Words for people in the portal's language, English where it has none here; and how times are told."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.domain.lead import Quality
from pipeline.domain.transcript import Segment, Speaker

SPEAKERS = {
    "en": {"manager": "Manager", "client": "Client", "speaker": "Speaker"},
    "ru": {"manager": "Менеджер", "client": "Клиент", "speaker": "Спикер"},
}
BANDS: dict[str, dict[Quality, str]] = {
    "en": {"high": "high", "medium": "medium", "low": "low"},
    "ru": {"high": "высокая", "medium": "средняя", "low": "низкая"},
}


def speaker_word(speaker: Speaker, language: str = "en") -> str:
    """Who speaks, as a word that begins a line; numbered where nobody knows the role: "Speaker 2"."""
    name, _, number = speaker.partition("_")
    return " ".join(filter(None, (SPEAKERS.get(language.lower()[:2], SPEAKERS["en"])[name], number)))


def by_turns(segments: Sequence[Segment], language: str = "en") -> str:
    """What was said, a line per turn, `[Manager] text`; of one speaker alone as one text."""
    if len({segment.speaker for segment in segments}) < 2:
        return " ".join(segment.text for segment in segments)
    lines: list[str] = []
    last: Speaker | None = None
    for segment in segments:
        if segment.speaker == last and lines:
            lines[-1] += " " + segment.text
        else:
            name = f"[{speaker_word(segment.speaker, language)}] " if segment.speaker else ""
            lines.append(name + segment.text)
        last = segment.speaker
    return "\n".join(lines)


def band_word(quality: Quality, language: str = "en") -> str:
    """The band of a score."""
    return BANDS.get(language, BANDS["en"])[quality]


def clock(seconds: float, *, hours: bool = False) -> str:
    """Seconds as MM:SS, or HH:MM:SS from the first hour on, or when `hours`; parts of a second are cut."""
    whole = max(int(seconds), 0)
    if hours or whole >= 3600:
        return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{whole // 60:02d}:{whole % 60:02d}"


def cue_time(seconds: float, mark: str) -> str:
    """A subtitle's HH:MM:SS and milliseconds, with `mark` between: "," in SubRip, "." in WebVTT."""
    whole = max(round(seconds * 1000), 0)
    return f"{clock(whole // 1000, hours=True)}{mark}{whole % 1000:03d}"
