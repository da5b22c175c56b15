"""The database behind the archive: SQLite or PostgreSQL, opened, migrated, written in short transactions."""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url, text

from pipeline.domain.errors import CallscribeError, SettingsError

BUSY_SECONDS = 5.0
_WRITING = "callscribe_writing"


class ArchiveUnavailable(CallscribeError):
    """The archive's database cannot be reached, or refuses; no job is lost by it."""

    slug = "archive_unavailable"
    transient = True
    hint = "Look after the database of CALLSCRIBE_DATABASE_URL; what is not archived yet waits for it."


class Database:
    """Connections to one database; thread-safe, but not to be carried over a fork."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent view. Raises ArchiveUnavailable."""
        with _guarded(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, all or nothing. Raises ArchiveUnavailable."""
        with _guarded(), self.engine.connect() as connection:
            connection = connection.execution_options(**{_WRITING: True})
            with connection.begin():
                yield connection

    def migrate(self) -> None:
        """Brings the tables to the newest form; harmless when they are, and when several do it at once."""
        with self.writing() as connection:
            if self.dialect == "postgresql":
                lock = zlib.crc32(b"callscribe archive")
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
            config = _alembic()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def is_current(self) -> bool:
        """Whether the tables have the newest form. Raises ArchiveUnavailable."""
        head = ScriptDirectory.from_config(_alembic()).get_current_head()
        with self.reading() as connection:
            return MigrationContext.configure(connection).get_current_revision() == head

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
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
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
    raise SettingsError("CALLSCRIBE_DATABASE_URL: expected postgresql://... or sqlite:///...")


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

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
    """The database's own faults become ArchiveUnavailable; its words may carry values, so they stay out."""
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, exc.ProgrammingError) as error:
        cause = type(getattr(error, "orig", None) or error).__name__
        raise ArchiveUnavailable(f"The archive's database does not answer as it should: {cause}.") from error
