"""`callscribe backup`: a copy of DATA_DIR that can be started from, made while the service runs."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click

from pipeline.cli import WorkFailed, attached
from pipeline.cli.terminal import echo
from pipeline.domain.errors import BadRequest, CallscribeError
from pipeline.settings.installation import Settings, load
from pipeline.store import Store
from pipeline.store.watermark import Mark, keep_mark

TRIES = 5
REWRITE_SECONDS = 60.0  # in which the server has written its file anew
LOOK_SECONDS = 0.2


@click.command()
@click.argument("to", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
def backup(to: Path) -> None:
    """Copies store, archive, audio and key into FOLDER while the service runs, and checks it.

    To restore, stop the service and start it with the copy as its CALLSCRIBE_DATA_DIR. What was accepted
    after the copy began may be missing in it; what it holds is done again at most once, after a look.
    """
    settings = load()
    if settings.redis_url:
        raise BadRequest("the store is a Redis of yours (CALLSCRIBE_REDIS_URL): copy it by its own tools")
    if to.exists() and any(to.iterdir()):
        raise BadRequest(f"{to}: is not empty")
    with attached.opened_store(settings) as store:
        to.mkdir(parents=True, exist_ok=True, mode=0o700)
        _copy_store(store, settings.socket.parent / "store", to / "store")
        store.tick()
        mark = store.watermark.mark
        # one more than was ever given: started from, the copy knows that it has gone back
        keep_mark(to, Mark(epoch=mark.epoch, number=mark.number + 1))
    echo(f"store: {_loaded(settings, to)} jobs, counted in the copy")
    _copy_archive(settings, to)
    _copy_audio(settings, to)
    key = settings.data_dir / "api-key"
    if key.exists():
        shutil.copy2(key, to / "api-key")
    echo(f"to restore: stop the service, and start it with CALLSCRIBE_DATA_DIR={to.resolve()}")


def _copy_store(store: Store, source: Path, target: Path) -> None:
    """The append-only files, which only grow: a copy is good unless they were written anew meanwhile."""
    for _ in range(TRIES):
        end = time.monotonic() + REWRITE_SECONDS
        while store.disk.rewriting() and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
        before = _manifest(source)
        shutil.rmtree(target, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError, shutil.Error):  # a file was replaced: once more
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.log", "temp-*"))
            if before == _manifest(source) == _manifest(target):
                return
    raise WorkFailed("the store's files were written anew all the time; try again in a quieter minute")


def _manifest(folder: Path) -> dict[str, bytes]:
    """Which files belong together, as the server keeps it."""
    return {path.name: path.read_bytes() for path in folder.rglob("*.manifest")}


def _loaded(settings: Settings, copy: Path) -> int:
    """How many jobs a store finds that is started on the copy. Raises WorkFailed."""
    with tempfile.TemporaryDirectory(prefix="callscribe-", dir=attached.short_folder()) as folder:
        (Path(folder) / "store").symlink_to((copy / "store").resolve())
        try:
            with attached.opened_store(settings.model_copy(update={"data_dir": Path(folder)})) as store:
                return store.count()
        except CallscribeError as error:
            raise WorkFailed(f"the copy cannot be started from: {error.message}") from None


def _copy_archive(settings: Settings, to: Path) -> None:
    url = urlsplit(settings.archive_url)
    if url.scheme != "sqlite":
        echo("archive: in a database of yours (CALLSCRIBE_DATABASE_URL); its own tools copy it")
        return
    if not Path(unquote(url.path.removeprefix("/"))).exists():
        echo("archive: there is none yet")
        return
    from pipeline.archive.archive import Archive  # half a second

    with contextlib.closing(Archive.open(settings.archive_url)) as archive:
        calls = archive.database.copy_to(to / "archive.sqlite")
    echo(f"archive: {calls} calls, counted in the copy")


def _copy_audio(settings: Settings, to: Path) -> None:
    url = urlsplit(settings.storage)
    folder = Path(unquote(url.path))
    if url.scheme != "file":
        echo("audio: on an object store (CALLSCRIBE_STORAGE_URL), which is not copied")
        return
    copied = 0
    for path in folder.rglob("*") if folder.exists() else ():
        with contextlib.suppress(FileNotFoundError):  # its job ended meanwhile
            if path.is_file():
                target = to / "audio" / path.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                shutil.copy2(path, target)
                copied += 1
    echo(f"audio: {copied} files")
