"""The archive as steps, commands and the console use it: calls in, verdicts in, calls out."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from pipeline.archive import reports, words
from pipeline.archive.calls import (
    LACKS,
    Agreement,
    Audited,
    Call,
    Filters,
    Gap,
    Lack,
    Member,
    Page,
    Verdict,
)
from pipeline.archive.database import Database
from pipeline.archive.rows import BODY, COLUMNS, call_of
from pipeline.archive.schema import audits, bodies, calls, criteria, gaps, verdicts
from pipeline.archive.tallies import forget, tally
from pipeline.domain.job import Entity, JobId
from pipeline.domain.plain import from_plain, to_plain


class Archive:
    """Calls that people come back to. All methods raise ArchiveUnavailable when the database is away."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @staticmethod
    def open(url: str) -> Archive:
        """The archive at that URL, which need not be there yet. Raises SettingsError."""
        return Archive(Database(url))

    def close(self) -> None:
        """Gives all connections back."""
        self.database.close()

    # -- written by the flow

    def put(self, *some: Call) -> None:
        """Archives calls in place of what was known of them; verdicts of people and kept audio stay."""
        with self.database.writing() as connection:
            forget(connection, [call.started_at for call in some])
            for call in some:
                _put(connection, call)

    # -- said by people

    def judge(self, call: JobId, verdict: Verdict) -> bool:
        """Writes a person's verdict down; a verdict on the score holds from now on. False: no such call."""
        with self.database.writing() as connection:
            known = connection.execute(
                select(calls.c.number, calls.c.started_at).where(calls.c.id == call)
            ).first()
            if known is None:
                return False
            forget(connection, [known.started_at])
            _add_verdicts(connection, known.number, [verdict])
            if verdict.score is not None:
                connection.execute(
                    update(calls)
                    .where(calls.c.number == known.number)
                    .values(score=verdict.score, band=verdict.band)
                )
                connection.execute(  # what nobody but this person said of it
                    update(calls)
                    .where(calls.c.number == known.number, calls.c.machine_score.is_(None))
                    .values(reason=verdict.why)
                )
                _fill(connection, known.number, "unscored")
            return True

    def audit(self, entry: Audited) -> None:
        """Who listened, corrected, erased ...: kept as long as calls are."""
        with self.database.writing() as connection:
            values = {"call_id" if name == "call" else name: value for name, value in to_plain(entry).items()}
            connection.execute(insert(audits).values(**values))

    # -- read

    def calls(self, filters: Filters | None = None, *, cursor: str | None = None, limit: int = 50) -> Page:
        """Calls, newest first, without their segments. Raises ValueError for a cursor that is none."""
        after = _after(cursor)
        with self.database.reading() as connection:
            found = (
                select(calls)
                .where(*_conditions(filters or Filters(), connection), *after)
                .order_by(calls.c.started_at.desc(), calls.c.number.desc())
                .limit(limit + 1)
            )
            rows = connection.execute(found).all()
            lacking = _gaps(connection, [row.number for row in rows[:limit]])
        more = f"{rows[limit - 1].started_at!r}_{rows[limit - 1].number}" if len(rows) > limit else None
        return Page(
            calls=tuple(call_of(row, gaps=lacking.get(row.number, ())) for row in rows[:limit]), next=more
        )

    def count(self, filters: Filters | None = None) -> int:
        """How many calls the filters leave."""
        with self.database.reading() as connection:
            wanted = _conditions(filters or Filters(), connection)
            return connection.scalar(select(func.count()).select_from(calls).where(*wanted)) or 0

    def call(self, call: JobId) -> Call | None:
        """All that is known of one call."""
        with self.database.reading() as connection:
            row = connection.execute(
                select(calls, bodies.c.body)
                .join(bodies, bodies.c.call == calls.c.number)
                .where(calls.c.id == call)
            ).first()
            if row is None:
                return None
            said = connection.execute(
                select(verdicts).where(verdicts.c.call == row.number).order_by(verdicts.c.number)
            )
            return call_of(
                row,
                body=row.body,
                gaps=_gaps(connection, [row.number]).get(row.number, ()),
                verdicts=tuple(from_plain(Verdict, dict(each._mapping)) for each in said),
            )

    def todo(self, *, limit: int | None = None) -> list[tuple[Gap, int]]:
        """What calls lack, by kind and reason, with how many lack it: the most first."""
        with self.database.reading() as connection:
            rows = connection.execute(
                select(gaps.c.kind, gaps.c.why, func.count().label("many"))
                .group_by(gaps.c.kind, gaps.c.why)
                .order_by(func.count().desc(), gaps.c.kind, gaps.c.why)
                .limit(limit)
            )
            return [(Gap(kind=row.kind, why=row.why), row.many) for row in rows]

    def lacking(self, gap: Gap, *, limit: int = 500) -> list[JobId]:
        """The calls that lack just that, newest first."""
        with self.database.reading() as connection:
            rows = connection.execute(
                select(calls.c.id)
                .join(gaps, gaps.c.call == calls.c.number)
                .where(gaps.c.kind == gap.kind, gaps.c.why == gap.why)
                .order_by(calls.c.started_at.desc())
                .limit(limit)
            )
            return [JobId(row.id) for row in rows]

    def audited(
        self, call: str | None = None, *, cursor: str | None = None, limit: int = 200
    ) -> tuple[list[Audited], str | None]:
        """The audit log, newest first, and where it goes on. Raises ValueError for a cursor that is none."""
        wanted = [audits.c.call_id == call] if call else []
        if cursor:
            if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
                raise ValueError("cursor: expected the `next` of the page before")
            wanted.append(audits.c.number < int(cursor))
        with self.database.reading() as connection:
            found = select(audits).where(*wanted).order_by(audits.c.number.desc()).limit(limit + 1)
            rows = connection.execute(found).all()
        told = [
            Audited(at=row.at, who=row.who, what=row.what, call=row.call_id, detail=row.detail)
            for row in rows[:limit]
        ]
        return told, str(rows[limit - 1].number) if len(rows) > limit else None

    def judged(self, *, since: float, until: float, limit: int = 200) -> list[Call]:
        """The calls of that time whose score people have judged, newest first, without their segments."""
        said = exists().where(
            verdicts.c.call == calls.c.number, verdicts.c.criterion.is_(None), verdicts.c.band.is_not(None)
        )
        wanted = select(calls).where(calls.c.started_at >= since, calls.c.started_at < until, said)
        with self.database.reading() as connection:
            found = connection.execute(
                wanted.order_by(calls.c.started_at.desc(), calls.c.number.desc()).limit(limit)
            )
            return [call_of(row) for row in found]

    def team(self, *, since: float, until: float, told: Collection[str] | None = None) -> list[Member]:
        """Managers by their calls; see `reports.team`."""
        return reports.team(self.database, since=since, until=until, told=told)

    def quality(self, *, since: float, until: float) -> list[Agreement]:
        """How far people and the machine agree; see `reports.quality`."""
        return reports.quality(self.database, since=since, until=until)

    def managers(self) -> list[tuple[str | None, str | None]]:
        """Whose calls there are: id and name."""
        with self.database.reading() as connection:
            rows = connection.execute(
                select(calls.c.manager_id, func.max(calls.c.manager).label("name"))
                .where(or_(calls.c.manager_id.is_not(None), calls.c.manager.is_not(None)))
                .group_by(calls.c.manager_id)
                .order_by(func.max(calls.c.manager))
                .limit(1000)
            )
            return [(row.manager_id, row.name) for row in rows]

    # -- erased

    def erase(self, ids: Sequence[JobId]) -> int:
        """Erases calls and all about them; how many there were. Their kept audio is for the caller."""
        with self.database.writing() as connection:
            find = select(calls.c.number).where(calls.c.id.in_(list(ids)))
            return _erase(connection, connection.scalars(find).all())

    def found_by_phone(self, phone: str) -> list[JobId]:
        """The calls with that phone: all of its digits, or the last ten of them."""
        digits = words.digits_of(phone)
        if not digits or len(digits) < 5:
            raise ValueError("expected a phone with five digits or more")
        return self._ids(calls.c.phone_digits.endswith(digits[-words.NATIONAL_DIGITS :], autoescape=True))

    def found_by_entity(self, entity: Entity) -> list[JobId]:
        """The calls of a deal, lead, contact ..."""
        return self._ids(and_(calls.c.entity_type == entity.type, calls.c.entity_id == entity.id))

    def expire(self, before: float, *, limit: int = 500) -> int:
        """Erases calls, and audits, that are older: how many calls, `limit` at the most."""
        with self.database.writing() as connection:
            find = select(calls.c.number).where(calls.c.started_at < before).limit(limit)
            connection.execute(delete(audits).where(audits.c.at < before))
            return _erase(connection, connection.scalars(find).all())

    def tally(self, before: float) -> int:
        """Counts days, and weeks, that have ended by then: how many. Again while it finds any."""
        with self.database.writing() as connection:
            return tally(connection, before=before)

    def copies(self) -> set[str]:
        """The keys of all recordings that are said to be kept."""
        with self.database.reading() as connection:
            return set(connection.scalars(select(calls.c.audio).where(calls.c.audio.is_not(None))))

    def without_copies(self, keys: Iterable[str]) -> None:
        """Notes that these are gone."""
        with self.database.writing() as connection:
            for key in keys:
                connection.execute(update(calls).where(calls.c.audio == key).values(audio=None))

    def _ids(self, wanted: ColumnElement[bool]) -> list[JobId]:
        with self.database.reading() as connection:
            return [JobId(key) for key in connection.scalars(select(calls.c.id).where(wanted))]


