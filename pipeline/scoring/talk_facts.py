"""How a call went, from its segments alone: who spoke how long, silences, interruptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.domain.transcript import Segment, Speaker, Transcript

OVERLAP_SECONDS = 0.5  # shorter overlaps come from the recogniser's rounding
LEAST_WORDS = 3  # "yes", "I see": agreeing while the other speaks is no interruption
SILENCE_SECONDS = 2.0  # shorter pauses belong to speaking


@dataclass(frozen=True, kw_only=True)
class TalkFacts:
    """Seconds, shares (0-1) and counts; by speaker where the transcript names speakers."""

    seconds: float  # of the whole call
    silence_seconds: float  # pauses of SILENCE_SECONDS or more, in all
    longest_silence_seconds: float
    talk_share: Mapping[Speaker, float] = field(default_factory=dict)  # of all that was spoken
    interruptions: Mapping[Speaker, int] = field(default_factory=dict)  # by the one who interrupts


def talk_facts(transcript: Transcript, *, seconds: float | None = None) -> TalkFacts | None:
    """The facts of a transcript with times; None without segments, or where order is approximate.

    seconds: length of the recording (without it: up to the last word). An interruption: one speaker
    starts while the other still speaks for OVERLAP_SECONDS or more, and says LEAST_WORDS or more.
    """
    segments = sorted(transcript.segments, key=lambda s: (s.start, s.end))
    if not segments or transcript.order != "exact" or all(s.end <= s.start for s in segments):
        return None
    total = max(seconds or 0.0, max(s.end for s in segments))
    pauses, until = [], 0.0
    for segment in segments:
        if segment.start > until:
            pauses.append(segment.start - until)
        until = max(until, segment.end)
    pauses.append(total - until)
    silences = [pause for pause in pauses if pause >= SILENCE_SECONDS]
    speakers = sorted({s.speaker for s in segments if s.speaker})
    talked = dict.fromkeys(speakers, 0.0)
    for segment in segments:
        if segment.speaker:
            talked[segment.speaker] += segment.end - segment.start
    all_talk = sum(talked.values())
    several = len(speakers) > 1 and all_talk > 0
    return TalkFacts(
        seconds=total,
        silence_seconds=sum(silences),
        longest_silence_seconds=max(silences, default=0.0),
        talk_share={who: talked[who] / all_talk for who in speakers} if several else {},
        interruptions=_interruptions(segments, speakers) if several else {},
    )


def _interruptions(segments: list[Segment], speakers: list[Speaker]) -> dict[Speaker, int]:
    counts = dict.fromkeys(speakers, 0)
    speaking: dict[Speaker, float] = {}  # until when each one speaks
    longest: list[Speaker] = []  # who speaks for longest, and who after that
    for segment in segments:
        who = segment.speaker
        if who is None:
            continue
        other = next((each for each in longest if each != who), None)
        going_on = speaking.get(who, 0.0) >= segment.start  # their own turn runs on: counted already
        cut = other is not None and speaking[other] - segment.start >= OVERLAP_SECONDS
        if cut and not going_on and len(segment.text.split()) >= LEAST_WORDS:
            counts[who] += 1
        speaking[who] = max(speaking.get(who, 0.0), segment.end)
        longest = sorted({*longest, who}, key=lambda each: -speaking[each])[:2]
    return counts
