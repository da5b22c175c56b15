"""Answers to a transcript: order, speakers, what is dropped and what must survive."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.merge import merge
from pipeline.domain.errors import NoSpeech
from pipeline.domain.recording import Chunk, Plan, Span
from pipeline.domain.transcript import RawSegment, Recognition, Transcript


def chunk(number: str, start: float, end: float, channel: int | None = None, sounding: float = 5.0) -> Chunk:
    return Chunk(
        id=number,
        channel=channel,
        span=Span(start=start, end=end),
        blob="b",
        filename="chunk.flac",
        content_type="audio/flac",
        size_bytes=1,
        sounding_seconds=sounding,
    )


def plan(*chunks: Chunk, **given: Any) -> Plan:
    channels = 2 if any(each.channel is not None for each in chunks) else 1
    return Plan(seconds=max(each.span.end for each in chunks), channels=channels, chunks=chunks, **given)


def said(text: str, start: float = 0.0, end: float = 1.0, **given: Any) -> RawSegment:
    return RawSegment(start=start, end=end, text=text, **given)


def heard(*segments: RawSegment, text: str = "", language: str | None = None) -> Recognition:
    joined = text or " ".join(each.text for each in segments)
    return Recognition(text=joined, segments=segments, language=language)


def merged(
    planned: Plan, parts: dict[str, Recognition], language: str | None = "ru", **given: Any
) -> Transcript:
    roles = given.pop("roles", ("manager", "client"))
    return merge(planned, parts, roles=roles, language=language, portal_language=given.pop("portal", "en"))


def test_offsets() -> None:
    """Segments of a later chunk are at the chunk's place in the recording, the text in order."""
    whole = plan(chunk("0", 0, 10), chunk("1", 10, 25))
    found = merged(whole, {"1": heard(said("мир", 2, 3)), "0": heard(said("Привет,", 1, 2))})
    assert found.text == "Привет, мир"
    assert [(each.start, each.end, each.speaker) for each in found.segments] == [(1, 2, None), (12, 13, None)]
    assert found.quality == "good"


def test_turns_in_the_portals_language() -> None:
    """Turns of two channels interleave by time, one line a turn, named in the portal's language."""
    whole = plan(chunk("0", 0, 10, 0), chunk("1", 0, 10, 1))
    parts = {
        "0": heard(said("Добрый день.", 0, 1), said("Слушаю.", 5, 6)),
        "1": heard(said("Здравствуйте!", 2, 3)),
    }
    assert merged(whole, parts, portal="ru").text == (
        "[Менеджер] Добрый день.\n[Клиент] Здравствуйте!\n[Менеджер] Слушаю."
    )
    assert merged(whole, parts, portal="de").text.startswith("[Manager] ")
    assert merged(whole, parts, roles=("client", "manager")).text.startswith("[Client] Добрый")


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 50)), min_size=1, max_size=30))
def test_every_word_in_order(moments: list[tuple[int, float]]) -> None:
    """Whatever is said when, each word comes out once, in the order of its time, under its speaker."""
    whole = plan(chunk("0", 0, 60, 0), chunk("1", 0, 60, 1))
    parts: dict[str, list[RawSegment]] = {"0": [], "1": []}
    for number, (channel, at) in enumerate(moments):
        parts[str(channel)].append(said(f"w{number}", at, at + 0.5))
    found = merged(whole, {key: heard(*each) for key, each in parts.items()})
    assert sorted(each.text for each in found.segments) == sorted(f"w{n}" for n in range(len(moments)))
    assert [each.start for each in found.segments] == sorted(each.start for each in found.segments)
    for each in found.segments:
        channel, _ = moments[int(each.text[1:])]
        assert each.speaker == ("manager", "client")[channel]


def test_credits_are_dropped_anywhere() -> None:
    """Subtitle credits go wherever they stand; the words around them stay."""
    whole = plan(chunk("0", 0, 30))
    parts = {
        "0": heard(
            said("Договорились на вторник. Субтитры сделал DimaTorzok.", 0, 5),
            said("Продолжение следует...", 6, 8),
            said("Thank you for watching!", 9, 10),
            said("Редактор субтитров А.Семкин Корректор А.Егорова", 11, 12),
        )
    }
    assert merged(whole, parts).text == "Договорились на вторник."


