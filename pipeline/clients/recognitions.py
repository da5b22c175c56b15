"""A recogniser's raw answer, read: whichever dialect it is in, it becomes a Recognition.

Besides OpenAI's own forms: subtitles and plain text of servers that ignore `response_format`, words without
segments, pairs of `timestamp`, times as `00:01:02.5` or in ms, speakers as `speaker` or `speaker_id`,
languages as `languages: [{"code"}]`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any

from pipeline.clients.insides import without_insides
from pipeline.clients.providers import body_object
from pipeline.domain.errors import BadAnswer, UnusableAnswer
from pipeline.domain.transcript import RawSegment, Recognition, Word

ECHO_WORDS = 4
FEWEST_WORDS = 2
STEM = 5  # letters of a word that its endings leave alone
MOSTLY = 0.75
NO_SPEECH = 0.5
PAUSE_SECONDS = 0.8  # where a segment of timed words ends
LONGEST_SECONDS = 30.0

_TEXTS = ("text", "transcript", "transcription", "output_text")
_LISTS = ("segments", "utterances", "chunks", "sentences")
_CUE = re.compile(
    r"(?m)^[ \t]*((?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3})[ \t]*-->[ \t]*((?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3})[^\n]*$"
)


def read(raw: Mapping[str, Any]) -> Recognition:
    """A stored answer as a Recognition; its text may be empty. Raises BadAnswer.

    Segments without usable times are dropped, and the text kept. Times are seconds from the chunk's start.
    Where the hint that was sent comes back instead of speech (see `_is_echo`), it is dropped; `echoed` tells
    where that may be so.
    """
    hint = raw.get("prompt") or ""
    body = _body(raw)
    words = _words(body)
    heard = _segments(body)
    if not heard or (any(word.speaker for word in words) and not any(part.speaker for part in heard)):
        heard = _from_words(words)
    segments = tuple(
        s for s in heard if s.text and not _is_echo(s.text, hint, no_speech_prob=s.no_speech_prob)
    )
    text = _text(body)
    echoed = _may_be_echo(text or "", hint, fewest=1) or any(_may_be_echo(part.text, hint) for part in heard)
    if text is None and not heard:
        if any(isinstance(body.get(name), list) for name in _LISTS):
            text = ""  # nobody speaks
        elif refusal := body.get("refusal"):
            raise UnusableAnswer(f"The recogniser refuses ({str(refusal)[:40]}).", http_status=raw["status"])
        else:
            raise BadAnswer("The recogniser's answer holds no text.", http_status=raw["status"])
    if text is None or len(segments) < len(heard):
        text = " ".join(segment.text for segment in segments)
    if _is_echo(text, hint):
        text, segments, words = "", (), ()
    return Recognition(
        text=text.strip(),
        language=_language(body),
        segments=segments,
        model=raw.get("model"),
        paid_seconds=_paid_seconds(body),
        words=words,
        echoed=echoed,
    )


def _body(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The object of an answer; of plain text and subtitles one is made."""
    text = raw["body"].strip().lstrip("\ufeff")
    kind = raw.get("content_type", "")
    if (
        "-->" in text[:20_000]
        and not text.startswith(("{", "["))
        and "event-stream" not in kind
        and _CUE.search(text)
    ):
        return {"segments": list(_cues(text))}
    if kind.startswith(("text/plain", "text/vtt", "application/x-subrip")) and not text.startswith("{"):
        return {"text": text}
    found = body_object(raw)
    if (inner := _text_of(found)) is not None and "-->" in inner[:200] and _CUE.search(inner):
        return {**found, "text": None, "segments": list(_cues(inner))}
    return found


def _cues(text: str) -> Iterator[dict[str, Any]]:
    marks = list(_CUE.finditer(text))
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        block = text[mark.end() : following.start() if following else len(text)].strip("\r\n")
        lines = re.split(r"\r?\n[ \t]*\r?\n", block)[0].splitlines()
        said = re.sub(r"</?(?:v|c|i|b|u)\b[^<>]*>", "", " ".join(line.strip() for line in lines)).strip()
        if said:
            yield {"start": mark[1], "end": mark[2], "text": said}


