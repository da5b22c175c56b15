"""Exports of a transcript: plain text, SubRip, WebVTT, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

from pipeline.contract.sinks import to_file
from pipeline.domain.labels import cue_time, speaker_word
from pipeline.domain.plain import to_plain
from pipeline.domain.transcript import Segment, Transcript


def txt(transcript: Transcript, *, language: str = "en") -> str:
    """The text by turns, ending with a line break."""
    return transcript.text.rstrip() + "\n"


def srt(transcript: Transcript, *, language: str = "en") -> str:
    """SubRip: numbered cues, a comma before milliseconds."""
    cues = []
    for number, segment in enumerate(_cues(transcript), 1):
        times = f"{cue_time(segment.start, ',')} --> {cue_time(segment.end, ',')}"
        cues.append(f"{number}\n{times}\n{_named(segment, language)}\n")
    return "\n".join(cues)


def vtt(transcript: Transcript, *, language: str = "en") -> str:
    """WebVTT with voice tags (W3C WebVTT, 3.5): `<v Manager>text`."""
    cues = ["WEBVTT\n"]
    for segment in _cues(transcript):
        text = _oneline(segment.text).replace("&", "&amp;")
        voice = f"<v {speaker_word(segment.speaker, language)}>" if segment.speaker else ""
        cues.append(f"{cue_time(segment.start, '.')} --> {cue_time(segment.end, '.')}\n{voice}{text}\n")
    return "\n".join(cues)


def as_json(transcript: Transcript, *, language: str = "en") -> str:
    """The whole transcript as JSON, letters as they are."""
    return json.dumps(to_plain(transcript), ensure_ascii=False, indent=2) + "\n"


FORMATS: dict[str, Callable[..., str]] = {"txt": txt, "srt": srt, "vtt": vtt, "json": as_json}
CONTENT_TYPES = {
    "txt": "text/plain; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "json": "application/json",
}


def export(transcript: Transcript, kind: str, *, language: str = "en") -> str:
    """The transcript as txt, srt, vtt or json; `language` words the speakers. KeyError for another kind."""
    return FORMATS[kind](to_file(transcript), language=language)


def _cues(transcript: Transcript) -> list[Segment]:
    """Segments in order of their start, none without length: players drop those."""
    cues = []
    for segment in sorted(transcript.segments, key=lambda each: (each.start, each.end)):
        end = max(segment.end, segment.start + 0.5)
        cues.append(Segment(start=segment.start, end=end, speaker=segment.speaker, text=segment.text))
    return cues


def _named(segment: Segment, language: str) -> str:
    text = _oneline(segment.text)
    return f"[{speaker_word(segment.speaker, language)}] {text}" if segment.speaker else text


def _oneline(text: str) -> str:
    return " ".join(text.split())
