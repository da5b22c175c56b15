"""The recogniser's client: what is sent, what is learned, how answers are read."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clients.providers import Unremembered
from pipeline.clients.recognitions import read
from pipeline.clients.transcriptions import Transcriptions
from pipeline.clients.transport import Transport
from pipeline.domain.errors import BadAnswer, ProviderRefused
from pipeline.domain.recording import Chunk, Span

from .conftest import Scripted

VERBOSE = {
    "task": "transcribe",
    "language": "english",
    "duration": 4.2,
    "text": " Hello there. ",
    "segments": [
        {"id": 0, "start": 0.0, "end": 1.5, "text": " Hello there.", "avg_logprob": -0.2,
         "no_speech_prob": 0.01, "compression_ratio": 1.1},
    ],
}  # fmt: skip
REFUSAL = {
    "error": {"message": "response_format", "type": "invalid_request_error", "code": "invalid_request"}
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "bytes"
    file.write_bytes(b"fLaC\x00 some bytes")
    return file


def client(server: Scripted, transport: Transport, capabilities: Unremembered) -> Transcriptions:
    return Transcriptions(server.provider("whisper-1"), transport, capabilities)


def ask(client: Transcriptions, path: Path, **more: Any) -> dict[str, Any]:
    wanted = {"filename": "chunk-003.flac", "content_type": "audio/flac", "model": "whisper-1", **more}
    return client.ask(path, **wanted)


def test_the_whole_form_is_sent(
    server: Scripted, transport: Transport, capabilities: Unremembered, path: Path
) -> None:
    """The upload bears its canonical name, and all that was asked for stands in the form."""
    server.answer(200, VERBOSE)
    chunk = Chunk(
        id="3", channel=0, span=Span(start=0, end=4), blob="b", filename="chunk-003.flac",
        content_type="audio/flac", size_bytes=16, sounding_seconds=3,
    )  # fmt: skip
    made = client(server, transport, capabilities)
    made.ask(
        path,
        filename=chunk.filename,
        content_type=chunk.content_type,
        language="ru",
        prompt="Bitrix24, CRM",
        model="whisper-1",
    )
    assert server.asked[0].path == "/v1/audio/transcriptions"
    assert server.asked[0].form() == {
        "file": ("chunk-003.flac", "audio/flac", path.read_bytes()),
        "model": "whisper-1",
        "language": "ru",
        "prompt": "Bitrix24, CRM",
        "response_format": "verbose_json",
        "timestamp_granularities[]": ["segment", "word"],
    }


def test_what_is_not_known_is_left_out(
    server: Scripted, transport: Transport, capabilities: Unremembered, path: Path
) -> None:
    """Without model, language and prompt these fields do not appear at all."""
    server.answer(200, VERBOSE)
    ask(client(server, transport, capabilities), path, model=None)
    assert not server.asked[0].form().keys() & {"model", "language", "prompt"}


def test_a_refused_format_is_asked_plainly_once_and_remembered(
    server: Scripted, transport: Transport, capabilities: Unremembered, path: Path
) -> None:
    """A 400 that names the form is asked again as json with the whole file, and remembered for a while."""
    server.answer(400, REFUSAL)
    server.answer(200, {"text": "hello"})
    server.answer(200, {"text": "hello again"})
    made = client(server, transport, capabilities)
    assert read(ask(made, path)).text == "hello"
    assert read(ask(client(server, transport, capabilities), path)).text == "hello again"
    forms = [asked.form() for asked in server.asked]
    assert [form["response_format"] for form in forms] == ["verbose_json", "json", "json"]
    assert forms[1]["file"][2] == path.read_bytes()
    assert "temperature" not in forms[1]


def test_a_plain_refusal_is_permanent_and_teaches_nothing(
    server: Scripted, transport: Transport, capabilities: Unremembered, path: Path
) -> None:
    """When the request without options is refused too, the error is permanent and no option is blamed."""
    for _ in range(3):
        server.answer(400, {"error": {"code": "invalid_request", "message": "The file is no recording."}})
    server.answer(200, VERBOSE)
    made = client(server, transport, capabilities)
    with pytest.raises(ProviderRefused) as caught:
        ask(made, path)
    assert caught.value.provider_code == "invalid_request"
    assert len(server.asked) == 2
    ask(made, path)
    forms = [asked.form().get("response_format") for asked in server.asked]
    assert forms == ["verbose_json", None, "verbose_json", None]


def test_a_verbose_answer_is_read(
    server: Scripted, transport: Transport, capabilities: Unremembered, path: Path
) -> None:
    """Text, language, segments with their marks, the model and the paid seconds are read."""
    server.answer(200, VERBOSE)
    heard = read(ask(client(server, transport, capabilities), path))
    assert (heard.text, heard.language, heard.paid_seconds) == ("Hello there.", "english", 4.2)
    assert heard.model == "whisper-1"
    assert heard.segments[0].text == "Hello there."
    assert (heard.segments[0].end, heard.segments[0].compression_ratio) == (1.5, 1.1)


def raw(body: str, content_type: str = "application/json") -> dict[str, Any]:
    return {"model": None, "form": "json", "status": 200, "content_type": content_type, "body": body}


def test_usage_wins_over_duration() -> None:
    """The provider's own count of paid seconds wins over the length it measured."""
    assert (
        read(raw('{"text": "a", "duration": 3, "usage": {"type": "duration", "seconds": 5}}')).paid_seconds
        == 5
    )


