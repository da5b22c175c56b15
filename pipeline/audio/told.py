"""Speakers as the recogniser tells them, where a recording's channels do not. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from pipeline.audio.hallucinations import plain
from pipeline.domain.recording import Plan
from pipeline.domain.transcript import Recognition, Speaker

NUMBERED: tuple[Speaker, ...] = tuple(name for name in get_args(Speaker) if name.startswith("speaker_"))


def told_speakers(plan: Plan, parts: Mapping[str, Recognition]) -> dict[str, Speaker]:
    """The recogniser's names of speakers, by whom they stand for: numbered as they first speak.

    Empty where nothing can be known: one speaker alone, more than there are numbers, channels that tell
    already, and several answers, since a name of one means nothing in another. Who is the manager no
    recogniser tells, so nobody gets a role.
    """
    if plan.channels != 1:
        return {}
    answered = [parts[chunk.id] for chunk in plan.chunks if chunk.id in parts and plain(parts[chunk.id].text)]
    if len(answered) != 1:
        return {}
    segments = sorted(answered[0].segments, key=lambda segment: segment.start)
    names = list(dict.fromkeys(segment.speaker for segment in segments if segment.speaker))
    if not 2 <= len(names) <= len(NUMBERED):
        return {}
    return dict(zip(names, NUMBERED, strict=False))
