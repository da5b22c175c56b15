"""Speakers as the recogniser tells them, in a recording of one channel."""

from __future__ import annotations

from tests.audio.test_merge import chunk, heard, merged, plan, said

TALK = [
    said("Добрый день, компания Ромашка", 0, 2, speaker="B"),
    said("здравствуйте мне нужен телефон", 2, 4, speaker="A"),
    said("на сколько человек считать", 4, 6, speaker="B"),
]


def test_a_mono_call_gets_its_turns() -> None:
    """Speakers are numbered as they first speak, and nobody gets a role that nothing proves."""
    found = merged(plan(chunk("0", 0, 10)), {"0": heard(*TALK)}, portal="ru")
    assert [each.speaker for each in found.segments] == ["speaker_1", "speaker_2", "speaker_1"]
    assert found.text.splitlines() == [
        "[Спикер 1] Добрый день, компания Ромашка",
        "[Спикер 2] здравствуйте мне нужен телефон",
        "[Спикер 1] на сколько человек считать",
    ]


def test_several_answers_tell_nobody() -> None:
    """A name of one answer means nothing in another: better no speaker than a wrong one."""
    whole = plan(chunk("0", 0, 10), chunk("1", 10, 20))
    found = merged(whole, {"0": heard(*TALK), "1": heard(*TALK)})
    assert {each.speaker for each in found.segments} == {None}
    assert "[" not in found.text


def test_an_answer_without_words_is_none() -> None:
    """Silence beside the one that tells leaves its speakers as they are."""
    whole = plan(chunk("0", 0, 10), chunk("1", 10, 20))
    found = merged(whole, {"0": heard(*TALK), "1": heard(text=" ")})
    assert len({each.speaker for each in found.segments}) == 2


def test_one_speaker_alone_is_plain_text() -> None:
    """There is nobody to be told from."""
    alone = [said(part.text, part.start, part.end, speaker="A") for part in TALK]
    found = merged(plan(chunk("0", 0, 10)), {"0": heard(*alone)})
    assert {each.speaker for each in found.segments} == {None}


def test_channels_tell_better() -> None:
    """What a recogniser hears on one channel of two is that channel's, whoever it takes it for."""
    whole = plan(chunk("0", 0, 10, channel=0), chunk("1", 0, 10, channel=1))
    found = merged(whole, {"0": heard(*TALK), "1": heard(said("да конечно слушаю", 7, 8, speaker="A"))})
    assert {each.speaker for each in found.segments} == {"manager", "client"}


def test_more_speakers_than_there_are_numbers() -> None:
    """A recogniser that hears nine people in a call is not believed."""
    crowd = [said(f"слово номер {i} сказано", i, i + 1, speaker=str(i)) for i in range(9)]
    found = merged(plan(chunk("0", 0, 10)), {"0": heard(*crowd)})
    assert {each.speaker for each in found.segments} == {None}
    three = merged(plan(chunk("0", 0, 10)), {"0": heard(*crowd[:3])})
    assert [each.speaker for each in three.segments] == ["speaker_1", "speaker_2", "speaker_3"]