def test_plain_text_is_taken_as_it_is() -> None:
    """A server that answers text/plain has answered the text."""
    assert read(raw("hello\n", "text/plain; charset=utf-8")).text == "hello"


@pytest.mark.parametrize(
    "body", ["", "<html>", "[]", "null", '{"text": null}', '{"error": {"code": "x"}}', '{"text": "half', "{}"]
)
def test_an_unreadable_answer_is_a_bad_answer(body: str) -> None:
    """Whatever is no transcription raises BadAnswer, and an error with status 200 is never silence."""
    with pytest.raises(BadAnswer):
        read(raw(body))


def test_an_answer_of_megabytes_is_not_kept(
    server: Scripted, transport: Transport, capabilities: Unremembered, path: Path
) -> None:
    """No transcription is as long as that; what is read on, and kept, is bounded."""
    server.answer(200, {"text": "a" * (4 << 20)})
    with pytest.raises(BadAnswer, match="too large"):
        ask(client(server, transport, capabilities), path)


def test_segments_without_usable_times_are_dropped() -> None:
    """Times that run backwards or are no numbers cost the segments, not the text."""
    first, second = {"start": 2, "end": 1, "text": "a"}, {"start": 1, "end": 2, "text": "b"}
    heard = read(raw(json.dumps({"text": "a b", "segments": [first, second]})))
    assert (heard.segments, heard.text) == ((), "a b")
    nan = '{"text": "a", "segments": [{"start": NaN, "end": 1, "text": "a"}]}'
    assert read(raw(nan)).segments == ()


HINT = "Northwind, Bitrix24, lead scoring, Susan Miller"


@pytest.mark.parametrize(
    ("segments", "left"),
    [
        ([("Northwind, Bitrix24, lead scoring, Susan Miller.", None)], ""),
        ([("Northwind Bitrix24 lead scoring Susan Miller Northwind Bitrix24", 0.1)], ""),
        ([("Hello there.", 0.1), ("Bitrix24, lead scoring, Susan", 0.9)], "Hello there."),
        ([("Bitrix24, lead scoring, Susan", 0.1)], "Bitrix24, lead scoring, Susan"),
        ([("Susan Miller.", 0.9)], "Susan Miller."),
        ([("I am Susan Miller of Northwind.", 0.9)], "I am Susan Miller of Northwind."),
    ],
)
def test_the_hint_come_back_is_dropped(segments: list[tuple[str, float | None]], left: str) -> None:
    """The hint itself is no speech; words of it that were really said stay."""
    body = {
        "text": " ".join(text for text, _ in segments),
        "segments": [
            {"start": i, "end": i + 1, "text": text, "no_speech_prob": p}
            for i, (text, p) in enumerate(segments)
        ],
    }
    heard = read(raw(json.dumps(body)) | {"prompt": HINT})
    assert heard.text == left
    assert " ".join(segment.text for segment in heard.segments) == left
    assert read(raw(json.dumps({"text": body["text"]})) | {"prompt": None}).text == body["text"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["text", "segments", "start", "end", "usage", "error"]), inner)
        ),
        max_leaves=12,
    )
)
def test_reading_never_fails_otherwise(body: Any) -> None:
    """Any JSON at all is read or is a BadAnswer."""
    with suppress(BadAnswer):
        read(raw(json.dumps(body)))
