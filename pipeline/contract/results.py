"""The bodies of callbacks, exactly in the shapes that portals read.

Success is {"result": [...]}, never null, empty, or an object: the portal would lose the job without
a word. Extra top-level keys are ignored by portals. https://apidocs.bitrix24.com/api-reference/ai/
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pipeline.domain.errors import BadAnswer, NoSpeech
from pipeline.domain.job import Failure, JobId
from pipeline.domain.labels import clock
from pipeline.domain.lead import Lead
from pipeline.domain.transcript import Transcript


def lead_body(lead: Lead | None) -> dict[str, Any] | None:
    """{"quality", "score", "reason"}, or None."""
    return None if lead is None else {"quality": lead.quality, "score": lead.score, "reason": lead.reason}


def audio_body(transcript: Transcript, lead: Lead | None, job: JobId) -> dict[str, Any]:
    """Success of an audio job: the transcript by turns. NoSpeech when it is blank: an empty text would
    silently end the portal's chain."""
    return {"result": [_spoken(transcript)], "lead": lead_body(lead), "job": job}


def call_body(transcript: Transcript, lead: Lead | None, job: JobId) -> dict[str, Any]:
    """Success of a call job: JSON inside a string, since a bare object under `result` is lost.

    {"transcriptions": [{"text", "user_id": 0, "start_time_formatted", "end_time_formatted"}],
    "language"}, times as MM:SS, or HH:MM:SS for the whole list once the call lasts an hour.
    """
    text = _spoken(transcript)
    segments = [segment for segment in transcript.segments if segment.text.strip()]
    long = any(segment.end >= 3600 for segment in segments)
    lines = [
        {
            "text": segment.text.strip(),
            "user_id": 0,
            "start_time_formatted": clock(segment.start, hours=long),
            "end_time_formatted": clock(segment.end, hours=long),
        }
        for segment in segments
    ] or [
        {"text": text, "user_id": 0, "start_time_formatted": "00:00", "end_time_formatted": "00:00"},
    ]
    inner = {"transcriptions": lines, "language": transcript.language}
    return {"result": [json.dumps(inner, ensure_ascii=False)], "lead": lead_body(lead), "job": job}


def text_body(text: str) -> dict[str, Any]:
    """Success of a text job. BadAnswer when blank."""
    if not text.strip():
        raise BadAnswer("The model's answer is empty.")
    return {"result": [text]}


def image_body(urls: Sequence[str]) -> dict[str, Any]:
    """Success of an image job: public URLs, of which the portal downloads one. BadAnswer when none."""
    if not urls:
        raise BadAnswer("The provider gave no image.")
    return {"result": list(urls)}


def error_body(failure: Failure) -> dict[str, Any]:
    """A refusal or failure. Code 100 or >= 500 is a provider's error to the portal, else another one;
    the flag gives the portal its spent limit back."""
    return {"message": failure.message, "code": failure.code, "api_request_completed": False}


def _spoken(transcript: Transcript) -> str:
    if not transcript.text.strip():
        raise NoSpeech("Nobody speaks in the recording.")
    return transcript.text