def test_thanks_survive_where_somebody_talks() -> None:
    """An ordinary phrase is dropped only as a whole segment without speech under it."""
    whole = plan(chunk("0", 0, 60), talk=((Span(start=10, end=12),),))
    parts = {
        "0": heard(said("Спасибо.", 10, 11), said("Спасибо.", 40, 41), said("Спасибо, жду счёт.", 50, 52))
    }
    assert merged(whole, parts).text == "Спасибо. Спасибо, жду счёт."


def test_nothing_heard() -> None:
    """No words at all is no speech; a chunk without words among others is listed, and lowers the quality."""
    whole = plan(chunk("0", 0, 10), chunk("1", 10, 20))
    with pytest.raises(NoSpeech):
        merged(whole, {"0": heard(said("Субтитры сделал DimaTorzok")), "1": heard()})
    found = merged(whole, {"0": heard(said("Да, конечно.")), "1": heard()})
    assert found.empty_spans == (Span(start=10, end=20),)
    assert found.quality == "fair"


def test_missing_is_partial() -> None:
    """What could not be decoded is told."""
    found = merged(
        plan(chunk("0", 0, 10), missing=(Span(start=10, end=60),)), {"0": heard(said("Да, конечно."))}
    )
    assert found.partial
    assert found.missing == (Span(start=10, end=60),)
    assert found.quality == "poor"


def test_halves() -> None:
    """Halves stand at their own times."""
    whole = plan(chunk("0a", 0, 4), chunk("0b", 4, 10), chunk("1", 10, 20))
    parts = {"0a": heard(said("раз")), "0b": heard(said("два")), "1": heard(said("три"))}
    assert [each.start for each in merged(whole, parts).segments] == [0, 4, 10]


def test_without_timestamps() -> None:
    """A chunk without segments is one, from where its channel starts to talk."""
    whole = plan(
        chunk("0", 0, 30, 0), chunk("1", 0, 30, 1), talk=((Span(start=9, end=12),), (Span(start=2, end=4),))
    )
    found = merged(whole, {"0": heard(text="второй говорит"), "1": heard(text="первый говорит")})
    assert found.text == "[Client] первый говорит\n[Manager] второй говорит"
    assert (found.segments[0].start, found.segments[0].end) == (2, 4)


def test_late_stamps_are_moved_to_the_talk() -> None:
    """A segment that the recogniser starts in silence starts where its channel talks: order holds."""
    talk = ((Span(start=20, end=23),), (Span(start=5, end=8),))
    whole = plan(chunk("0", 0, 30, 0), chunk("1", 0, 30, 1), talk=talk)
    found = merged(whole, {"0": heard(said("ответ на это", 1, 23)), "1": heard(said("вопрос такой", 5, 8))})
    assert found.text == "[Client] вопрос такой\n[Manager] ответ на это"


def test_echo_is_told_once() -> None:
    """The same words on both channels at a time are the louder one's: the other carries an echo."""
    talk = ((Span(start=1, end=4), Span(start=10, end=12)), (Span(start=6, end=8),))
    whole = plan(chunk("0", 0, 30, 0), chunk("1", 0, 30, 1), talk=talk)
    left = heard(said("Когда вам удобно получить заказ?", 1, 4), said("Хорошо.", 10, 12))
    right = heard(said("когда вам удобно получить заказ", 1.2, 4), said("Завтра утром.", 6, 8))
    found = merged(whole, {"0": left, "1": right})
    assert found.text.splitlines() == [
        "[Manager] Когда вам удобно получить заказ?",
        "[Client] Завтра утром.",
        "[Manager] Хорошо.",
    ]


def test_loops_are_told_once() -> None:
    """A phrase that goes round in circles even when asked again is kept once."""
    whole = plan(chunk("0", 0, 60))
    loop = "Мы вам перезвоним. " * 40
    found = merged(whole, {"0": heard(said("Здравствуйте. " + loop, 0, 50))})
    assert found.text == "Здравствуйте. Мы вам перезвоним."
    assert found.quality != "good"