def _put(connection: Connection, call: Call) -> None:
    known = connection.execute(select(calls).where(calls.c.id == call.id)).first()
    values = _values(call)
    if known is None:
        number = connection.scalar(insert(calls).values(**values).returning(calls.c.number)) or 0
    else:
        number = known.number
        forget(connection, [known.started_at])
        kept = {"audio"} if known.audio_bytes is not None else set()  # there, or removed by now
        if not call.verdicts and _judged(connection, number):
            kept |= {"score", "band"}
            call = replace(call, gaps=tuple(gap for gap in call.gaps if gap.kind != "unscored"))
        changed = {name: value for name, value in values.items() if name not in kept}
        connection.execute(update(calls).where(calls.c.number == number).values(**changed))
    _replace_lines(connection, number, call)
    _add_verdicts(connection, number, call.verdicts)
    words.index(connection, number, _findable(call))


def _fill(connection: Connection, number: int, kind: Lack) -> None:
    connection.execute(delete(gaps).where(gaps.c.call == number, gaps.c.kind == kind))


def _erase(connection: Connection, numbers: Sequence[int]) -> int:
    forget(connection, connection.scalars(select(calls.c.started_at).where(calls.c.number.in_(numbers))))
    words.unindex(connection, list(numbers))
    for table in (bodies, gaps, criteria, verdicts):
        connection.execute(delete(table).where(table.c.call.in_(numbers)))
    connection.execute(delete(calls).where(calls.c.number.in_(numbers)))
    return len(numbers)


