# ruff: noqa: E501  (a table of what real servers answer)
"""A good answer is read whatever it comes in, and nothing of a model's insides leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.clients import chat, recognitions
from pipeline.clients.envelopes import hidden_status
from pipeline.clients.insides import answer_only, without_insides
from pipeline.clients.providers import body_object
from pipeline.domain.errors import BadAnswer, UnusableAnswer


def raw(body: Any, kind: str = "application/json") -> dict[str, Any]:
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return {"model": "m", "form": "plain", "status": 200, "content_type": kind, "body": text}


def choice(message: Any, finish: str | None = "stop") -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def events(*pieces: Any, end: str = "data: [DONE]\n\n") -> str:
    return "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces) + end


def delta(text: str | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": text, **more}, "finish_reason": finish}],
    }


SSE = "text/event-stream"
ANSWER = "Hello there."
ANSWERED: dict[str, tuple[Any, str]] = {
    "as openai does": (choice({"role": "assistant", "content": ANSWER}), "application/json"),
    "an event stream": (events(delta("", role="assistant"), delta("Hello "), delta("there."), delta(None, "stop")), SSE),
    "an event stream, untold": (events(delta("Hello "), delta("there.", "stop")), "application/json"),
    "an event stream with comments": (": OPENROUTER PROCESSING\n\n" + events(delta("Hello "), delta("there."), delta("", "stop")), SSE),
    "an event stream of CRLF lines": (events(delta(ANSWER), delta(None, "stop")).replace("\n", "\r\n"), SSE),
    "an event stream with usage alone at its end": (events(delta(ANSWER, "stop"), {"choices": [], "usage": {"prompt_tokens": 3}}), SSE),
    "an event stream of a whole answer": (events(choice({"content": ANSWER})), SSE),
    "lines of json": ("\n".join(json.dumps({"message": {"role": "assistant", "content": t}, "done": d}) for t, d in (("Hello ", False), ("there.", False))) + '\n{"message": {"content": ""}, "done": true, "done_reason": "stop"}', "application/x-ndjson"),
    "padding before": ("\n\n   \n" + json.dumps(choice({"content": ANSWER})), "application/json"),
    "a byte order mark": ("\ufeff" + json.dumps(choice({"content": ANSWER})), "application/json"),
    "a list of one": ([choice({"content": ANSWER})], "application/json"),
    "the router's envelope": ({"success": True, "data": choice({"content": ANSWER})}, "application/json"),
    "a result around": ({"result": choice({"content": ANSWER}), "errors": [], "success": True}, "application/json"),
    "a result with text": ({"result": {"response": ANSWER}, "success": True}, "application/json"),
    "parts": (choice({"content": [{"type": "text", "text": "Hello "}, {"type": "text", "text": "there."}]}), "application/json"),
    "parts with thoughts": (choice({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": ANSWER}]}), "application/json"),
    "output_text parts": (choice({"content": [{"type": "output_text", "text": ANSWER}]}), "application/json"),
    "content as an object": (choice({"content": {"type": "text", "text": ANSWER}}), "application/json"),
    "the message as text": (choice(ANSWER), "application/json"),
    "legacy completions": ({"choices": [{"text": ANSWER, "finish_reason": "stop"}]}, "application/json"),
    "a single delta": ({"choices": [{"delta": {"content": ANSWER}, "finish_reason": "stop"}]}, "application/json"),
    "the responses interface": ({"object": "response", "status": "completed", "output": [{"type": "reasoning", "summary": []}, {"type": "message", "content": [{"type": "output_text", "text": ANSWER}]}]}, "application/json"),
    "anthropic": ({"type": "message", "role": "assistant", "content": [{"type": "text", "text": ANSWER}], "stop_reason": "end_turn"}, "application/json"),
    "google": ({"candidates": [{"content": {"parts": [{"text": "thoughts", "thought": True}, {"text": ANSWER}]}, "finishReason": "STOP"}]}, "application/json"),
    "ollama": ({"model": "m", "message": {"role": "assistant", "content": ANSWER}, "done": True}, "application/json"),
    "all in the reasoning field": (choice({"content": None, "reasoning_content": ANSWER}), "application/json"),
    "all in the reasoning field, after its thoughts": (choice({"content": "", "reasoning": f"Let me see.</think>{ANSWER}"}), "application/json"),
    "in a call's arguments": (choice({"content": None, "tool_calls": [{"function": {"name": "answer", "arguments": ANSWER}}]}, "tool_calls"), "application/json"),
    "an event stream whose end alone says that it ends": (events(delta("Hello "), delta("there.")), SSE),
    "no finish reason": (choice({"content": ANSWER}, None), "application/json"),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERED)
def test_a_chat_answer_is_found(name: str) -> None:
    """The text is read, whole, from wherever it stands."""
    body, kind = ANSWERED[name]
    reply = chat.read(raw(body, kind))
    assert (reply.text, reply.is_cut) == (ANSWER, False)


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "tool_calls": [{"function": {"name": "f", "arguments": '{"score": 7}'}}]},
        {"content": "", "function_call": {"name": "f", "arguments": {"score": 7}}},
        {"content": None, "parsed": {"score": 7}},
        {"content": {"score": 7}},
        {"content": [{"type": "json", "json": {"score": 7}}]},
        {"content": "```json\n" + '{"score": 7}\n```'},
        {"content": "", "reasoning_content": 'I think 7.\n{"score": 7}'},
    ],
)
def test_a_json_answer_is_found(message: dict[str, Any]) -> None:
    """An object that was answered as such, or elsewhere in the message, is text with that object."""
    text = chat.read(raw(choice(message))).text
    assert json.loads(text[text.find("{") : text.rfind("}") + 1]) == {"score": 7}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (choice({"content": "Hello"}, "length"), "application/json"),
        (choice({"content": "Hello"}, "MAX_TOKENS"), "application/json"),
        (choice({"content": "Hello"}, "model_length"), "application/json"),
        ({"content": [{"type": "text", "text": "Hello"}], "stop_reason": "max_tokens"}, "application/json"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [{"content": [{"type": "output_text", "text": "Hello"}]}]}, "application/json"),
        (events(delta("Hel"), delta("lo"), end=""), SSE),
        (events(delta("Hello", "length")), SSE),
    ],
)  # fmt: skip
def test_a_cut_answer_says_so(body: Any, kind: str) -> None:
    """A limit of length, under whichever name, and a stream that never ended."""
    reply = chat.read(raw(body, kind))
    assert (reply.text, reply.is_cut) == ("Hello", True)


@pytest.mark.parametrize(
    "body",
    [
        "", "<html>", "null", "[]", "[1]", '"text"', "{}", events(), ": only a comment\n\n",
        choice(None), choice({"content": None}), choice({"content": "  "}), choice({"content": []}), {"choices": []},
        choice({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}, "tool_calls"),
        {"error": {"message": "odd"}}, {"success": False}, {"choices": None, "error": "x"}, {"detail": "odd"},
        '{"choices": [{"message": {"content": "Hel', {"message": "Internal server error"}, {"content": "Busy"},
        {"code": 1210, "msg": "odd"}, {"status": "error", "message": "odd"},
    ],
)  # fmt: skip
def test_what_cannot_be_read_may_be_asked_again(body: Any) -> None:
    """It is a bad answer by chance: transient."""
    with pytest.raises(BadAnswer) as caught:
        chat.read(raw(body))
    assert caught.value.transient


@pytest.mark.parametrize(
    "body",
    [
        choice({"content": None, "refusal": "No."}), choice({"content": "x"}, "content_filter"),
        choice({"content": [{"type": "refusal", "refusal": "No."}]}),
        {"candidates": [{"finishReason": "PROHIBITED_CONTENT"}]},
        {"content": [], "stop_reason": "refusal", "role": "assistant", "choices": [{"message": {"content": ""}, "finish_reason": "refusal"}]},
    ],
)  # fmt: skip
def test_what_is_refused_is_not_asked_again(body: Any) -> None:
    """It would be refused every time."""
    with pytest.raises(UnusableAnswer) as caught:
        chat.read(raw(body))
    assert not caught.value.transient


def test_tokens_of_a_stream_are_counted() -> None:
    """The usage stands in its last event."""
    stream = events(
        delta(ANSWER, "stop"),
        {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}, "model": "m-2"},
    )
    reply = chat.read(raw(stream, SSE))
    assert (reply.prompt_tokens, reply.completion_tokens, reply.model) == (7, 2, "m-2")


# -- insides


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>hm {}</think>\nHello.", "Hello."),
        ("hm, the user wants</think>Hello.", "Hello."),
        ("Hello.<think>was that right", "Hello."),
        ("<think>a</think><think>b</think>Hello.", "Hello."),
        ("<thinking>hm</thinking>Hello.", "Hello."),
        ("<THINK>hm</THINK> Hello.", "Hello."),
        ("<reasoning>hm</reasoning>Hello.", "Hello."),
        ("[THINK]hm[/THINK]Hello.", "Hello."),
        ("◁think▷hm◁/think▷Hello.", "Hello."),
        ("<seed:think>hm</seed:think>Hello.", "Hello."),
        ("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Hello.<|return|>", "Hello."),
        ("<|channel|>analysis<|message|>hm, never ended", ""),
        ("analysisThe user says hi.assistantfinalHello.", "Hello."),
        ("Hello.<|im_end|>", "Hello."),
        ("<|im_start|>assistant\nHello.<|im_end|>\n<|endoftext|>", "Hello."),
        ("<|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>", "Hello."),
        ("<｜Assistant｜>Hello.<｜end▁of▁sentence｜>", "Hello."),
        ("<start_of_turn>model\nHello.<end_of_turn>", "Hello."),
        ("<s>[INST] [/INST] Hello.</s>", "Hello."),
        ("Hello.</s>", "Hello."),
        ("Hello.<eos>", "Hello."),
        ("Assistant: Hello.", "Hello."),
        ("### Response:\nHello.", "Hello."),
        ('<tool_call>{"name": "f"}</tool_call>Hello.', "Hello."),
        ("<transcript-0123456789ab>\nHello.\n</transcript-0123456789ab>", "Hello."),
        ("<think>only thoughts</think>", ""),
        # what is none of a model's insides stays
        ("A <s>struck</s> word, 5 < 6 and 7 > 3, a | b.", "A <s>struck</s> word, 5 < 6 and 7 > 3, a | b."),
        ("I think <b>so</b>; our assistant: Ann.", "I think <b>so</b>; our assistant: Ann."),
        ("{\"a\":  \"two  spaces\"}", "{\"a\":  \"two  spaces\"}"),
        ("Model: X5\nPrice: 7", "Model: X5\nPrice: 7"),
    ],
)  # fmt: skip
def test_an_answer_is_the_answer_alone(text: str, left: str) -> None:
    """Thoughts, paired and not, tokens and the words of a harness are taken out; people's words are not."""
    assert answer_only(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("language Russian<asr_text>Привет.", "Привет."),
        ("language English<asr_text>Hello.\nlanguage None<asr_text>", "Hello."),
        ("<|startoftranscript|><|ru|><|transcribe|><|0.00|> Привет.<|2.40|><|endoftext|>", "Привет."),
        ("<|zh|><|NEUTRAL|><|Speech|><|withitn|>Hello.", "Hello."),
        ("<|0.00|> Hello<|1.00|><|1.00|> there.<|2.00|>", "Hello there."),
        ("<s>Hello.</s>", "Hello."),
        ("Hello <unk> there.", "Hello  there."),
        ("[TRANSCRIBE]Hello.", "Hello."),
        ("The language is English, she said.", "The language is English, she said."),
        ("5 < 6", "5 < 6"),
    ],
)
def test_a_transcript_is_words_alone(text: str, left: str) -> None:
    """A recogniser's tokens and labels are no speech."""
    assert " ".join(without_insides(text).split()) == " ".join(left.split())
    body = {
        "text": text,
        "segments": [{"start": 0, "end": 1, "text": text}],
        "words": [{"start": 0, "end": 1, "word": text}],
    }
    heard = recognitions.read(raw(body))
    for said in (heard.text, heard.segments[0].text, heard.words[0].text):
        assert " ".join(said.split()) == " ".join(left.split())