def test_language() -> None:
    """The language asked for stands; else what the recogniser heard, as a code."""
    whole = plan(chunk("0", 0, 10))
    assert merged(whole, {"0": heard(said("да, да"), language="russian")}, language=None).language == "ru"
    assert merged(whole, {"0": heard(said("да, да"), language="english")}, language="ru").language == "ru"


def test_only_the_echoed_words_go() -> None:
    """Words of the other's voice go from the fainter channel; an answer in the same segment stays."""
    talk = ((Span(start=1, end=4),), (Span(start=1.2, end=5.5),))
    whole = plan(chunk("0", 0, 30, 0), chunk("1", 0, 30, 1), talk=talk, levels=((3000,), (400,)))
    left = heard(said("Когда вам удобно получить заказ?", 1, 4))
    right = heard(said("когда вам удобно получить заказ завтра утром", 1.2, 5.5))
    found = merged(whole, {"0": left, "1": right})
    assert found.text.splitlines() == [
        "[Manager] Когда вам удобно получить заказ?",
        "[Client] завтра утром",
    ]


def test_what_both_say_is_told_of_both() -> None:
    """The same words on both channels, as loud as each other or at another time, are said by both."""
    talk = ((Span(start=1, end=4), Span(start=9, end=11)), (Span(start=1.2, end=4), Span(start=6, end=8)))
    levels = ((3000, 3000), (2500, 300))
    whole = plan(chunk("0", 0, 30, 0), chunk("1", 0, 30, 1), talk=talk, levels=levels)
    left = heard(said("до свидания всего доброго", 1, 4), said("да да хорошо", 9, 11))
    right = heard(said("до свидания всего доброго", 1.2, 4), said("да да хорошо", 6, 8))
    assert len(merged(whole, {"0": left, "1": right}).segments) == 4


def test_what_comes_again_and_again_where_nobody_talks() -> None:
    """A phrase that a recogniser puts into each pause goes; the same words where somebody talks stay."""
    talk = ((Span(start=0, end=5), Span(start=25, end=30)),)
    made_up = [said("Редактор говорит", at, at + 2) for at in (8, 13, 18)]
    spoken = [said("Редактор говорит", 1, 4), said("до связи", 26, 29)]
    found = merged(plan(chunk("0", 0, 30), talk=talk), {"0": heard(*spoken[:1], *made_up, *spoken[1:])})
    assert found.text == "Редактор говорит до связи"


def test_doubted_words_where_nobody_talks() -> None:
    """What the recogniser itself doubts goes where nobody talks; in the middle of talk it stays."""
    talk = ((Span(start=0, end=5),),)
    doubted = {"no_speech_prob": 0.9, "avg_logprob": -0.9}
    found = merged(
        plan(chunk("0", 0, 30), talk=talk),
        {
            "0": heard(
                said("да", 0, 1),  # what is doubted as a whole is made up, wherever it stands
                said("хорошо, записываю", 1, 4, **doubted),
                said("мой дядя честных", 12, 15, **doubted),
            )
        },
    )
    assert found.text == "да хорошо, записываю"


@pytest.mark.parametrize("told", [{"no_speech_prob": 0.7, "avg_logprob": -0.6}, {"avg_logprob": -2.6}])
def test_an_answer_doubted_as_a_whole_is_none(told: dict[str, float]) -> None:
    """Of what is doubted as a whole, as over music, nothing is told; one sure sentence saves it all."""
    song = [said("мой дядя честных", 0, 4, **told), said("правил", 4, 5, **told)]
    with pytest.raises(NoSpeech):
        merged(plan(chunk("0", 0, 20)), {"0": heard(*song)})
    found = merged(
        plan(chunk("0", 0, 20), chunk("1", 20, 40)), {"0": heard(*song), "1": heard(said("алло, да"))}
    )
    assert found.text == "алло, да"
    assert found.empty_spans == (Span(start=0, end=20),)
    assert found.quality != "good"
    sure = said("добрый день", 5, 6, avg_logprob=-0.2)
    assert merged(plan(chunk("0", 0, 20)), {"0": heard(*song, sure)}).text.endswith("добрый день")
    short = chunk("0", 0, 2, sounding=1.0)
    assert merged(plan(short), {"0": heard(*song)}).text.startswith("мой дядя")


