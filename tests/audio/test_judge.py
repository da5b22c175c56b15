"""Which answers are asked for again, and which phrases are made up."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files

import pytest

from pipeline.audio.hallucinations import ordinary, phrases, plain, without_credits
from pipeline.audio.judge import bounded, judge, repeats, unlooped
from pipeline.domain.plain import to_plain
from pipeline.domain.recording import Chunk, Span
from pipeline.domain.transcript import RawSegment, Recognition, Word

TALK = (
    "Добрый день, меня зовут Анна, компания Вектор. Вы оставляли заявку на доставку? "
    "Да, да, да, конечно, нам нужно двадцать паллет до пятницы. Хорошо, записываю: двадцать паллет, "
    "пятница. Адрес тот же? Адрес тот же, улица Ленина, дом пять. Спасибо, до свидания."
)


def chunk(sounding: float = 8.0) -> Chunk:
    return Chunk(
        id="0",
        channel=None,
        span=Span(start=0, end=10),
        blob="b",
        filename="chunk-000.flac",
        content_type="audio/flac",
        size_bytes=1,
        sounding_seconds=sounding,
    )


def test_talk_is_taken() -> None:
    """Ordinary talk, with its small repetitions, is taken as it is."""
    assert judge(Recognition(text=TALK), chunk()) == "ok"
    assert judge(Recognition(text="Да. Да. Да. Да."), chunk()) == "ok"
    assert judge(Recognition(text="", segments=(RawSegment(start=0, end=1, text="Алло?"),)), chunk()) == "ok"


@pytest.mark.parametrize(
    "loop",
    ["спасибо " * 60, "Мы вам перезвоним. " * 20, TALK + " и так далее" * 30, "thank you so much, " * 25],
)
def test_loops_are_asked_again(loop: str) -> None:
    """A text that goes round in circles is asked for again, wherever it does."""
    assert repeats(loop)
    assert judge(Recognition(text=loop), chunk()) == "again"
    assert (
        judge(Recognition(text="ok", segments=(RawSegment(start=0, end=9, text=loop),)), chunk()) == "again"
    )
    assert len(unlooped(loop).split()) < len(TALK.split()) + 6


def test_no_text() -> None:
    """No words over sound are asked for once more; over silence they are right."""
    assert judge(Recognition(text=" ... "), chunk()) == "again"
    assert judge(Recognition(text=""), chunk(sounding=0.0)) == "empty"


@pytest.mark.parametrize(
    "text",
    [
        "Субтитры сделал DimaTorzok",
        "Субтитры создавал DimaTorzok.",
        "Редактор субтитров А.Синецкая Корректор А.Егорова",
        "Продолжение следует...",
        "Спасибо за просмотр!",
        "Не забудьте подписаться на канал и поставить лайк!",
        "ПОЗИТИВНАЯ МУЗЫКА",
        "Редактор субтитров А. Синецкая Корректор А. Егорова",
        "[музыка]",
        "(applause)",
        "♪♪♪ la la ♪",
        "Thanks for watching!",
        "Subtitles by the Amara.org community",
        "Please subscribe to my channel.",
    ],
)
@pytest.mark.parametrize("language", ["ru", "en", "kk", None])
def test_credits(text: str, language: str | None) -> None:
    """Lines of subtitles are dropped in any language, alone or beside real words."""
    assert without_credits(text, language) == ""
    assert without_credits(f"Жду вас завтра. {text}", language) == "Жду вас завтра."


@pytest.mark.parametrize(
    "text",
    [
        "Спасибо.",
        "Музыка у вас громкая, сделайте тише.",
        "Мне нужны субтитры к ролику, сколько это стоит?",
        "Мы продолжение договора обсудим завтра.",
        "I would like to subscribe to the newsletter of your shop.",
        "Thank you.",
        "Корректор для ногтей есть?",
        "Корректор, а сколько он стоит?",
        "Цена (с доставкой) та же.",
        "Меня зовут А. Егорова. Телефонный звонок.",
    ],
)
def test_real_words_stay(text: str) -> None:
    """What people do say is never dropped as a credit."""
    assert without_credits(text, "ru") == text
    assert without_credits(text, "en") == text


def test_ordinary_phrases() -> None:
    """Thanks and the like are only suspected, as a whole."""
    assert ordinary("Спасибо.", "ru")
    assert ordinary("Thank you very much!", "en")
    assert not ordinary("Спасибо, жду счёт.", "ru")
    assert ordinary("Спасибо.", None)


def test_the_data() -> None:
    """Every phrase is written as it is compared, so that none is dead; each language has both tiers."""
    tables = tomllib.loads(
        files("pipeline.audio").joinpath("hallucinations.toml").read_text(encoding="utf-8")
    )
    assert {"ru", "en"} <= set(tables)
    for language, tiers in tables.items():
        assert set(tiers) == {"always", "alone"}, language
        for phrase in (*tiers["always"], *tiers["alone"]):
            assert plain(phrase.replace("*", " ")) == " ".join(phrase.replace("*", " ").split()), phrase
    assert phrases("ru").alone != phrases("en").alone


@pytest.mark.parametrize(
    "said",
    [
        Recognition(text="word " * 500_000),
        Recognition(text="a" * 2_000_000),
        Recognition(
            text="x",
            segments=tuple(RawSegment(start=n / 9, end=n / 9 + 1, text="budget") for n in range(20_000)),
        ),
        Recognition(text="x", segments=(RawSegment(start=0, end=1, text="budget " * 90_000),) * 3),
        Recognition(text="x", words=tuple(Word(start=n, end=n, text="budget") for n in range(40_000))),
        Recognition(text="x", words=(Word(start=0, end=1, text="a" * 900_000),)),
    ],
    ids=["words", "letters", "segments", "long segments", "timed words", "a long word"],
)
def test_an_answer_is_no_longer_than_anybody_talks(said: Recognition) -> None:
    """What a record keeps of it is bounded by how long the upload is; its begin stays."""
    for seconds in (3.0, 60.0):
        kept = bounded(said, seconds)
        assert len(json.dumps(to_plain(kept))) < 60_000 + 3_000 * seconds
        assert said.text.startswith(kept.text)
        assert said.segments[: len(kept.segments)] == kept.segments or len(kept.segments) == 1
        assert bool(kept.text or kept.segments)
        assert bool(said.words) == bool(kept.words)


def test_whatever_people_can_say_stays() -> None:
    """The fastest talk, with the time of each word, is taken as it is; a loop that is cut is a loop still."""
    fast = Recognition(
        text="скороговорка " * 6 * 60,
        segments=tuple(
            RawSegment(start=n / 2, end=n / 2 + 0.5, text="скороговорка " * 3) for n in range(120)
        ),
        words=tuple(Word(start=n / 6, end=n / 6 + 0.1, text="скороговорка") for n in range(360)),
    )
    assert bounded(fast, 60.0) == fast
    assert judge(bounded(Recognition(text="we need it " * 8_000), 3.0), chunk()) == "again"
