"""What outsiders write costs work in proportion to its length, whatever they write and whoever reads it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from pipeline.audio import hallucinations, judge
from pipeline.clients import chat, envelopes, insides, recognitions
from pipeline.clients.deliver import _bounded, _refuses
from pipeline.clients.refusals import Refusal
from pipeline.clients.transport import Answer
from pipeline.contract import callback_key, read_event
from pipeline.contract.php import http_url, read_json
from pipeline.contract.redact import redact
from pipeline.contract.sinks import to_callback
from pipeline.contract.subtitles import export
from pipeline.domain.errors import CallscribeError
from pipeline.domain.hosts import read_url
from pipeline.domain.job import Request
from pipeline.domain.languages import iso639
from pipeline.domain.printable import unmarked
from pipeline.domain.transcript import RawSegment, Recognition, Segment, Transcript
from pipeline.scoring import crm_values, fit, quotes, talk_of_scores
from pipeline.scoring.answers import cut_json
from pipeline.scoring.crm_answers import read_answer
from pipeline.scoring.crm_step import crm_step
from pipeline.scoring.lead import read_lead
from pipeline.scoring.talk_facts import talk_facts
from pipeline.telemetry.captures import masked
from pipeline.telemetry.logs import Redactor

LETTERS = 3_000  # and four times as many
LEAST_SECONDS = 0.004  # below it a clock tells nothing
# linear: 4, or a little more; by the square: 16
MOST = 9.0

PIECES = [
    "a", "a.", "a@", "a-", "./", "/", "://", "a://", "?", "?a", "&hash=", "=", "%", "[", "[.", "[a]", "]",
    "<",
    "<b ", "</s> ", "<|", "<|channel|>x", "<|channel|> final", "<think>", "</think>", "<tool_call>",
    "<asr_text>", "language a ", "analysis ", '{"a":', "{", "[[", '{"a":[', '"', "\\", '\\"', '"a",', "(",
    "*", "♪ ", "♪\n", "…", "...", ". ", " ", "\t", "\n", "\r\n", " \n", "\n\t", "-->", "1:", "00:00.0 --> ",
    "00:00.0 --> 00:01.0\n", "data: {}\n\n", "data:", "9", "9 ", "9.", "9-9-", "+", "слово ", "да да нет ",
    "ё", "\u0300\u0327", "a\u0300\u0327", "\u0e01", "\ufdfa", "\u200b", "\U0001f469\u200d", "_", "__a ",
    "give us ", "whoever reads ", "поставь нам ", "по всем пунктам ", "сто процентов ", "the very best ",
    "maximum context length ", "max_tokens ", "'a' ", "1,", "must be ", "&lt;", "www.", "@", "Субтитры ",
]  # fmt: skip


def heard(text: str, **fields: Any) -> Recognition:
    body = json.dumps({"text": text, **fields})
    return recognitions.read(
        {"body": body, "status": 200, "content_type": "application/json", "prompt": text[:200]}
    )


def said(content: str) -> Any:
    answer = {"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]}
    return chat.read({"body": json.dumps(answer), "status": 200, "content_type": "application/json"})


def transcript(text: str) -> Transcript:
    return Transcript(
        text=text, language="en", segments=(Segment(start=0, end=1, speaker="client", text=text),)
    )


def refusal(text: str) -> Any:
    found = Refusal(Answer(status=400, headers={}, body=json.dumps({"error": {"message": text}}).encode()))
    return found.text, found.window, found.used, found.sizes()


def lead(text: str, around: str = "{}") -> Any:
    with suppress(CallscribeError):
        return read_lead(around.format(text), transcript("we need forty licences of it"))


def crm(text: str, code: str, **markers: Any) -> Any:
    given = {"original_message": "x", "dialogue": "x", "transcript": "x", "fields": {"a": "double or null"},
             "enum_fields_values": {"b": ["x"]}, "criteria": "a\nb", **markers}  # fmt: skip
    step = crm_step(Request(payload_provider="prompt", payload_raw=code, markers=given))
    assert step is not None
    found = [step.is_chat, step.lacks]
    for before, after in (
        ("", ""),
        ('{"criteria": [{"criterion": "', '", "status": true}]}'),
        ('{"a": "', '"}'),
        ('{"is_client": 1, "actions": [{"deadline": "', '"}]}'),
    ):
        with suppress(CallscribeError):
            found.append(read_answer(step, before + text + after, finished=True, last=False))
    return found


READERS: dict[str, Callable[[str], Any]] = {
    "printable, unmarked": unmarked,
    "to_callback": lambda text: to_callback({"result": [text]}, spoken=True),
    "redact": redact,
    "log": Redactor(["a-secret-of-ours", "x" * 40]).text,
    "capture": lambda text: masked({"prompt": text, "payload_raw": text}),
    "repeats": judge.repeats,
    "unlooped": judge.unlooped,
    "credits": lambda text: hallucinations.without_credits(text, "ru"),
    "ordinary": lambda text: hallucinations.ordinary(text, None),
    "cut_json": lambda text: cut_json(text, {"score"}),
    "lead": lead,
    "lead in single quotes": lambda text: lead(text, "{{'score': 5, 'reason': '{}'}}"),
    "summary": lambda text: crm(text, "summarize_transcript", original_message=text),
    "fields": lambda text: crm(text, "extract_form_fields"),
    "markers": lambda text: crm("{}", "extract_form_fields", fields={text: text}, enum_fields_values=text),
    "criteria": lambda text: crm(text, "call_scoring"),
    "criteria of markers": lambda text: crm('{"criteria": []}', "call_scoring", criteria=text),
    "actions": lambda text: crm(text, "client_dialogue_action_extraction", dialogue_start_datetime=text),
    "values": lambda text: (crm_values.number(text), crm_values.day_of(text, None)),
    "a deadline": lambda text: crm_values.deadline(text, None),
    "a choice": lambda text: (crm_values.choice(text, ["a", "b"]), crm_values.is_nothing(text, text)),
    "is_about_scores": talk_of_scores.is_about_scores,
    "talk_of_scores": lambda text: talk_of_scores.talk_of_scores(transcript(text)),
    "without_insides": insides.without_insides,
    "answer_only": insides.answer_only,
    "words of a quote": quotes.words,
    "quote": lambda text: quotes.find_quote(text, transcript("we need forty licences of it")),
    "quote in a transcript": lambda text: quotes.find_quote("forty licences", transcript(text)),
    "fit": lambda text: fit.fit(text, 1_000),
    "unwrap": lambda text: envelopes.unwrap(text.encode("utf-8", "replace")),
    "hidden status": lambda text: envelopes.hidden_status(text.encode("utf-8", "replace"), ""),
    "recogniser's text": heard,
    "recogniser's plain text": lambda text: recognitions.read(
        {"body": text, "status": 200, "content_type": "text/plain"}
    ),
    "recogniser's label": lambda text: heard("x", language=text, duration=text, languages=[text]),
    "chat": said,
    "refusal": refusal,
    "callback's answer": lambda text: (_bounded(text), _refuses(text)),
    "exports": lambda text: [export(transcript(text), kind) for kind in ("txt", "srt", "vtt", "json")],
    "json": lambda text: read_json(text.encode("utf-8", "replace")),
    "json text": lambda text: read_json(json.dumps({"prompt": text}).encode()),
    "form": lambda text: read_event(text.encode("utf-8", "replace")),
    "form key": lambda text: read_event(f"data[{text}]=1".encode("utf-8", "replace")),
    "url": lambda text: (http_url(f"https://a.example/{text}", field="url"), callback_key(text)),
    "url's host": lambda text: http_url(f"https://{text}", field="url"),
    "read url": lambda text: read_url(f"https://a.example/{text}"),
    "language": iso639,
}

COUNTED: dict[str, Callable[[int], Callable[[], Any]]] = {}


def counted(make: Callable[[int], Callable[[], Any]]) -> Callable[[int], Callable[[], Any]]:
    """A reader of many things instead of a long text."""
    COUNTED[make.__name__] = make
    return make


def many(number: int, speakers: int) -> Transcript:
    segments = tuple(
        Segment(start=n, end=n + 5, speaker=f"speaker_{n % speakers}", text=f"word {n} of it")  # type: ignore[arg-type]
        for n in range(number)
    )
    return Transcript(text="x", language="en", segments=segments)


@counted
def facts_of_many_speakers(number: int) -> Callable[[], Any]:
    found = many(number, number)
    return lambda: talk_facts(found)


@counted
def criteria_that_many_answers_reword(number: int) -> Callable[[], Any]:
    items = [{"criterion": f"word {n} of it and more", "status": True} for n in range(number)]
    text = json.dumps({"criteria": items})
    return lambda: crm(text, "call_scoring", criteria="\n".join(f"more of it {n}" for n in range(number)))


@counted
def objects_beside_each_other(number: int) -> Callable[[], Any]:
    text = '{"a": [{}]}' * number
    return lambda: [crm(text, code) for code in ("extract_form_fields", "call_scoring")]


@counted
def quote_among_many_speakers(number: int) -> Callable[[], Any]:
    found = many(number, number)
    return lambda: quotes.find_quote("nobody ever said this", found)


@counted
def exports_of_many_segments(number: int) -> Callable[[], Any]:
    found = many(number, 3)
    return lambda: [export(found, kind) for kind in ("srt", "vtt", "json")]


@counted
def answer_of_many_segments(number: int) -> Callable[[], Any]:
    listed = [{"start": n, "end": n + 1, "text": f"word {n}", "speaker": f"s{n}"} for n in range(number)]
    return lambda: heard("x", segments=listed, words=[{**item, "word": "a"} for item in listed])


@counted
def judge_of_many_segments(number: int) -> Callable[[], Any]:
    parts = tuple(RawSegment(start=n, end=n + 1, text="да " * 20) for n in range(number // 10))
    return lambda: [judge.repeats(part.text) for part in parts]


@counted
def stream_of_many_pieces(number: int) -> Callable[[], Any]:
    event = 'data: {"choices": [{"delta": {"content": "word "}}]}\n\n'
    body = (event * number).encode()
    return lambda: envelopes.unwrap(body, "text/event-stream")


@counted
def numbers_of_many_digits(number: int) -> Callable[[], Any]:
    digits = "9" * number
    segments = [{"start": digits, "end": f"1:{digits}", "text": "x"}]
    return lambda: heard("x", duration=digits, segments=segments)


def seconds(call: Callable[[], Any]) -> float:
    """Of processor time."""
    begun = time.thread_time()
    with suppress(CallscribeError):
        call()
    return time.thread_time() - begun


def is_linear(short: Callable[[], Any], long: Callable[[], Any]) -> bool:
    """Whether four times as much takes about four times as long, in the best of five tries."""
    floor = LEAST_SECONDS / MOST
    return any(seconds(long) < MOST * max(seconds(short), floor) for _ in range(5))


@pytest.mark.parametrize("name", READERS)
def test_four_times_the_text_is_four_times_the_work(name: str) -> None:
    """Whatever small piece a text repeats, it is read in time that grows as the text does."""
    slow = []
    for piece in PIECES:
        for end in ("", "!x"):
            short, long = (
                (piece * (letters // len(piece) + 1))[:letters] + end for letters in (LETTERS, 4 * LETTERS)
            )
            if not is_linear(partial(READERS[name], short), partial(READERS[name], long)):
                slow.append(piece + end)
    assert slow == []


@pytest.mark.parametrize("name", COUNTED)
def test_four_times_as_many_is_four_times_the_work(name: str) -> None:
    """However many segments, speakers, pieces or digits there are, work grows as their number does."""
    assert is_linear(COUNTED[name](1_000), COUNTED[name](4_000))
