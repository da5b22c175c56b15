"""What sounds is compared with what was answered: words that a field leaves out, speech that has no words."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from pipeline.audio.coverage import completed
from pipeline.audio.judge import judge, unheard
from pipeline.audio.merge import merge
from pipeline.domain.recording import Chunk, Plan, Span
from pipeline.domain.transcript import RawSegment, Recognition, Transcript, Word
from pipeline.scoring.wording import caveats

LINES = (
    "здравствуйте мне нужна доставка в Казань до пятницы",
    "сколько паллет вы хотите отправить и какой у них вес",
    "двадцать паллет по триста килограммов адрес улица Ленина",
)
TALK = (Span(start=0, end=9), Span(start=10, end=19), Span(start=20, end=29))


def chunk(name: str = "0", start: float = 0, end: float = 30, channel: int | None = None) -> Chunk:
    return Chunk(
        id=name, channel=channel, span=Span(start=start, end=end), blob="b", filename="chunk.flac",
        content_type="audio/flac", size_bytes=1, sounding_seconds=0.9 * (end - start),
    )  # fmt: skip


def segments(*spans: tuple[float, float], text: str = "") -> tuple[RawSegment, ...]:
    lines = [text] * len(spans) if text else LINES
    return tuple(
        RawSegment(start=start, end=end, text=line) for (start, end), line in zip(spans, lines, strict=False)
    )


def merged(parts: dict[str, Recognition], *pieces: Chunk, **given: Any) -> Transcript:
    chunks = pieces or (chunk(),)
    plan = Plan(seconds=30, channels=1, chunks=chunks, talk=(TALK,))
    return merge(plan, parts, roles=(), language="ru", portal_language="ru", **given)


def heard(*spans: tuple[float, float], **given: Any) -> Recognition:
    found = segments(*spans)
    return Recognition(text=" ".join(each.text for each in found), segments=found, **given)


@pytest.mark.parametrize(
    ("spans", "left_out"),
    [
        (((0, 9), (10, 19), (20, 29)), []),
        (((0, 9), (10, 19)), [(20, 29)]),
        (((0, 9), (20, 29)), [(10.0, 19.0)]),
        (((10, 19), (20, 29)), [(0.0, 9.0)]),
        (((0, 4), (10, 19), (20, 24)), [(5.0, 9.0), (25.0, 29.0)]),
    ],
)
def test_speech_without_words_is_found(
    spans: tuple[tuple[float, float], ...], left_out: list[tuple[float, float]]
) -> None:
    """A start, a middle and an end that an answer leaves out are found; all else is not asked for again."""
    answer = heard(*spans)
    found = unheard(answer, chunk(), talk=TALK, other=())
    assert [(span.start, span.end) for span in found] == left_out
    transcript = merged({"0": answer})
    assert [(span.start, span.end) for span in transcript.empty_spans] == left_out
    assert (transcript.quality == "good") == (not left_out)


def test_times_that_cannot_be_true_hide_nothing() -> None:
    """More words than anybody says in that time mean that the times are wrong, not that speech is missing."""
    answer = heard((0, 3), (3, 6), (6, 9))
    crowded = Recognition(text=answer.text, segments=segments((0, 2), text=answer.text))
    assert unheard(crowded, chunk(), talk=TALK, other=()) == ()
    assert unheard(answer, chunk(), talk=TALK, other=())


def test_what_was_asked_for_again_fills_the_hole() -> None:
    """The words of a stretch that was asked for again stand at its place, and nothing is empty any more."""
    piece = Recognition(text="да двадцать паллет", segments=segments((0.3, 9), text="да двадцать паллет"))
    found = merged({"0": heard((0, 9), (10, 19)), "0a": piece}, chunk(), chunk("0a", 19.7, 29.3))
    assert found.text.endswith("да двадцать паллет")
    assert not found.empty_spans
    assert found.quality == "good"


def test_what_stays_without_words_is_told() -> None:
    """A stretch that has no words twice is empty, and the score's text says where, in both languages."""
    found = merged(
        {"0": heard((0, 9), (10, 19)), "0a": Recognition(text="")}, chunk(), chunk("0a", 19.7, 29.3)
    )
    assert [(span.start, span.end) for span in found.empty_spans] == [(20, 29)]
    assert found.quality == "fair"
    (russian,) = caveats(found, "ru")
    assert "слова не распознаны: 00:20-00:29" in russian
    assert "00:20-00:29" in caveats(found, "en")[0]


def test_words_told_at_a_wrong_time_are_told_once() -> None:
    """What a stretch gives when asked again, and the first answer had at another time, is not told twice."""
    again = Recognition(text=LINES[1], segments=segments((0, 9), text=LINES[1]))
    found = merged({"0": heard((0, 9), (10, 19)), "0a": again}, chunk(), chunk("0a", 19.7, 29.3))
    assert found.text.count(LINES[1]) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("раз два три четыре пять шесть", ["раз два", "три четыре", "пять шесть"]),
        ("ноль раз два три четыре", ["ноль", "раз два", "три четыре"]),
        ("раз два и ещё три четыре", ["раз два", "и ещё", "три четыре"]),
        ("раз два", ["раз два", "три четыре"]),
        ("Раз, два! Три четыре?", ["раз два", "три четыре"]),
    ],
)
def test_a_text_longer_than_its_segments(text: str, expected: list[str]) -> None:
    """Words that stand in one field alone are kept, in their place; whichever field it is."""
    pair = (RawSegment(start=0, end=2, text="раз два"), RawSegment(start=2, end=4, text="три четыре"))
    found = completed(Recognition(text=text, segments=pair), 10.0)
    assert [part.text for part in found] == expected
    assert all(one.end <= other.start for one, other in pairwise(found))


def test_timed_words_beyond_the_segments() -> None:
    """Words with times that no segment has are kept."""
    timed = tuple(
        Word(start=float(at), end=at + 0.5, text=word) for at, word in enumerate(["раз", "два", "три"])
    )
    part = (RawSegment(start=0, end=2, text="раз два"),)
    found = completed(Recognition(text="раз два", segments=part, words=timed), 10.0)
    assert [each.text for each in found] == ["раз два", "три"]


def test_an_answer_without_times_that_is_too_short() -> None:
    """A few words for half a minute of speech, without times, are asked for again in halves."""
    assert judge(Recognition(text="да, конечно"), chunk()) == "again"
    assert judge(Recognition(text=" ".join(LINES)), chunk()) == "ok"
    assert merged({"0": Recognition(text="да, конечно")}).quality == "fair"
    assert (
        judge(Recognition(text="我们需要五十个用户的电话系统和客户支持请在星期五之前发给我"), chunk()) == "ok"
    )
