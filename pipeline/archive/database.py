"""The database behind the archive: SQLite or PostgreSQL, opened, migrated, written in short transactions."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import zlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url, text

from pipeline.domain.errors import CallscribeError, SettingsError

BUSY_SECONDS = 5.0
_WRITING = "callscribe_writing"
_TOLD = (exc.OperationalError, exc.DatabaseError)  # what they say is of the database, and not of its rows


class ArchiveUnavailable(CallscribeError):
    """The archive's database cannot be reached, or refuses; no job is lost by it."""

    slug = "archive_unavailable"
    transient = True
    hint = "Look after the database of CALLSCRIBE_DATABASE_URL; what is not archived yet waits for it."


class Database:
    """Connections to one database; thread-safe, but not to be carried over a fork."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self._is_current = False
        self._migrating = threading.Lock()

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent view. Raises ArchiveUnavailable."""
        self._brought_up()
        with _guarded(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, all or nothing. Raises ArchiveUnavailable."""
        self._brought_up()
        with self._transaction() as connection:
            yield connection

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with _guarded(), self.engine.connect() as connection:
            connection = connection.execution_options(**{_WRITING: True})
            with connection.begin():
                yield connection

    def _brought_up(self) -> None:
        """Migrated before it is first used, by whichever process is first."""
        if self._is_current:
            return
        with self._migrating:
            if not self._is_current:
                if not self.is_current():
                    self.migrate()
                self._is_current = True

    def migrate(self) -> None:
        """Brings the tables to the newest form; harmless when they are, and when several do it at once."""
        with _readable(), self._transaction() as connection:
            if self.dialect == "postgresql":
                lock = zlib.crc32(b"callscribe archive")
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
            config = _alembic()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def is_current(self) -> bool:
        """Whether the tables have the newest form. Raises ArchiveUnavailable."""
        head = ScriptDirectory.from_config(_alembic()).get_current_head()
        with _guarded(), self.engine.connect() as connection, connection.begin():
            return MigrationContext.configure(connection).get_current_revision() == head

    def copy_to(self, file: Path) -> int:
        """A whole copy of a SQLite archive in a new file, also while others write; how many calls it has.

        Raises ArchiveUnavailable.
        """
        file.touch(mode=0o600)
        try:
            with (
                contextlib.closing(sqlite3.connect(str(self.engine.url.database))) as source,
                contextlib.closing(sqlite3.connect(file)) as copy,
            ):
                source.backup(copy)
                return int(copy.execute("SELECT count(*) FROM calls").fetchone()[0])
        except sqlite3.Error as error:
            raise ArchiveUnavailable(f"The archive cannot be copied: {error}.") from None

    def close(self) -> None:
        """Gives all connections back."""
        self.engine.dispose()


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        raise SettingsError(
            "CALLSCRIBE_DATABASE_URL: expected postgresql://user:password@host/name or sqlite:///file"
        ) from None
    if parsed.drivername == "sqlite":
        return _sqlite(parsed.render_as_string(hide_password=False))
    if parsed.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise SettingsError("CALLSCRIBE_DATABASE_URL: expected postgresql://... or sqlite:///...")
    if find_spec("psycopg") is None:
        raise SettingsError(
            "CALLSCRIBE_DATABASE_URL: postgresql:// takes the extra: pip install 'callscribe[postgresql]'"
        )
    return create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        pool_size=4,
        connect_args={"connect_timeout": 5, "options": "-c statement_timeout=20000"},
    )


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "do_connect")
    def _prepare(_dialect: Any, _record: Any, arguments: list[Any], _named: Any) -> None:
        if arguments[0].startswith(("file:", ":")):  # a URI of SQLite's own, or in memory
            return
        file = Path(arguments[0])
        with contextlib.suppress(OSError):  # SQLite then says itself what is wrong
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file.touch(mode=0o600)  # what people said: the service's user alone reads it

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, writing ones as such at once
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "cache_size=-16000"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get(_WRITING)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    """The database's own faults become ArchiveUnavailable.

    What it says of values stays out; what it says of itself ("disk is full", "connection refused") is told.
    A row that it refuses is no such fault: DataError and IntegrityError pass.
    """
    try:
        yield
    except (exc.DataError, exc.IntegrityError):
        raise
    except (exc.DBAPIError, exc.TimeoutError) as error:
        cause = getattr(error, "orig", None) or error
        said = str(cause).strip().partition("\n")[0][:200] if type(error) in _TOLD else ""
        why = said.rstrip(".") or type(cause).__name__
        raise ArchiveUnavailable(f"The archive's database does not answer as it should: {why}.") from error


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Tables of a form that this version does not know are a newer version's."""
    try:
        yield
    except CommandError:
        raise ArchiveUnavailable("The archive's database was written by a newer version.") from None