def _values(call: Call) -> dict[str, Any]:
    plain = to_plain(call)
    talk = (*call.talk, None, None)
    return {name: plain[name] for name in COLUMNS} | {
        "ordering": call.order,
        "phone_digits": words.digits_of(call.phone),
        "entity_type": call.entity.type if call.entity else None,
        "entity_id": call.entity.id if call.entity else None,
        "talk_first": talk[0],
        "talk_second": talk[1],
        "speakers": ",".join(call.speakers) or None,
    }


def _add_verdicts(connection: Connection, number: int, said: Sequence[Verdict]) -> None:
    """Those that are not there yet: of one thing a person says one thing at a moment."""
    rows = connection.execute(select(verdicts).where(verdicts.c.call == number))
    known = {(row.at, row.who, row.criterion) for row in rows}
    new = [
        {"call": number, **to_plain(each)}
        for each in said
        if (each.at, each.who, each.criterion) not in known
    ]
    if new:
        connection.execute(insert(verdicts), new)


def _judged(connection: Connection, number: int) -> bool:
    said = select(verdicts.c.number).where(verdicts.c.call == number, verdicts.c.score.is_not(None))
    return connection.execute(said).first() is not None


def _replace_lines(connection: Connection, number: int, call: Call) -> None:
    body = {name: to_plain(getattr(call, name)) for name in BODY}
    known = connection.scalar(select(bodies.c.body).where(bodies.c.call == number))
    if known and not call.levels:
        body["levels"] = json.loads(known)["levels"]
    for table in (bodies, gaps, criteria):
        connection.execute(delete(table).where(table.c.call == number))
    connection.execute(insert(bodies).values(call=number, body=json.dumps(body, ensure_ascii=False)))
    if call.gaps:
        connection.execute(insert(gaps), [{"call": number, **to_plain(gap)} for gap in call.gaps])
    if call.criteria:
        connection.execute(
            insert(criteria),
            [{"call": number, "position": at, **to_plain(each)} for at, each in enumerate(call.criteria)],
        )