def test_taking_out_is_linear() -> None:
    """A text of nothing but openings is read in no time."""
    for piece in (
        "<think>",
        "</think>",
        "<|",
        "language x",
        "<tool_call>",
        "<|channel|>analysis",
        "analysis",
    ):
        assert isinstance(answer_only(piece * 20_000), str)
        assert isinstance(without_insides(piece * 20_000), str)


# -- recognisers


S = {"start": 0.5, "end": 2.0, "text": "Hello there."}
HEARD: dict[str, tuple[Any, str]] = {
    "openai, verbose": ({"text": "Hello there.", "segments": [S], "language": "english"}, "application/json"),
    "the router's envelope": ({"success": True, "data": {"text": "Hello there.", "segments": [S]}}, "application/json"),
    "segments alone": ({"segments": [S]}, "application/json"),
    "diarized": ({"task": "transcribe", "text": "Hello there.", "segments": [{**S, "type": "transcript.text.segment", "id": "seg_1", "speaker": "A"}]}, "application/json"),
    "utterances": ({"transcript": "Hello there.", "utterances": [{**S, "speaker": 0}]}, "application/json"),
    "chunks": ({"text": "Hello there.", "chunks": [{"timestamp": [0.5, 2.0], "text": "Hello there."}]}, "application/json"),
    "whisper.cpp": ({"text": "Hello there.", "segments": [{"offsets": {"from": 500, "to": 2000}, "text": "Hello there."}]}, "application/json"),
    "milliseconds": ({"text": "Hello there.", "segments": [{"start_ms": 500, "end_ms": 2000, "text": "Hello there."}]}, "application/json"),
    "clocks": ({"text": "Hello there.", "segments": [{"start": "00:00:00,500", "end": "0:02.0", "text": "Hello there."}]}, "application/json"),
    "words alone": ({"text": "Hello there.", "words": [{"word": "Hello", "start": 0.5, "end": 1.0}, {"word": "there.", "start": 1.1, "end": 2.0}]}, "application/json"),
    "subtitles": ("1\n00:00:00,500 --> 00:00:02,000\nHello there.\n\n", "text/plain"),
    "web subtitles": ("WEBVTT\n\n00:00.500 --> 00:02.000 align:start\n<v A>Hello there.</v>\n", "text/vtt"),
    "subtitles inside of json": ({"text": "1\n00:00:00,500 --> 00:00:02,000\nHello there.\n"}, "application/json"),
    "an event stream": (events({"type": "transcript.text.segment", **S}, {"type": "transcript.text.done", "text": "Hello there."}, end=""), SSE),
    "an event stream of segments": (events(S), SSE),
}  # fmt: skip


