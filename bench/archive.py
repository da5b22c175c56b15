"""How long the archive's questions take with many calls in it, on either database.

    .venv/bin/python -m bench.archive [--calls 100000] [--database URL] [--keep FOLDER]

Without a URL: SQLite in a file, then the PostgreSQL of the tests' wheel. The calls are a thousand, copied
over a year: twenty managers, three portals, sixty turns whose common words are in all of them. Filling takes
minutes: --keep leaves both databases in that folder, of a short path, and finds them there the next time.

Each question is asked five times after a first one; the median and the slowest are told. Exit 1 for a median
above 200 ms.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipeline.archive.archive import Archive
from pipeline.archive.calls import Call, Filters, Gap, Verdict
from pipeline.archive.reports import quality, team
from pipeline.archive.schema import bodies, calls, criteria, gaps, verdicts
from pipeline.domain.job import Category, Entity, JobId, PortalId, Source
from pipeline.domain.lead import Criterion
from pipeline.domain.transcript import Segment
from tests.archive import conftest as postgres

DAY = 86_400.0
TURNS = 60
BASE = 1_000
MOST_SECONDS = 0.2
RUSSIAN = ["договор", "цена", "поставка", "бюджет", "срок", "менеджер", "окно", "дверь", "скидка", "оплата"]
ENGLISH = ["budget", "price", "delivery", "contract", "need", "team", "week", "offer", "invoice", "meeting"]
RARE = [f"слово{number}" for number in range(5_000)]
WHOSE = (("CAST(manager_id AS INTEGER)", 20), ("CAST(substr(portal, 7) AS INTEGER)", 3))
CRITERIA = ("need", "budget", "decision maker", "timing", "next step", "objection")


def made(number: int, chance: random.Random, many: int, now: float) -> Call:
    """A call of the year before `now`."""
    common = RUSSIAN if chance.random() < 0.7 else ENGLISH
    turns = tuple(
        Segment(
            start=at * 4.0,
            end=at * 4.0 + 3,
            speaker="manager" if at % 2 else "client",
            text=" ".join(chance.choices(common, k=7) + chance.choices(RARE, k=1)),
        )
        for at in range(TURNS)
    )
    score, manager = chance.randrange(101), chance.randrange(20)
    lacks = ("unlinked", "two equal calls") if chance.random() < 0.05 else ("unscored", "no answer")
    return Call(
        id=JobId(f"job_{number:026}"),
        portal=PortalId(f"portal{chance.randrange(3)}"),
        category=Category.AUDIO,
        source=Source.ENGINE,
        state="failed" if chance.random() < 0.01 else "done",
        started_at=now - 365 * DAY * number / many,
        accepted_at=now,
        seconds=240.0,
        manager_id=str(manager),
        manager=f"Менеджер {manager}",
        client=f"Клиент {chance.randrange(10_000)}",
        phone=f"+7 9{chance.randrange(10**9):09}",
        entity=Entity(type="deal", id=chance.randrange(1, 50_000)),
        entity_title="Окна",
        talk=(100.0, 120.0),
        score=score,
        band="high" if score >= 70 else "medium" if score >= 40 else "low",
        machine_score=score,
        machine_band="high" if score >= 70 else "medium" if score >= 40 else "low",
        reason="Есть потребность и бюджет. " * 3,
        criteria=tuple(Criterion(name=name, met=chance.random() < 0.5, weight=1.0) for name in CRITERIA),
        segments=turns,
        gaps=(Gap(kind=lacks[0], why=lacks[1]),) if chance.random() < 0.06 else (),  # type: ignore[arg-type]
        levels=(tuple(range(100)) * 10, tuple(range(100)) * 10),
    )


def fill(archive: Archive, many: int) -> None:
    """Puts BASE calls in as steps do, some with verdicts; the rest are copies made by the database.

    A copy is another manager's, of another portal, and its phone another one with the same end.
    """
    chance, now = random.Random(7), time.time()
    base = min(BASE, many)
    for first in range(0, base, 100):
        archive.put(*(made(number, chance, base, now) for number in range(first, first + 100)))
    for number in range(0, base, 50):
        key = JobId(f"job_{number:026}")
        archive.judge(key, Verdict(at=now, who="Olga", why="w", score=number % 101, band="low"))
        archive.judge(key, Verdict(at=now, who="Olga", why="w", criterion="need", met=True))
    rest = "%" if archive.database.dialect == "sqlite" else "%%"
    for copy in range(1, many // base):
        with archive.database.writing() as connection:
            for table in (calls, bodies, gaps, criteria, verdicts):
                new = {column.name: str(column.name) for column in table.c}
                if table is verdicts:
                    new["number"] = f"number + {copy * base}"
                else:
                    new[next(iter(new))] = f"{next(iter(new))} + {copy * base}"
                if table is calls:
                    manager, portal = (f"({of} + {copy}) {rest} {of_all}" for of, of_all in WHOSE)
                    new |= {
                        "id": f"id || '_{copy}'",
                        "started_at": f"started_at - {copy} * 61.0",
                        "manager_id": f"CAST({manager} AS TEXT)",
                        "manager": f"'Менеджер ' || CAST({manager} AS TEXT)",
                        "portal": f"'portal' || CAST({portal} AS TEXT)",
                    }
                    for name, ahead in (("phone_digits", 2), ("phone", 4)):
                        new[name] = (
                            f"substr({name}, 1, {ahead}) || '{copy:03}' || substr({name}, {ahead + 4})"
                        )
                if "call" in new:
                    new["call"] = f'"call" + {copy * base}'
                names = ", ".join(f'"{name}"' for name in new)
                key = '"number"' if table is calls else '"call"'
                connection.exec_driver_sql(
                    f"INSERT INTO {table.name} ({names}) SELECT {', '.join(new.values())} FROM {table.name}"
                    f" WHERE {key} <= {base}"
                )
            key = "rowid" if archive.database.dialect == "sqlite" else "number"
            connection.exec_driver_sql(
                f"INSERT INTO calls_words ({key}, words) SELECT {key} + {copy * base}, words FROM calls_words"
                f" WHERE {key} <= {base}"
            )
    if archive.database.dialect == "postgresql":  # what its autovacuum does
        with archive.database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
            connection.exec_driver_sql("CHECKPOINT")


def questions(archive: Archive, many: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """What pages ask."""

    def listed(**filters: object) -> Callable[[], object]:
        return lambda: archive.calls(Filters(**filters))  # type: ignore[arg-type]

    now = archive.calls(limit=1).calls[0].started_at + 1
    month = {"since": now - 30 * DAY, "until": now}
    yield "list", listed()
    yield (
        "list of a manager's weak calls of a day",
        listed(manager="7", band="low", since=now - 2 * DAY, until=now),
    )
    yield "list of a manager by name", listed(manager="Менеджер 7")
    yield "list of a portal", listed(portal="portal1")
    yield "list of the failed", listed(state="failed")
    yield "list of the unlinked", listed(state="unlinked")
    yield "list of a manager without any", listed(manager="nobody")
    yield "search: a common word", listed(q="договор")
    yield "search: two common words", listed(q="budget delivery")
    yield "search: a rare word", listed(q="слово77")
    yield "search: a common word, of a manager", listed(q="договор", manager="7")
    yield "search: a word that nobody said", listed(q="абракадабра")
    yield "search: end of a phone", listed(q="4567")
    yield "search: a phone", listed(q="+7 912 345 67 89")
    yield "search: deal", listed(q="deal 4321")
    page = archive.calls(limit=50)
    for _ in range(20):
        page = archive.calls(cursor=page.next, limit=50)
    yield "page 21", lambda: archive.calls(cursor=page.next)
    yield "call", lambda: archive.call(JobId(f"job_{many // 2:026}"))
    yield "todo", archive.todo
    yield "todo: calls of a reason", lambda: archive.lacking(Gap(kind="unlinked", why="two equal calls"))
    yield "managers", archive.managers
    yield "team, 30 days", lambda: team(archive.database, **month)
    yield "team, 90 days", lambda: team(archive.database, since=now - 90 * DAY, until=now)
    yield "team, a year", lambda: team(archive.database, since=now - 366 * DAY, until=now)
    yield "quality, 30 days", lambda: quality(archive.database, **month)
    yield "quality, a year", lambda: quality(archive.database, since=now - 366 * DAY, until=now)
    yield "count", archive.count


def measure(archive: Archive, many: int) -> bool:
    """Tells how long each takes; whether all keep the bound."""
    good = True
    for name, ask in questions(archive, many):
        times = []
        for _ in range(6):
            begun = time.perf_counter()
            ask()
            times.append(time.perf_counter() - begun)
        times = sorted(times[1:])
        late = statistics.median(times) > MOST_SECONDS
        good &= not late
        sys.stdout.write(
            f"  {name:44} {1000 * statistics.median(times):7.1f} ms, slowest {1000 * times[-1]:7.1f}"
            f"{'  LATE' if late else ''}\n"
        )
        sys.stdout.flush()
    return good


@contextmanager
def filled(many: int, *, url: str | None = None, keep: Path | None = None) -> Iterator[Iterator[Archive]]:
    """Archives with that many calls, one after the other: of that URL, else of each database.

    keep: a folder in which they stay, and are found again.
    """
    with ExitStack() as left:
        folder = keep or Path(left.enter_context(tempfile.TemporaryDirectory(dir="/tmp")))
        folder.mkdir(parents=True, exist_ok=True)

        def served() -> Iterator[Archive]:
            if url:
                yield _filled(Archive.open(url), many)
                return
            yield _filled(Archive.open(f"sqlite:///{folder}/archive.sqlite"), many)
            with postgres.served(folder / "pg") as there:
                yield _filled(Archive.open(there), many)

        yield served()


def _filled(archive: Archive, many: int) -> Archive:
    if not archive.count():
        begun = time.perf_counter()
        fill(archive, many)
        sys.stdout.write(f"{archive.database.dialect}: filled in {time.perf_counter() - begun:.0f} s\n")
    while archive.tally(time.time()):  # as the maintenance does
        pass
    return archive


def asked(about: str, *, report: bool = False) -> argparse.Namespace:
    """What the command line names; report: whether a report can be asked for."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--database")
    parser.add_argument("--keep", type=Path)
    if report:
        parser.add_argument("--report", action="store_true")
    return parser.parse_args()


def main() -> None:
    given, good = asked(__doc__ or ""), True
    with filled(given.calls, url=given.database, keep=given.keep) as archives:
        for archive in archives:
            sys.stdout.write(f"{archive.database.dialect}: {archive.count()} calls\n")
            good &= measure(archive, given.calls)
            archive.close()
    sys.exit(not good)


if __name__ == "__main__":
    main()