def _findable(call: Call) -> str:
    said = (segment.text for segment in call.segments)
    return " ".join(
        part for part in (*said, call.reason, call.client, call.manager, call.entity_title) if part
    )


def _conditions(filters: Filters, connection: Connection) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if filters.since is not None:
        wanted.append(calls.c.started_at >= filters.since)
    if filters.until is not None:
        wanted.append(calls.c.started_at < filters.until)
    if filters.manager:  # ids are numbers, names are none: an index serves either
        named = calls.c.manager_id if filters.manager.isdigit() else calls.c.manager
        wanted.append(named == filters.manager)
    if filters.band:
        wanted.append(calls.c.band.is_(None) if filters.band == "none" else calls.c.band == filters.band)
    if filters.why is not None or (filters.state in LACKS and filters.state not in ("failed", "undelivered")):
        lacks = exists().where(gaps.c.call == calls.c.number)
        lacks = lacks.where(gaps.c.kind == filters.state) if filters.state else lacks
        wanted.append(lacks if filters.why is None else lacks.where(gaps.c.why == filters.why))
    elif filters.state:
        wanted.append(calls.c.state == filters.state)
    if filters.portal:
        wanted.append(calls.c.portal == filters.portal)
    if filters.category:
        wanted.append(calls.c.category == filters.category)
    if filters.q and filters.q.strip():  # the last: SQLite looks through words for what the rest leaves
        wanted.append(words.found_by(filters.q, connection, phones=filters.phones))
    return wanted


def _after(cursor: str | None) -> list[ColumnElement[bool]]:
    if not cursor:
        return []
    at, _, number = cursor.partition("_")
    try:
        before, last = float(at), int(number)
    except ValueError:
        raise ValueError("cursor: expected the `next` of the page before") from None
    same = and_(calls.c.started_at == before, calls.c.number < last)
    return [or_(calls.c.started_at < before, same)]


def _gaps(connection: Connection, numbers: Sequence[int]) -> dict[int, tuple[Gap, ...]]:
    found: dict[int, tuple[Gap, ...]] = {}
    for row in connection.execute(select(gaps).where(gaps.c.call.in_(numbers))):
        found[row.call] = (*found.get(row.call, ()), Gap(kind=row.kind, why=row.why))
    order = {kind: at for at, kind in enumerate(LACKS)}
    return {
        number: tuple(sorted(some, key=lambda gap: order.get(gap.kind, len(order))))
        for number, some in found.items()
    }