@pytest.mark.parametrize("name", HEARD)
def test_a_recogniser_is_understood(name: str) -> None:
    """Text and times are read from wherever they stand."""
    body, kind = HEARD[name]
    heard = recognitions.read(raw(body, kind))
    assert heard.text == "Hello there."
    assert [(s.start, s.end, s.text) for s in heard.segments] == [(0.5, 2.0, "Hello there.")]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (events({"type": "transcript.text.delta", "delta": "Hello "}, {"type": "transcript.text.delta", "delta": "there."}, {"type": "transcript.text.done", "text": "Hello there."}, end=""), SSE),
        (events({"object": "transcription.chunk", "choices": [{"delta": {"content": "Hello "}}]}, {"object": "transcription.chunk", "choices": [{"delta": {"content": "there."}, "finish_reason": "stop"}]}), SSE),
        (events({"text": "Hello "}, {"text": "there."}), SSE),
        ("Hello there.\n", "text/plain; charset=utf-8"),
        ({"transcription": "Hello there."}, "application/json"),
        ({"result": {"text": "Hello there."}}, "application/json"),
        (choice({"content": "Hello there."}), "application/json"),
    ],
)  # fmt: skip
def test_a_text_without_times_is_understood(body: Any, kind: str) -> None:
    """Where there are none, none are made up."""
    heard = recognitions.read(raw(body, kind))
    assert (heard.text, heard.segments) == ("Hello there.", ())