def test_a_phrase_beside_a_tune_is_made_up() -> None:
    """A goodbye where most of what sounds has no words is what music gives; a sentence is told."""
    talk = ((Span(start=0, end=40),),)
    cut = plan(chunk("0", 0, 40, sounding=40.0), talk=talk)
    with pytest.raises(NoSpeech):
        merged(cut, {"0": heard(said("I'll see you next time.", 0, 6), said("You", 7, 9), language="en")})
    found = merged(cut, {"0": heard(said("I'll see you on Monday.", 0, 6), said("You", 7, 9), language="en")})
    assert found.text.startswith("I'll see you on Monday.")
    assert found.quality == "poor"


@pytest.mark.parametrize(("late", "order"), [(3.0, "approximate"), (4.8, "exact"), (6.0, "exact")])
def test_voices_that_mingle_leave_the_order_open(late: float, order: str) -> None:
    """Where both talk at a time for long, as with others in the room, the order is not called exact."""
    talk = ((Span(start=0, end=5),), (Span(start=late, end=late + 5),))
    chunks = (chunk("0", 0, 5, channel=0), chunk("1", late, late + 5, channel=1))
    parts = {"0": heard(said("добрый день", 0, 5)), "1": heard(said("слушаю", 0, 5))}
    found = merged(plan(*chunks, talk=talk), parts)
    assert found.order == order
    assert (found.quality == "good") == (order == "exact")


def test_goodbyes_stay() -> None:
    """Thanks and goodbyes that somebody says stay, also those that recognisers like to make up."""
    talk = ((Span(start=0, end=5), Span(start=26, end=30)),)
    found = merged(
        plan(chunk("0", 0, 30), talk=talk), {"0": heard(said("Спасибо.", 1, 4), said("До свидания.", 27, 29))}
    )
    assert found.text == "Спасибо. До свидания."


@pytest.mark.parametrize(
    ("doubted", "quality"),
    [
        ((-0.44, -0.37, -0.25), "fair"),
        ((-0.35, -0.37, -0.33), "good"),
        ((-0.32, -0.67, -0.3), "fair"),
        ((-0.36, -0.37, -0.5), "fair"),
        ((-1.3, -1.2, -0.9), "poor"),
    ],
)
def test_the_recognisers_doubt_is_told(doubted: tuple[float, ...], quality: str) -> None:
    """Where the recogniser is unsure of a good part of its words, the quality is not good."""
    sentence = "мы хотели бы начать в этом месяце"
    whole = plan(*(chunk(str(number), 30 * number, 30 * number + 30) for number in range(3)))
    parts = {str(number): heard(said(sentence, avg_logprob=each)) for number, each in enumerate(doubted)}
    assert merged(whole, parts).quality == quality


def test_a_doubted_word_or_two_is_no_doubt() -> None:
    """A short sentence that the recogniser doubts leaves a long clean call good."""
    parts = {
        "0": heard(
            said("Да.", avg_logprob=-0.9),
            said("Нам важно, чтобы разговоры записывались и хранились полгода.", 2, 8, avg_logprob=-0.2),
        )
    }
    assert merged(plan(chunk("0", 0, 30)), parts).quality == "good"


@pytest.mark.parametrize(("above", "quality"), [((49.0, 33.0), "good"), ((49.0, 28.8), "fair")])
def test_noise_is_told(above: tuple[float, ...], quality: str) -> None:
    """Where noise comes near to the speech of a channel, the quality is not good, though no doubt is told."""
    whole = plan(chunk("0", 0, 30, 0), chunk("1", 0, 30, 1), above_noise=above)
    parts = {"0": Recognition(text="Добрый день."), "1": Recognition(text="Здравствуйте.")}
    assert merged(whole, parts).quality == quality
