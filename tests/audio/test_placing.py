"""Words of an answer in the recording: what stands where in an upload tells it, times only help."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio.pieces import Upload
from pipeline.audio.placing import Placed, place
from pipeline.domain.recording import Chunk, Span, Stretch
from pipeline.domain.transcript import RawSegment, Word

SECONDS_A_WORD = 0.4
EDGE = 0.2


def chunk(*spans: Span) -> Chunk:
    """An upload of these stretches of the left channel."""
    return Chunk(
        id="0",
        channel=0,
        span=Span(start=spans[0].start, end=spans[-1].end),
        blob="b",
        filename="chunk-000.flac",
        content_type="audio/flac",
        size_bytes=1,
        sounding_seconds=1.0,
        stretches=Upload(0, spans).stretches,
    )


class Said:
    """Sentences of so many words, each a stretch of an upload, with a pause in the recording before each."""

    def __init__(self, sentences: list[tuple[int, float]]) -> None:
        spans, at, number = [], 1.0, 0
        self.sentences: list[list[str]] = []
        for words, pause in sentences:
            at += pause
            spans.append(Span(start=at, end=at + words * SECONDS_A_WORD + 2 * EDGE))
            at = spans[-1].end
            texts = [f"слово{number + place}" for place in range(words)]
            number += words
            self.sentences.append([*texts[:-1], f"{texts[-1]}."])
        self.chunk = chunk(*spans)
        self.talk = [Span(start=span.start + EDGE, end=span.end - EDGE) for span in spans]

    @property
    def placed(self) -> list[tuple[Stretch, list[str]]]:
        return list(zip(self.chunk.placed, self.sentences, strict=True))

    def words(self, wavering: float = 0.0) -> list[Word]:
        """The words at their times, every other one early or late by as much."""
        found = []
        for stretch, texts in self.placed:
            for place_, text in enumerate(texts):
                start = max(0.0, stretch.at + EDGE + place_ * SECONDS_A_WORD + wavering * (-1) ** place_)
                found.append(Word(start=start, end=start + SECONDS_A_WORD, text=text.strip(".")))
        return found

    def segments(self, shift: float = 0.0) -> list[RawSegment]:
        """A segment per sentence, at its time and by so much off it."""
        return [
            RawSegment(
                start=max(0.0, stretch.at + shift),
                end=max(0.0, stretch.at + stretch.span.seconds + shift),
                text=" ".join(texts),
            )
            for stretch, texts in self.placed
        ]

    def heard(self, kind: str) -> tuple[list[Placed], bool]:
        """What comes of an answer of that kind."""
        whole = [RawSegment(start=0.0, end=0.0, text=" ".join(part.text for part in self.segments()))]
        segments, words = {
            "words": (self.segments(20.0), self.words()),
            "wavering words": (whole, self.words(0.25)),
            "segments": (self.segments(), []),
            "early segments": (self.segments(-0.5), []),
            "wrong segments": (self.segments(20.0), []),
            "none": (whole, []),
        }[kind]
        timed = "segments" in kind or kind == "words"
        return place(self.chunk, segments, words, talk=self.talk, other=[], timed=timed)

    def in_place(self, found: list[Placed]) -> bool:
        """Whether every sentence stands in its own stretch."""
        return all(
            [word for part in found if span.start <= part.start <= span.end for word in part.text.split()]
            == texts
            for span, texts in zip((each.span for each in self.chunk.placed), self.sentences, strict=True)
        )


TIMED = ("words", "wavering words", "segments", "early segments")
KINDS = (*TIMED, "wrong segments", "none")
sentences = st.lists(st.tuples(st.integers(1, 20), st.floats(0.3, 60.0)), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(sentences, st.sampled_from(KINDS))
def test_every_word_once_and_in_order(spoken: list[tuple[int, float]], kind: str) -> None:
    """Whatever times an answer has, each of its words comes once, in order, within what was sent."""
    said = Said(spoken)
    found, _ = said.heard(kind)
    assert [word for part in found for word in part.text.split()] == [
        word for texts in said.sentences for word in texts
    ]
    assert all(before.start <= after.start for before, after in pairwise(found))
    spans = [stretch.span for stretch in said.chunk.placed]
    for part in found:
        assert part.start <= part.end
        assert any(span.start <= part.start and part.end <= span.end for span in spans)


@settings(max_examples=100, deadline=None)
@given(sentences, st.sampled_from(TIMED))
def test_a_word_belongs_to_its_sentence(spoken: list[tuple[int, float]], kind: str) -> None:
    """Times that are about right put each word where it was said, and the order is sure."""
    said = Said(spoken)
    found, sure = said.heard(kind)
    assert said.in_place(found)
    assert sure
    for stretch, talk in zip(said.chunk.placed, said.talk, strict=True):
        first = next(part for part in found if stretch.span.start <= part.start <= stretch.span.end)
        assert first.start == talk.start


@pytest.mark.parametrize("kind", ["wrong segments", "none"])
def test_without_times_the_length_tells(kind: str) -> None:
    """Without times, or with impossible ones, sentences are laid out by their length; that is told."""
    said = Said([(8, 1), (2, 30), (12, 3), (1, 9), (5, 2)])
    found, sure = said.heard(kind)
    assert said.in_place(found)
    assert not sure
    (alone,), sure = Said([(8, 1)]).heard("none")
    assert sure
    assert (alone.start, round(alone.end, 3)) == (2.2, 5.4)


def test_a_segment_over_two_sentences_is_parted() -> None:
    """One segment for what two stretches hold is told as two, each where it was said."""
    chunk_ = chunk(Span(start=10, end=14), Span(start=30, end=34))
    talk = [Span(start=10.2, end=13.8), Span(start=30.2, end=33.8)]
    whole = RawSegment(start=0.0, end=8.4, text="Да, мы договорились. Завтра в десять утра.")
    found, sure = place(chunk_, [whole], [], talk=talk, other=[], timed=True)
    assert [(part.text, part.start) for part in found] == [
        ("Да, мы договорились.", 10.2),
        ("Завтра в десять утра.", 30.2),
    ]
    assert not sure


@pytest.mark.parametrize(("end", "text", "sure"), [(2.3, "и", False), (2.3, "и.", True), (2.05, "и", True)])
def test_a_word_between_two_sentences(end: float, text: str, sure: bool) -> None:
    """A word whose time reaches into the next sentence may be of either, unless the text ends with it."""
    upload = chunk(Span(start=0, end=1.5), Span(start=5, end=7))
    words = [Word(start=0.2, end=1.0, text="примем"), Word(start=1.0, end=end, text="и"),
             Word(start=end, end=3.0, text="двадцать")]  # fmt: skip
    told = f"примем {text} двадцать"
    _, known = place(
        upload, [RawSegment(start=0.0, end=4.0, text=told)], words,
        talk=[Span(start=0.2, end=1.3), Span(start=5.2, end=6.8)], other=[Span(start=2, end=4)], timed=True,
    )  # fmt: skip
    assert known is sure


def test_a_word_of_the_other_parts_a_long_sentence() -> None:
    """What is said while the other one throws in a word is told before and after it."""
    talk = [Span(start=0.2, end=9.8)]
    words = [Word(start=0.2 + at, end=1.0 + at, text=f"w{at}") for at in range(9)]
    segment = RawSegment(start=0.2, end=9.2, text=" ".join(word.text for word in words))
    found, _ = place(
        chunk(Span(start=0, end=10)),
        [segment],
        words,
        talk=talk,
        other=[Span(start=4.3, end=4.8), Span(start=9.0, end=12.0)],
        timed=True,
    )
    before, after = found
    assert f"{before.text} {after.text}" == segment.text
    assert before.text in ("w0 w1 w2 w3", "w0 w1 w2 w3 w4")


def test_words_that_only_the_text_has_stay() -> None:
    """A text that is longer than its timed words loses nothing: the rest stands beside what is timed."""
    words = [Word(start=1.0, end=1.4, text="нужна"), Word(start=1.4, end=1.9, text="интеграция")]
    text = "Нам нужна интеграция с 1С!"
    found, _ = place(
        chunk(Span(start=5, end=9)),
        [RawSegment(start=0, end=3, text=text)],
        words,
        talk=[Span(start=5.2, end=8.8)],
        other=[],
        timed=True,
    )
    assert [part.text for part in found] == [text]
