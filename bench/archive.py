"""How long the lists of the archive take with many calls in it, on SQLite and on PostgreSQL.

python bench/archive.py [--calls 100000] [--database URL]
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable

from pipeline.archive.archive import Archive
from pipeline.archive.calls import Call, Filters, Gap
from pipeline.archive.database import Database
from pipeline.archive.reports import quality, team
from pipeline.domain.job import Category, Entity, JobId, PortalId, Source
from pipeline.domain.lead import Criterion
from pipeline.domain.transcript import Segment

NOW = 1_790_000_000.0
YEAR = 365 * 86_400.0
WORDS = [
    "договор",
    "бюджет",
    "поставка",
    "окна",
    "цена",
    "срок",
    "скидка",
    "встреча",
    "звонок",
    "менеджер",
    "клиент",
    "сколько",
    "когда",
    "давайте",
    "завтра",
    "неделя",
    "месяц",
    "оплата",
    "счёт",
    "доставка",
    "монтаж",
    "гарантия",
    "размер",
    "заявка",
    "компания",
    "budget",
    "price",
    "delivery",
    "meeting",
]


def generated(number: int, seed: random.Random) -> Call:
    """A call of five minutes, some 300 words."""
    texts = [" ".join(seed.choices(WORDS, k=15)) for _ in range(20)]
    score = seed.choice([None, *range(0, 101, 5)])
    band = None if score is None else "high" if score >= 70 else "medium" if score >= 40 else "low"
    manager = seed.randrange(40)
    return Call(
        id=JobId(f"job_{number:026}"),
        portal=PortalId(f"portal{seed.randrange(3)}"),
        category=Category.AUDIO,
        source=Source.ENGINE,
        state="done" if seed.random() > 0.02 else "failed",
        started_at=NOW - seed.random() * YEAR,
        accepted_at=NOW,
        seconds=300.0,
        language="ru",
        quality="good",
        order="exact",
        manager_id=str(manager),
        manager=f"Manager {manager}",
        client=f"Client {seed.randrange(20_000)}",
        phone=f"+79{seed.randrange(10**9):09}",
        entity=Entity(type="deal", id=seed.randrange(1, 50_000)),
        talk=(seed.random() * 150, seed.random() * 150),
        score=score,
        band=band,
        machine_score=score,
        machine_band=band,
        reason=texts[0],
        criteria=tuple(
            Criterion(name=f"criterion {n}", met=seed.random() > 0.5, weight=1.0) for n in range(6)
        ),
        segments=tuple(
            Segment(start=n * 15.0, end=n * 15.0 + 14, speaker=("manager", "client")[n % 2], text=text)
            for n, text in enumerate(texts)
        ),
        gaps=(Gap(kind="unlinked", why=f"reason {seed.randrange(9)}"),) if seed.random() < 0.05 else (),
        levels=(tuple(seed.randrange(100) for _ in range(200)),) * 2,
    )


def main() -> None:
    """Fills an archive and times what its pages ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--database", help="an empty database; else SQLite in a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(options.database or f"sqlite:///{folder}/archive.sqlite")
        database.migrate()
        archive, seed = Archive(database), random.Random(1)
        began = time.perf_counter()
        for number in range(options.calls):
            archive.put(generated(number, seed))
        took = time.perf_counter() - began
        print(f"{database.dialect}: {options.calls} calls written, {options.calls / took:.0f} a second")
        some = archive.calls(limit=1).calls[0]
        week = (NOW - 7 * 86_400, NOW)
        asked: dict[str, Callable[[], object]] = {
            "newest": archive.calls,
            "of a manager, yesterday, low": lambda: archive.calls(
                Filters(manager="7", band="low", since=NOW - 86_400)
            ),
            "of a band nobody has": lambda: archive.calls(Filters(band="none", manager="none")),
            "a word in every call": lambda: archive.calls(Filters(q="договор")),
            "three words": lambda: archive.calls(Filters(q="бюджет доставка монтаж")),
            "a word in no call": lambda: archive.calls(Filters(q="слон")),
            "a part of a phone": lambda: archive.calls(Filters(q="912345")),
            "unlinked": lambda: archive.calls(Filters(state="unlinked")),
            "deep page": lambda: archive.calls(cursor=f"{NOW - YEAR / 2!r}_5"),
            "one call": lambda: archive.call(some.id),
            "to do": archive.todo,
            "managers": archive.managers,
            "team, a week": lambda: team(database, since=week[0], until=week[1]),
            "team, 90 days": lambda: team(database, since=NOW - 90 * 86_400, until=NOW),
            "quality": lambda: quality(database, since=NOW - YEAR, until=NOW),
        }
        for name, ask in asked.items():
            ask()
            times = []
            for _ in range(5):
                began = time.perf_counter()
                ask()
                times.append(time.perf_counter() - began)
            print(f"{name:32} {statistics.median(times) * 1000:8.1f} ms  (most {max(times) * 1000:.1f})")
        database.close()


if __name__ == "__main__":
    main()
