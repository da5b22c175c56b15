"""merge: the recogniser's answers, put back on the recording's time axis, by speaker and in true order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from pipeline.audio.coverage import holes, letters, thin, told_already
from pipeline.audio.echo import without_echo
from pipeline.audio.hallucinations import ordinary, plain
from pipeline.audio.judge import cleaned, repeats
from pipeline.audio.placing import place, within
from pipeline.audio.told import told_speakers
from pipeline.domain.errors import NoSpeech
from pipeline.domain.labels import by_turns
from pipeline.domain.languages import iso639
from pipeline.domain.recording import Chunk, Plan, Span
from pipeline.domain.transcript import RawSegment, Recognition, Segment, Speaker, Transcript

UNSURE_LOGPROB = -1.0  # Whisper's own bound below which it tries again
DOUBTFUL_LOGPROB = -0.38  # clean calls lie above it, but for a short sentence here and there
DOUBTFUL_SHARE = 0.2  # of the letters
CLEAR_DB = 30.0  # of speech above noise; nearer to it, twice as many words are wrong
AROUND_SECONDS = 0.5
REPEATED = 3
NO_SPEECH = 0.6  # Whisper's own bound above which, together with doubt, it takes a segment for silence
NONSENSE_LOGPROB = -1.5  # no words of real calls came near to it, however bad the line
MOST = 0.5
MINGLED = 0.15  # of the talk of both; two who often interrupt each other come to 0.1
DOUBTED_SECONDS = 3.0  # a short answer is often doubted, and true


def merge(
    plan: Plan,
    parts: Mapping[str, Recognition],
    *,
    roles: tuple[Speaker, ...],
    language: str | None,
    portal_language: str,
    asked: str | None = None,
) -> Transcript:
    """The transcript of a whole recording.

    parts: by chunk id; a chunk that was asked again has its halves ("3a", "3b") instead, whose spans are
    taken from `plan.chunks` where they stand there. roles: who is on the left and the right; empty:
    speaker 1 and 2. Text with two or more speakers is `[Manager] text` lines in the portal's language.
    Raises NoSpeech when no words are left.
    """
    spoken = language or _language(parts) or asked
    told = told_speakers(plan, parts)
    channels: dict[int, list[Segment]] = {channel: [] for channel in range(plan.channels)}
    empty: list[Span] = []
    by_chunk: dict[str, tuple[Chunk, list[Segment]]] = {}
    logprobs: list[tuple[float, int]] = []
    looped = few = 0
    asked_for = {chunk.id for chunk in plan.chunks}
    # pieces that were asked for again beside their chunk; halves stand in its place
    beside = {name: name[:-1] for name in asked_for if name[-1].isalpha() and name[:-1] in asked_for}
    sure = True
    common = Counter(plain(part.text) for each in parts.values() for part in each.segments)
    for chunk in plan.chunks:
        recognition = parts.get(chunk.id)
        if recognition is None:
            continue
        found, placed_surely = _segments(chunk, recognition, plan, roles, spoken, told, common)
        sure = sure and placed_surely
        whole = by_chunk.setdefault(beside.get(chunk.id, chunk.id), (chunk, []))[1]
        if told_already(found, whole):  # it stood in the first answer, at a wrong time
            continue
        whole += found
        channels[chunk.channel or 0] += found
        looped += repeats(recognition.text)
        few += thin(recognition, chunk)
        logprobs += [
            (raw.avg_logprob, letters([raw.text]))
            for raw in recognition.segments
            if raw.avg_logprob is not None
        ]
    for chunk, told_there in by_chunk.values():
        if not told_there and chunk.sounding_seconds > 0:
            empty += [stretch.span for stretch in chunk.placed]
        elif plan.talk:
            empty += holes(chunk, told_there, plan.talk[chunk.channel or 0])
    empty.sort(key=lambda span: (span.start, span.end))
    segments = sorted(without_echo(channels, plan), key=lambda segment: (segment.start, segment.end))
    if not segments or (
        _lost(plan, empty) > MOST and all(ordinary(segment.text, None) for segment in segments)
    ):
        raise NoSpeech("no words in the recording")
    # plans made before segments were placed say themselves whether the order is exact
    timed = all(part.segments for part in parts.values() if plain(part.text))
    sure = sure and (timed or plan.order == "exact") and not _mingled(plan)
    order: Literal["exact", "approximate"] = "exact" if sure else "approximate"
    return Transcript(
        text=by_turns(segments, portal_language),
        language=spoken,
        segments=tuple(segments),
        partial=bool(plan.missing),
        missing=plan.missing,
        empty_spans=tuple(empty),
        order=order,
        quality=_quality(plan, empty, logprobs, order, looped + few),
    )


def _mingled(plan: Plan) -> bool:
    """Whether both channels sound at a time for so long that other voices are on the line."""
    if len(plan.talk) != 2:
        return False
    left, right = plan.talk
    together = math.fsum(
        max(0.0, min(span.end, other.end) - max(span.start, other.start))
        for span in left
        for other in within(right, span.start, span.end)
    )
    return together > MINGLED * math.fsum(span.seconds for talk in plan.talk for span in talk)


def _language(parts: Mapping[str, Recognition]) -> str | None:
    named = (part.language for part in parts.values() if part.language)
    return next(filter(None, map(iso639, named)), None)  # Whisper says "english"


def _segments(
    chunk: Chunk,
    recognition: Recognition,
    plan: Plan,
    roles: tuple[Speaker, ...],
    language: str | None,
    told: Mapping[str, Speaker],
    common: Mapping[str, int],
) -> tuple[list[Segment], bool]:
    """What was said in a chunk, and whether it is sure where in the recording.

    common: how often each phrase comes in the call: what comes again and again where nobody talks is made up.
    """
    speaker: Speaker | None = None
    talk = plan.talk[chunk.channel or 0] if plan.talk else ()
    other: tuple[Span, ...] = ()
    if chunk.channel is not None:
        speaker = (
            roles[chunk.channel] if chunk.channel < len(roles) else ("speaker_1", "speaker_2")[chunk.channel]
        )
        other = plan.talk[1 - chunk.channel] if len(plan.talk) == 2 else ()
    raw_segments = cleaned(recognition, chunk.seconds, language)
    if chunk.sounding_seconds >= DOUBTED_SECONDS and all(map(_made_up, raw_segments)):
        return [], True  # over music and noise all of an answer is doubted, over speech some of it at most
    placed, sure = place(
        chunk, raw_segments, recognition.words, talk=talk, other=other, timed=bool(recognition.segments)
    )
    found: list[Segment] = []
    for part in placed:
        raw = raw_segments[part.segment]
        inside = within(talk, part.start - AROUND_SECONDS, part.end + AROUND_SECONDS)
        nobody = bool(talk) and not inside
        if ordinary(part.text, language) and (nobody or _doubtful(raw)):
            continue
        if nobody and (_doubtful(raw) or common[plain(part.text)] >= REPEATED):
            continue
        who = speaker or told.get(raw.speaker or "")
        found.append(Segment(start=round(part.start, 3), end=round(part.end, 3), speaker=who, text=part.text))
    return found, sure


def _doubtful(part: RawSegment) -> bool:
    """Whether the recogniser itself doubts that there was speech."""
    return (part.no_speech_prob or 0.0) > NO_SPEECH and (part.avg_logprob or 0.0) < UNSURE_LOGPROB / 2


def _made_up(part: RawSegment) -> bool:
    """Whether a segment, where all beside it are like it, is about no speech at all."""
    return _doubtful(part) or (part.avg_logprob or 0.0) < NONSENSE_LOGPROB


def _lost(plan: Plan, empty: Sequence[Span]) -> float:
    """The share of what was sent that has no words."""
    total = sum(chunk.seconds for chunk in plan.chunks) or 1.0
    return sum(span.seconds for span in empty) / total


def _quality(
    plan: Plan, empty: list[Span], logprobs: list[tuple[float, int]], order: str, looped: int
) -> Literal["good", "fair", "poor"]:
    """How far the words can be trusted.

    logprobs: the recogniser's own doubts, each with how many letters it is about. Some recognisers tell
    none, and all are sometimes sure of nonsense: so noise counts as well.
    """
    lost = _lost(plan, empty)
    missing = sum(span.seconds for span in plan.missing) / max(plan.seconds, 1.0)
    told = sum(length for _, length in logprobs) or 1
    sure = math.fsum(each * length for each, length in logprobs) / told
    doubtful = sum(length for each, length in logprobs if each < DOUBTFUL_LOGPROB) / told
    if lost > MOST or missing > MOST or sure < UNSURE_LOGPROB:
        return "poor"
    noisy = min(plan.above_noise, default=CLEAR_DB) < CLEAR_DB
    unsure = doubtful > DOUBTFUL_SHARE
    return "fair" if empty or plan.missing or order == "approximate" or looped or unsure or noisy else "good"