def test_a_recognisers_stream_that_broke_off_is_a_bad_answer() -> None:
    """Half of a transcript is never passed as whole."""
    with pytest.raises(BadAnswer):
        recognitions.read(raw(events({"type": "transcript.text.delta", "delta": "Hello "}, end=""), SSE))


@pytest.mark.parametrize(
    ("more", "language"),
    [
        ({"languages": [{"code": "ru"}]}, "ru"), ({"languages": []}, None),
        ({"languages": [{"code": "ru"}, {"code": "en"}]}, None), ({"language": "russian"}, "russian"),
        ({"detected_language": "ru"}, "ru"), ({"language_code": "ru"}, "ru"), ({}, None),
    ],
)  # fmt: skip
def test_the_language_is_read(more: dict[str, Any], language: str | None) -> None:
    """In today's form and in others; several languages are none."""
    assert recognitions.read(raw({"text": "a", **more})).language == language


def test_the_language_of_a_label_is_read() -> None:
    """It stands nowhere else."""
    assert recognitions.read(raw({"text": "language Russian<asr_text>Привет"})).language == "russian"


def test_speakers_are_read() -> None:
    """By name or number, of segments or of words alone; what names nobody names nobody."""
    parts = [
        {**S, "speaker": "SPEAKER_00"},
        {**S, "speaker_id": 1},
        {**S, "speaker": "unknown"},
        {**S, "speaker": None},
    ]
    heard = recognitions.read(raw({"text": "x", "segments": parts}))
    assert [part.speaker for part in heard.segments] == ["SPEAKER_00", "1", None, None]
    words = [
        {"word": w, "start": i, "end": i + 0.9, "speaker": s}
        for i, (w, s) in enumerate([("Hi", "A"), ("yes", "B"), ("well", "B")])
    ]
    heard = recognitions.read(raw({"text": "Hi yes well", "segments": [{**S, "end": 3}], "words": words}))
    assert [(part.text, part.speaker) for part in heard.segments] == [("Hi", "A"), ("yes well", "B")]


