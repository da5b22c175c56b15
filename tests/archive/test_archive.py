"""Calls go into the archive and come out as they were, on both databases."""

from __future__ import annotations

import contextlib
import json
import math
import random
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import delete, select, text

from pipeline.archive import words
from pipeline.archive.archive import Archive
from pipeline.archive.calls import WEEK_SECONDS, Audited, Call, Filters, Gap, Verdict
from pipeline.archive.database import ArchiveUnavailable, Database
from pipeline.archive.reports import agreement, quality, team
from pipeline.archive.rows import COLUMNS
from pipeline.archive.schema import tallied
from pipeline.archive.tallies import LENGTHS, tally
from pipeline.domain.errors import SettingsError
from pipeline.domain.job import Category, Entity, JobId, PortalId, Source
from pipeline.domain.lead import Criterion
from pipeline.domain.plain import to_plain
from pipeline.domain.recording import Span
from pipeline.domain.transcript import Segment

NOW = 1_790_000_000.0


def call(number: int = 1, **changes: object) -> Call:
    """A call of the kind that a portal sends."""
    made = Call(
        id=JobId(f"job_{number:026}"),
        portal=PortalId("acme"),
        category=Category.AUDIO,
        source=Source.ENGINE,
        state="done",
        started_at=NOW + number,
        accepted_at=NOW + number + 5,
        seconds=61.5,
        language="ru",
        quality="good",
        order="exact",
        manager_id="7",
        manager="Анна Петрова",
        client="Иван <b>Иванов</b>",
        phone="+7 (912) 345-67-89",
        direction="in",
        entity=Entity(type="deal", id=4321),
        entity_title="Поставка окон",
        entity_url="https://acme.bitrix24.com/crm/deal/details/4321/",
        activity_id=99,
        talk=(20.5, 30.25),
        silence=4.0,
        score=75,
        band="high",
        machine_score=75,
        machine_band="high",
        reason="Назван бюджет.",
        criteria=(
            Criterion(
                name="budget", met=True, weight=2.0, quote="бюджет сто тысяч", at=12.5, explanation="да"
            ),
            Criterion(name="time", met=False, weight=1.0),
        ),
        segments=(
            Segment(start=0.5, end=3.0, speaker="manager", text="Добрый день, договоры готовы?"),
            Segment(
                start=3.5, end=9.0, speaker="client", text="Yes, and we have budgets of ten thousand dollars."
            ),
        ),
        missing=(Span(start=50.0, end=52.0),),
        empty_spans=(Span(start=40.0, end=44.0),),
        transcription_seconds=50.75,
        prompt_tokens=900,
        completion_tokens=120,
        cost=0.0125,
        levels=((1, 50, 100), (0, 0, 7)),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_call_comes_out_as_it_went_in(archive: Archive) -> None:
    """Everything that is archived of a call is read back, and twice is once."""
    one = call(gaps=(Gap(kind="unlinked", why="two equal calls"), Gap(kind="partial", why="2 s are missing")))
    archive.put(one)
    archive.put(one)
    assert archive.call(one.id) == one
    assert archive.count() == 1
    assert archive.call(JobId("job_nobody")) is None
    (listed,) = archive.calls().calls
    assert listed == replace(one, segments=(), missing=(), empty_spans=(), levels=(), criteria=())


def test_later_facts_replace_earlier_ones_and_spare_what_people_said(archive: Archive) -> None:
    """A second write brings what is new; a verdict, kept audio and levels that it does not bring stay."""
    archive.put(call(score=None, band=None, machine_score=None, machine_band=None))
    archive.put(call(audio="kept/1.mp3", audio_bytes=1000))
    verdict = Verdict(at=NOW, who="Olga", why="they only asked for a price", score=20, band="low")
    assert archive.judge(call().id, verdict)
    archive.put(call(reason="Иначе.", levels=()))
    found = archive.call(call().id)
    assert found is not None
    assert (found.score, found.band, found.machine_score, found.machine_band) == (20, "low", 75, "high")
    assert (found.reason, found.audio, found.levels) == ("Иначе.", "kept/1.mp3", call().levels)
    assert found.verdicts == (verdict,)
    assert [each.id for each in archive.calls(Filters(band="low")).calls] == [call().id]
    assert not archive.judge(JobId("job_nobody"), verdict)


@pytest.mark.parametrize(
    "q",
    ["договор", "ДОГОВОРЫ", "budget", "thousand dollar", "бюджет", "петрова", "поставки окон", "+7 912 345",
     "3456789", "8 (912) 345-67-89", "4321", "deal:4321", "сделка 4321", "№4321"],
)  # fmt: skip
def test_found_by_what_a_person_types(archive: Archive, q: str) -> None:
    """Words in any of their forms, in Russian and English, a part of a phone, or a deal."""
    archive.put(call(1))
    archive.put(
        call(2, segments=(), reason="", client=None, manager=None, phone=None, entity=None, entity_title=None)
    )
    assert [each.id for each in archive.calls(Filters(q=q)).calls] == [call(1).id]


@pytest.mark.parametrize(
    "q", ["слон", "lead:4321", "договор слон", "+7 999 000", '" OR 1=1 --', "a:b*^", "((("]
)
def test_not_found_by_anything_else(archive: Archive, q: str) -> None:
    """What is not in a call does not find it, and no sign has a meaning of its own to a database."""
    archive.put(call(1))
    found = archive.calls(Filters(q=q)).calls
    assert found == () or q == "((("  # no word at all is no question


def test_words_that_many_calls_have_find_the_same(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a database goes about it: all that said it, newest first, and no other."""
    said = Segment(start=0, end=1, speaker="client", text="Сколько стоит доставка?")
    archive.put(*(call(number, segments=(said,) if number % 2 else ()) for number in range(9)))
    wanted = Filters(q="доставки", until=NOW + 7)
    found = archive.calls(wanted, limit=2)
    monkeypatch.setattr(words, "MANY", 0)
    assert archive.calls(wanted, limit=2) == found
    assert [each.id for each in found.calls] == [call(5).id, call(3).id]
    rest = archive.calls(wanted, cursor=found.next, limit=2)
    assert [each.id for each in rest.calls] == [call(1).id]
    assert archive.count(wanted) == 3


def test_a_phone_that_many_calls_have_finds_the_same(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All calls of a phone and of that number in the CRM, newest first, however many there are."""
    archive.put(*(call(number, phone="+7 900 1234" if number % 2 else None) for number in range(6)))
    archive.put(call(8, entity=Entity(type="lead", id=1234), phone=None))
    found = archive.calls(Filters(q="1234"))
    assert [each.id for each in found.calls] == [call(number).id for number in (8, 5, 3, 1)]
    assert [each.id for each in archive.calls(Filters(q="1234", phones=False)).calls] == [call(8).id]
    monkeypatch.setattr(words, "MANY", 2)
    assert archive.calls(Filters(q="1234")) == found


def test_an_empty_question_leaves_all(archive: Archive) -> None:
    """White space alone asks for nothing."""
    archive.put(call(1))
    assert len(archive.calls(Filters(q="  ")).calls) == 1


def test_pages_tile_all_calls(archive: Archive) -> None:
    """Going on from page to page shows each call once, newest first, also where many began at one moment."""
    for number in range(23):
        archive.put(call(number, started_at=NOW + number // 5))
    seen: list[str] = []
    cursor = None
    while True:
        page = archive.calls(cursor=cursor, limit=4)
        seen += [each.id for each in page.calls]
        cursor = page.next
        if cursor is None:
            break
    assert sorted(seen) == sorted(call(number).id for number in range(23))
    starts = [int(key[4:]) // 5 for key in seen]
    assert starts == sorted(starts, reverse=True)
    with pytest.raises(ValueError, match="cursor"):
        archive.calls(cursor="yesterday")


def test_filters(archive: Archive) -> None:
    """Each filter leaves what it says, and several at once all hold."""
    archive.put(call(1))
    archive.put(call(2, band=None, score=None, portal="other", gaps=(Gap(kind="unscored", why="no model"),)))
    archive.put(call(3, manager_id="8", manager="Boris", category=Category.CALL, state="failed"))
    ids = {key: call(key).id for key in (1, 2, 3)}

    def found(**filters: object) -> set[str]:
        return {each.id for each in archive.calls(Filters(**filters)).calls}  # type: ignore[arg-type]

    assert found(band="none") == {ids[2]}
    assert found(portal="other") == {ids[2]}
    assert found(manager="8") == found(manager="Boris") == found(category="call") == {ids[3]}
    assert found(state="failed") == {ids[3]}
    assert found(state="unscored") == {ids[2]}
    assert found(since=NOW + 2, until=NOW + 3) == {ids[2]}
    assert found(band="high", state="done") == {ids[1]}


def test_what_is_to_do_is_grouped_by_its_reason(archive: Archive) -> None:
    """Calls that lack the same for the same reason are one line, the most first."""
    two_equal = Gap(kind="unlinked", why="two equal calls")
    for number in range(3):
        archive.put(call(number, gaps=(two_equal,)))
    archive.put(call(9, gaps=(Gap(kind="unscored", why="no model"),)))
    assert archive.todo() == [(two_equal, 3), (Gap(kind="unscored", why="no model"), 1)]
    assert archive.lacking(two_equal) == [call(2).id, call(1).id, call(0).id]
    archive.put(call(1))
    assert archive.todo()[0] == (two_equal, 2)


def test_erased_is_gone_everywhere(archive: Archive) -> None:
    """An erased call is found by nothing any more; others stay."""
    archive.put(call(1, audio="kept/1.mp3"))
    archive.put(call(2, phone="+7 900 000-00-00", entity=Entity(type="deal", id=1)))
    archive.judge(call(1).id, Verdict(at=NOW, who="Olga", why="no", criterion="budget", met=False))
    assert archive.found_by_phone("8 912 345 67 89") == [call(1).id]
    assert archive.found_by_entity(Entity(type="deal", id=4321)) == [call(1).id]
    assert archive.erase([call(1).id]) == 1
    assert archive.call(call(1).id) is None
    assert [each.id for each in archive.calls(Filters(q="договор")).calls] == [call(2).id]
    with pytest.raises(ValueError, match="five digits"):
        archive.found_by_phone("12")


def test_old_calls_and_copies_that_are_gone_go(archive: Archive) -> None:
    """Calls go after their time; a copy that was removed stays so, also where its call is written again."""
    for number in (0, 100):
        archive.put(call(number, audio=f"kept/{number}.mp3", audio_bytes=10))
    assert archive.copies() == {"kept/0.mp3", "kept/100.mp3"}
    archive.without_copies(["kept/0.mp3"])
    archive.put(call(0, audio="kept/0.mp3", audio_bytes=10))
    assert archive.copies() == {"kept/100.mp3"}
    assert archive.expire(NOW + 150, limit=1) == 1
    assert archive.expire(NOW + 150) == 1
    assert archive.expire(NOW + 150) == archive.count() == 0


def test_the_audit_log_outlives_its_call(archive: Archive) -> None:
    """Who listened and who erased is told after the call has gone."""
    archive.put(call())
    archive.audit(Audited(at=NOW, who="Olga", what="listened", call=call().id))
    archive.erase([call().id])
    archive.audit(Audited(at=NOW + 1, who="Olga", what="erased", call=call().id, detail="on request"))
    assert [entry.what for entry in archive.audited(call().id)[0]] == ["erased", "listened"]


def test_a_team_by_its_calls(archive: Archive) -> None:
    """Means, shares and weeks per manager are those of their calls."""
    archive.put(call(1, score=80, talk=(30.0, 10.0)))
    archive.put(call(2, score=40, talk=(10.0, 30.0), started_at=NOW + WEEK_SECONDS))
    archive.put(call(3, manager_id="8", manager="Boris", score=None, criteria=()))
    within = {"since": NOW, "until": NOW + 2 * WEEK_SECONDS}
    anna, boris = team(archive.database, **within)
    assert (anna.manager, anna.calls, anna.score, anna.talk_share) == ("Анна Петрова", 2, 60.0, 0.5)
    assert anna.met == {"budget": 1.0, "time": 0.0}
    assert [(week.calls, week.score) for week in anna.weeks] == [(1, 80.0), (1, 40.0)]
    assert (boris.calls, boris.score, boris.met) == (1, None, {})
    assert team(archive.database, **within, told=["other"])[0].talk_share is None
    assert archive.managers() == [("8", "Boris"), ("7", "Анна Петрова")]


def test_a_teams_criteria_are_as_people_corrected_them(archive: Archive) -> None:
    """The last verdict on a criterion counts in a manager's share, counted before or not."""
    archive.put(call(1), call(2))
    within = {"since": NOW, "until": NOW + 86_400}
    for at, (met, share) in enumerate(((True, 0.5), (False, 0.0), (True, 0.5))):
        archive.judge(call(1).id, Verdict(at=NOW + at, who="O", why="w", criterion="time", met=met))
        for _ in range(2):
            (anna,) = team(archive.database, **within)
            assert anna.met == {"budget": 1.0, "time": share}
            archive.tally(NOW + 8 * 86_400)


def test_counted_days_give_the_same_figures(archive: Archive) -> None:
    """Whatever of a time is counted by days, by calls or in between; a change is in the figures at once."""
    chance = random.Random(1)

    def some(number: int, **changes: object) -> Call:
        return call(
            number,
            started_at=NOW + number * 40_000.0,
            manager_id=chance.choice(["7", "8", None]),
            score=chance.choice([None, 10, 75]),
            talk=chance.choice([(), (3.0, 5.0)]),
            portal=PortalId(chance.choice(["acme", "other"])),
            **changes,
        )

    archive.put(*map(some, range(160)))
    times = [
        (0.0, NOW * 2),
        (NOW + 90_000, NOW + 1_500_000),
        (NOW + 1, NOW + 5_500_000),
        (NOW, NOW + 10_000),
        (NOW + 5, NOW + 5),
    ]

    def figures() -> list[object]:
        return [team(archive.database, since=since, until=until, told=["acme"]) for since, until in times]

    plain = figures()
    for steps in (7, 30, 100):  # some days, then all that have ended
        with archive.database.writing() as connection:
            assert tally(connection, before=NOW + 6_000_000, most=steps) > 0
        assert figures() == plain
    assert archive.tally(NOW + 6_000_000) == 0
    with archive.database.reading() as connection:
        assert set(connection.scalars(select(tallied.c.days))) == set(LENGTHS)
    archive.put(some(3, criteria=()))
    archive.judge(call(5).id, Verdict(at=NOW, who="Olga", why="w", score=1, band="low"))
    archive.judge(call(6).id, Verdict(at=NOW, who="Olga", why="w", criterion="time", met=True))
    archive.erase([call(8).id])
    archive.put(call(9, started_at=NOW + 777_777))
    changed = figures()
    assert changed != plain
    with archive.database.writing() as connection:
        connection.execute(delete(tallied))
    assert figures() == changed


def test_a_day_is_never_counted_beside_a_change(archive: Archive) -> None:
    """Counting and writing at the same time leave the figures of what was written."""
    threads = [
        threading.Thread(target=archive.put, args=(call(number, started_at=NOW - 86_400.0 * (number % 3)),))
        for number in range(12)
    ]
    threads += [threading.Thread(target=archive.tally, args=(NOW + 86_400,)) for _ in range(4)]
    random.Random(2).shuffle(threads)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (anna,) = team(archive.database, since=0.0, until=NOW * 2)
    assert (anna.calls, archive.count()) == (12, 12)


def test_agreement_is_cohens_kappa() -> None:
    """The textbook's example, its interval, and the cases in which it cannot be told."""
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    found = agreement("budget", Counter(pairs))
    assert (found.agreed, found.kappa, found.few) == (0.7, 0.4, False)
    assert (found.low, found.high) == (0.146, 0.654)
    assert agreement("x", {(True, True): 3}).kappa is None
    assert agreement("x", {(True, True): 1, (False, False): 1}).few


def test_people_against_the_machine(archive: Archive) -> None:
    """The last verdict on each criterion and on the score counts."""
    archive.put(call(1))
    archive.put(call(2))
    for at, met in enumerate((True, False)):
        archive.judge(call(1).id, Verdict(at=NOW + at, who="O", why="w", criterion="budget", met=met))
    archive.judge(call(2).id, Verdict(at=NOW, who="O", why="w", criterion="budget", met=True))
    archive.judge(call(1).id, Verdict(at=NOW, who="O", why="w", score=10, band="low"))
    band, budget = quality(archive.database, since=NOW, until=NOW + 100)
    assert (band.name, band.pairs, band.agreed) == (None, 1, 0.0)
    assert (budget.name, budget.pairs, budget.agreed, budget.few) == ("budget", 2, 0.5, True)


def test_migrating_at_once_and_again_is_harmless(database: Database) -> None:
    """Several processes may bring the tables up at the same time."""
    errors: list[BaseException] = []

    def migrate() -> None:
        try:
            database.migrate()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert database.is_current()


def test_writers_wait_for_each_other(archive: Archive) -> None:
    """Many at once lose nothing."""
    threads = [threading.Thread(target=archive.put, args=(call(number),)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert archive.count() == 12


def test_a_database_that_is_away_is_one_clear_error(tmp_path: Path) -> None:
    """A folder that cannot be and a missing server are ArchiveUnavailable, and no password is told."""
    (tmp_path / "file").write_bytes(b"")
    for url in (f"sqlite:///{tmp_path}/file/archive.sqlite", "postgresql://me:secret@127.0.0.1:1/none"):
        with pytest.raises(ArchiveUnavailable) as caught:
            Archive(Database(url)).count()
        assert "secret" not in str(caught.value)
    for url in ("mysql://x/y", "nonsense"):
        with pytest.raises(SettingsError, match="CALLSCRIBE_DATABASE_URL"):
            Database(url)


def test_a_new_archive_is_made_at_first_use_for_the_service_alone(tmp_path: Path) -> None:
    """Nothing has to be set up: folder, file and tables come by themselves, and others cannot read them."""
    place = tmp_path / "var" / "archive.sqlite"
    with contextlib.closing(Archive.open(f"sqlite:///{place}")) as archive:
        archive.put(call())
        assert archive.count() == 1
    assert place.stat().st_mode & 0o077 == 0
    assert place.parent.stat().st_mode & 0o077 == 0


def test_what_no_database_is_harms_nothing(tmp_path: Path) -> None:
    """A damaged file is ArchiveUnavailable, and so are tables of a newer version."""
    damaged, newer = tmp_path / "damaged.sqlite", tmp_path / "newer.sqlite"
    damaged.write_bytes(b"no database at all" * 100)
    with pytest.raises(ArchiveUnavailable, match="not a database"):
        Archive.open(f"sqlite:///{damaged}").put(call())
    with contextlib.closing(Archive.open(f"sqlite:///{newer}")) as archive:
        archive.put(call())
        with archive.database.writing() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ArchiveUnavailable, match="newer version"):
        Archive.open(f"sqlite:///{newer}").count()


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("calls", "category", "video"), ("calls", "source", ""), ("calls", "state", "tired"),
        ("calls", "started_at", 1e300), ("calls", "accepted_at", -1e300), ("calls", "seconds", float("inf")),
        ("calls", "talk_first", float("inf")), ("calls", "cost", float("-inf")),
        ("bodies", "body", "{broken"), ("bodies", "body", "[" * 5000), ("bodies", "body", '{"segments": 5}'),
        ("gaps", "kind", "unheard"),
    ],
)  # fmt: skip
def test_a_damaged_row_hides_no_other(archive: Archive, table: str, column: str, value: object) -> None:
    """It is listed and shown as far as it can be read, and says so; the others are as they were."""
    archive.put(call(1, gaps=(Gap(kind="unlinked", why="x"),)), call(2))
    key = "id" if table == "calls" else "call"
    with archive.database.writing() as connection:
        number = connection.scalar(text("SELECT number FROM calls WHERE id = :id"), {"id": call(1).id})
        of = call(1).id if table == "calls" else number
        connection.execute(
            text(f"UPDATE {table} SET {column} = :to WHERE {key} = :of"), {"to": value, "of": of}
        )
    listed = {each.id: each for each in archive.calls().calls}
    assert set(listed) == {call(1).id, call(2).id}
    shown, other = archive.call(call(1).id), archive.call(call(2).id)
    assert other == call(2)
    assert shown is not None
    if table != "gaps":
        assert f"damaged, or of another version: {column}" in shown.reason
    assert math.isfinite(shown.started_at)
    assert shown.category in Category


def test_values_of_other_types_hide_no_other_call(tmp_path: Path) -> None:
    """SQLite takes any value into any column; what is none of its kind is left out of what is told."""
    archive = Archive.open(f"sqlite:///{tmp_path / 'archive.sqlite'}")
    archive.put(call(1), call(2))
    with archive.database.writing() as connection:
        for name in set(COLUMNS) - {"id"}:
            connection.execute(
                text(f"UPDATE calls SET {name} = :to WHERE id = :id"), {"to": b"\xff\xfe", "id": call(1).id}
            )
    (found,) = (each for each in archive.calls().calls if each.id == call(1).id)
    assert (found.manager, found.score, found.started_at, found.portal) == (None, None, 0.0, "")
    json.dumps(to_plain(found), allow_nan=False)
    archive.close()