def _text_of(body: Mapping[str, Any]) -> str | None:
    for name in _TEXTS:
        if isinstance(body.get(name), str):
            return str(body[name])
    choices = body.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):  # a model that chats and hears
        message = choices[0].get("message")
        content = message.get("content") if isinstance(message, dict) else choices[0].get("text")
        return content if isinstance(content, str) else None
    return None


def _text(body: Mapping[str, Any]) -> str | None:
    found = _text_of(body)
    return None if found is None else without_insides(found)


def _language(body: Mapping[str, Any]) -> str | None:
    for name in ("language", "detected_language", "language_code", "languages"):
        value = body.get(name)
        if isinstance(value, list):
            value = value[0] if len(value) == 1 else None  # of several none is the call's
        if isinstance(value, dict):
            value = value.get("code") or value.get("language")
        if isinstance(value, str) and value:
            return value
    label = re.match(r"\s*language\s+([A-Za-z]+)\s*<asr_text>", _text_of(body) or "", re.IGNORECASE)
    return label[1].lower() if label and label[1].lower() != "none" else None


def _words(body: Mapping[str, Any]) -> tuple[Word, ...]:
    listed = body.get("words")
    if not isinstance(listed, list) or not listed:
        listed = [
            word
            for segment in _listed(body)
            if isinstance(segment.get("words"), list)
            for word in segment["words"]
        ]
    words = []
    for item in listed:
        if not isinstance(item, dict):
            continue
        text = next(
            (item[name] for name in ("word", "text", "punctuated_word") if isinstance(item.get(name), str)),
            "",
        )
        span = _span(item)
        if span is None:
            continue  # whisperX leaves out the times of numbers
        if clean := without_insides(text):
            words.append(Word(start=span[0], end=span[1], text=clean, speaker=_speaker(item)))
    return tuple(words)


def _from_words(words: tuple[Word, ...]) -> tuple[RawSegment, ...]:
    """Segments where only words are timed: up to a pause, another speaker, or half a minute."""
    runs: list[list[Word]] = []
    for word in words:
        last = runs[-1][-1] if runs else None
        if (
            last is None
            or word.start - last.end > PAUSE_SECONDS
            or word.speaker != last.speaker
            or word.end - runs[-1][0].start > LONGEST_SECONDS
        ):
            runs.append([])
        runs[-1].append(word)
    return tuple(
        RawSegment(
            start=run[0].start,
            end=run[-1].end,
            text=" ".join(word.text for word in run),
            speaker=run[0].speaker,
        )
        for run in runs
    )


def _listed(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    for name in _LISTS:
        listed = body.get(name)
        if isinstance(listed, list) and listed:
            return [item for item in listed if isinstance(item, dict)]
    return []


def _segments(body: Mapping[str, Any]) -> tuple[RawSegment, ...]:
    segments = []
    for item in _listed(body):
        text = next((item[name] for name in _TEXTS if isinstance(item.get(name), str)), None)
        if text is None:
            continue
        span = _span(item)
        if span is None:
            return ()
        segments.append(
            RawSegment(
                start=span[0],
                end=span[1],
                text=without_insides(text),
                avg_logprob=_number(item.get("avg_logprob")),
                no_speech_prob=_number(item.get("no_speech_prob")),
                compression_ratio=_number(item.get("compression_ratio")),
                speaker=_speaker(item),
            )
        )
    return tuple(segments)


def _speaker(item: Mapping[str, Any]) -> str | None:
    for key in ("speaker", "speaker_id", "speaker_label", "speaker_tag"):
        value = item.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool):
            name = str(value).strip()[:64]
            if name.casefold() not in ("", "unknown", "none", "null", "-1"):
                return name
    return None


