"""Callback bodies, as portals read them."""

from __future__ import annotations

import json

import pytest

from pipeline.contract import audio_body, call_body, error_body, image_body, text_body
from pipeline.domain.errors import BadAnswer, NoSpeech
from pipeline.domain.job import Failure, JobId, Step
from pipeline.domain.lead import Lead
from pipeline.domain.transcript import Segment, Transcript

JOB = JobId("job_01J")
LEAD = Lead(quality="high", score=88, reason="Budget named")


def transcript(*segments: Segment, text: str = "[Manager] Hi\n[Client] Hello") -> Transcript:
    return Transcript(text=text, language="en", segments=segments)


def test_an_audio_result_is_a_list_with_the_text() -> None:
    """The lead and our job's id ride along under keys that portals ignore."""
    assert audio_body(transcript(), LEAD, JOB) == {
        "result": ["[Manager] Hi\n[Client] Hello"],
        "lead": {"quality": "high", "score": 88, "reason": "Budget named"},
        "job": "job_01J",
    }
    assert audio_body(transcript(), None, JOB)["lead"] is None


def test_a_call_result_is_json_inside_a_string() -> None:
    """A bare object under `result` is lost, so the transcriptions travel as text."""
    body = call_body(
        transcript(
            Segment(start=0.4, end=61.9, speaker="manager", text=" Привет "),
            Segment(start=62, end=63, speaker=None, text="  "),
        ),
        LEAD,
        JOB,
    )
    (inner,) = body["result"]
    assert "Привет" in inner
    assert json.loads(inner) == {
        "transcriptions": [
            {"text": "Привет", "user_id": 0, "start_time_formatted": "00:00", "end_time_formatted": "01:01"}
        ],
        "language": "en",
    }


def test_hours_appear_in_the_whole_list_once_the_call_has_one() -> None:
    """One list has one format."""
    body = call_body(
        transcript(
            Segment(start=5, end=8, speaker=None, text="a"),
            Segment(start=3700, end=3701, speaker=None, text="b"),
        ),
        None,
        JOB,
    )
    lines = json.loads(body["result"][0])["transcriptions"]
    assert [line["start_time_formatted"] for line in lines] == ["00:00:05", "01:01:40"]


def test_a_call_without_segments_is_one_line() -> None:
    """A model without timestamps still gives the text."""
    assert (
        json.loads(call_body(transcript(text="Hi"), None, JOB)["result"][0])["transcriptions"][0]["text"]
        == "Hi"
    )


def test_blank_results_are_never_sent() -> None:
    """An empty text would silently end the portal's chain."""
    for build in (audio_body, call_body):
        with pytest.raises(NoSpeech):
            build(transcript(text=" \n"), LEAD, JOB)
    with pytest.raises(BadAnswer):
        text_body(" ")
    with pytest.raises(BadAnswer):
        image_body([])


def test_text_image_and_error_shapes() -> None:
    """Text is a list of one, images a list of URLs, an error gives the limit back."""
    assert text_body("Hi") == {"result": ["Hi"]}
    assert image_body(("https://a.example/1", "https://a.example/2")) == {
        "result": ["https://a.example/1", "https://a.example/2"]
    }
    failure = Failure(slug="no_speech", code=422, message="Nobody speaks.", step=Step("merge"))
    assert error_body(failure) == {"message": "Nobody speaks.", "code": 422, "api_request_completed": False}