def test_an_error_beside_a_result_is_no_error() -> None:
    """A list of errors that is empty, and a warning next to a text, cost nothing."""
    assert body_object(raw({"text": "a", "error": None, "errors": []}))["text"] == "a"
    assert body_object(raw({"text": "a", "error": "a warning"}))["text"] == "a"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"code": 429, "message": "x"}}, 429), ({"error": {"code": "503", "message": "x"}}, 503),
        ({"error": {"type": "overloaded_error", "message": "x"}}, 503), ({"error": {"status": "RESOURCE_EXHAUSTED"}}, 429),
        ({"success": False, "error": {"code": "INVALID_API_KEY", "message": "x"}}, 401),
        ({"object": "error", "message": "x", "code": 400}, 400), ({"code": 500, "msg": "x", "data": None}, 500),
        ({"status": 429, "message": "x"}, 429), ({"error": "rate_limit_exceeded"}, 429), ([{"error": {"code": 503}}], 503),
        ({"type": "error", "error": {"type": "invalid_request_error"}}, 400), ({"choices": [], "error": {"code": 502}}, 502),
        ({"choices": [{"error": {"code": 429, "message": "x"}, "message": {"content": ""}}]}, 429),
        ({"error": {"message": "x"}}, 0), ({"detail": "x"}, 0), ({"success": False}, 0),
        (choice({"content": "fine"}), None), ({"text": ""}, None), ({"text": "a", "error": None}, None),
        ({"data": [{"url": "u"}]}, None), ({"message": {"content": "a"}}, None), ({"status": "completed", "output": [{}]}, None),
        ({"choices": [{"error": {"code": 502}, "message": {"content": "half"}, "finish_reason": "error"}]}, None),
    ],
)  # fmt: skip
def test_an_error_inside_of_a_200_has_its_own_status(body: Any, status: int | None) -> None:
    """By its code as a number or a word, in every shape; 0 where it has none, None where there is no error."""
    assert hidden_status(json.dumps(body).encode(), "application/json") == status


def test_an_error_inside_of_a_stream_has_its_own_status() -> None:
    """Its first event may be an error, as gateways send that have begun to answer."""
    stream = events({"error": {"code": 503, "message": "x"}}, end="")
    assert hidden_status(stream.encode(), SSE) == 503