def _span(item: Mapping[str, Any]) -> tuple[float, float] | None:
    """Start and end, seconds; None where they are no times that run forward."""
    start, end = _time(item.get("start")), _time(item.get("end"))
    for name in ("timestamp", "timestamps"):
        pair = item.get(name)
        if start is None and isinstance(pair, list) and len(pair) == 2:
            start, end = _time(pair[0]), _time(pair[1] if pair[1] is not None else pair[0])
    if start is None:
        offsets = item.get("offsets")
        pair = (offsets.get("from"), offsets.get("to")) if isinstance(offsets, dict) else None
        pair = pair or next(
            (
                (item[a], item[b])
                for a, b in (("start_ms", "end_ms"), ("startMs", "endMs"))
                if a in item and b in item
            ),
            None,
        )
        if pair and (first := _number(pair[0])) is not None and (last := _number(pair[1])) is not None:
            start, end = first / 1000, last / 1000
    if start is None:
        start = next(
            (
                found
                for name in ("start_time", "startTime", "start_timestamp")
                if (found := _time(item.get(name))) is not None
            ),
            None,
        )
        end = next(
            (
                found
                for name in ("end_time", "endTime", "end_timestamp")
                if (found := _time(item.get(name))) is not None
            ),
            None,
        )
    if start is None or end is None or start < 0 or end < start:
        return None
    return start, end


def _time(value: Any) -> float | None:
    """Seconds of a number, a number as text, or a clock (`01:02.5`, `00:01:02,500`)."""
    if isinstance(value, str) and re.fullmatch(r"\s*(?:\d+:)?\d{1,2}:\d{2}(?:[.,]\d+)?\s*", value):
        seconds = 0.0
        for part in value.strip().replace(",", ".").split(":"):
            seconds = seconds * 60 + float(part)
        return seconds
    return _number(value.strip().removesuffix("s") if isinstance(value, str) else value)


def _is_echo(text: str, hint: str, *, no_speech_prob: float | None = None) -> bool:
    """Whether a text is the hint come back, as Whisper does where it hears no words.

    The whole hint of ECHO_WORDS or more, once or several times over; or so many of its words in a row,
    where the model itself doubts that anybody speaks. Less is left alone: hints are words that are
    expected to be said.
    """
    said, hinted = re.findall(r"\w+", text.casefold()), re.findall(r"\w+", hint.casefold())
    if len(said) < ECHO_WORDS or len(hinted) < ECHO_WORDS:
        return False
    if said == (hinted * (len(said) // len(hinted) + 1))[: len(said)] and len(said) >= len(hinted):
        return True
    in_a_row = f" {' '.join(said)} " in f" {' '.join(hinted)} "
    return in_a_row and no_speech_prob is not None and no_speech_prob > NO_SPEECH


def _may_be_echo(text: str, hint: str, *, fewest: int = FEWEST_WORDS) -> bool:
    """Whether most of a text is words of the hint, in their order, give or take an ending.

    Such a text may have been said; asking once more without the hint tells.
    """
    said, hinted = re.findall(r"\w+", text.casefold()), re.findall(r"\w+", hint.casefold())
    if len(said) < fewest or not hinted:
        return False
    stems, known = ([word[:STEM] for word in words] for words in (said, hinted))
    once = 0
    if len(known) >= MOSTLY * len(said):  # else it cannot be most of the text, and long texts cost the most
        same = SequenceMatcher(None, stems, known, autojunk=False).get_matching_blocks()
        once = sum(block.size for block in same)
    anywhere = sum(stem in set(known) for stem in stems)
    return max(once, anywhere if len(said) >= len(hinted) else 0) >= MOSTLY * len(said)


def _paid_seconds(body: Mapping[str, Any]) -> float:
    """Seconds as the provider counts them: of `usage`, else the length that it measured; else 0."""
    usage = body.get("usage")
    found = (
        [_number(usage.get(name)) for name in ("seconds", "prompt_audio_seconds")]
        if isinstance(usage, dict)
        else []
    )
    seconds = next((number for number in (*found, _number(body.get("duration"))) if number is not None), 0.0)
    return max(0.0, seconds)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
