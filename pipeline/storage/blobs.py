"""Audio while a job runs: recordings and chunks under keys such as `job_01J.../recording`.

`file:///path` is served by own code; any other URL (`s3://bucket/prefix`) by fsspec, an extra. Blobs are
written whole or not at all, and writing one again is harmless.
"""

from __future__ import annotations

import math
import os
import re
import secrets
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import ClassVar, NamedTuple
from urllib.parse import unquote, urlsplit

from pipeline.confinement.scratch import scratch
from pipeline.domain.errors import (
    BadRequest,
    CallscribeError,
    DecoderDied,
    Refused,
    SettingsError,
    StoreUnavailable,
)
from pipeline.storage.disk import left

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_PROBE, _PROBED = "_probe", b"callscribe"
KEPT_FREE = 4  # times what intake wants to be free: what may be missing gives way to it early


class StorageFails(StoreUnavailable):
    """The audio storage refuses or does not answer."""

    hint = "Check what CALLSCRIBE_STORAGE_URL names: that it is there, writable, and has room."


class BlobMissing(StoreUnavailable):
    """A recording or chunk is not on the storage, though it should be."""

    slug: ClassVar[str] = "blob_missing"
    hint = "Check CALLSCRIBE_STORAGE_URL: every worker must see the same storage."


class Listed(NamedTuple):
    """A blob as a list has it. modified_at: unix seconds."""

    key: str
    modified_at: float
    size_bytes: int


class Blobs(ABC):
    """Thread-safe. All methods raise StoreUnavailable when the storage fails, BadRequest for a false key."""

    @staticmethod
    def open(url: str) -> Blobs:
        """The storage at `file:///path` or `s3://bucket/prefix`; raises SettingsError."""
        parts = urlsplit(url)
        if parts.scheme == "file":
            if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
                raise SettingsError("CALLSCRIBE_STORAGE_URL: expected file:///path")
            return FileBlobs(Path(unquote(parts.path)))
        if not parts.scheme or not parts.netloc:
            raise SettingsError("CALLSCRIBE_STORAGE_URL: expected file:///path or s3://bucket/prefix")
        return FsspecBlobs(url)

    @abstractmethod
    def put(self, key: str, path: Path) -> None:
        """Keeps what is in the file at `path`, which stays and must not be changed afterwards."""

    @abstractmethod
    def get(self, key: str) -> AbstractContextManager[Path]:
        """A local file with the blob's bytes, to read while the context lasts; raises BlobMissing, also
        where it goes in the middle.
        """

    @abstractmethod
    def size(self, key: str) -> int:
        """How many bytes the blob has; raises BlobMissing."""

    @abstractmethod
    def read(self, key: str, start: int, end: int) -> bytes:
        """Its bytes from `start` on and before `end`, and no others are fetched; raises BlobMissing."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether the blob is there, whole."""

    @abstractmethod
    def delete_prefix(self, prefix: str) -> None:
        """Deletes the blob `prefix` and all below `prefix/`; nothing there is fine."""

    @abstractmethod
    def folders(self) -> list[str]:
        """The first parts of all keys: one per job that has blobs."""

    @abstractmethod
    def listed(self, folder: str) -> list[Listed]:
        """The blobs right below `folder/`, in no order; none where it is not there."""

    @abstractmethod
    def room_bytes(self) -> float:
        """How much more can be kept before the disk is nearly full; infinity where no disk is known."""

    @abstractmethod
    def usable(self) -> None:
        """Writes, reads and deletes a probe; raises StoreUnavailable when blobs could not be kept."""


def _compare(read: bytes) -> None:
    if read != _PROBED:
        raise StorageFails("The audio storage gives back other bytes than were written.")


def _checked(key: str) -> str:
    if len(key) > 200 or not _KEY.fullmatch(key):
        raise BadRequest("Not a key of the audio storage.")
    return key


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StorageFails(f"The audio storage fails: {reason}.") from None


@contextmanager
def _missing(key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise BlobMissing(f"{key} is not on the audio storage.") from None


class FileBlobs(Blobs):
    """A directory, on one machine or on a shared mount; private to the service's user."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, path: Path) -> None:
        target = self._root / _checked(key)
        temporary = target.with_name(f".{secrets.token_hex(8)}")
        with _storage_errors():
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                try:
                    os.link(path, temporary)  # no copying where source and storage share a file system
                except OSError:
                    shutil.copyfile(path, temporary)
                temporary.chmod(0o600)
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())  # the record that names the blob is durable, so the blob must be
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)

    @contextmanager
    def get(self, key: str) -> Iterator[Path]:
        path = self._root / _checked(key)
        if not self.exists(key):
            raise BlobMissing(f"{key} is not on the audio storage.")
        try:
            yield path
        except (OSError, Refused, DecoderDied):  # what FFmpeg says of a file that is not there any more
            if not self.exists(key):
                raise BlobMissing(f"{key} vanished from the audio storage while it was read.") from None
            raise

    def size(self, key: str) -> int:
        with _storage_errors(), _missing(key):
            return (self._root / _checked(key)).stat().st_size

    def read(self, key: str, start: int, end: int) -> bytes:
        with _storage_errors(), _missing(key), (self._root / _checked(key)).open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def exists(self, key: str) -> bool:
        with _storage_errors():
            return (self._root / _checked(key)).is_file()

    def delete_prefix(self, prefix: str) -> None:
        target = self._root / _checked(prefix.rstrip("/"))
        with _storage_errors():
            while target.is_dir():
                with suppress(FileNotFoundError):  # deleted by somebody else meanwhile
                    shutil.rmtree(target)
            target.unlink(missing_ok=True)

    def folders(self) -> list[str]:
        with _storage_errors():
            return [path.name for path in self._root.iterdir()] if self._root.exists() else []

    def listed(self, folder: str) -> list[Listed]:
        found: list[Listed] = []
        with (
            _storage_errors(),
            suppress(FileNotFoundError),
            os.scandir(self._root / _checked(folder)) as files,
        ):
            for file in files:
                with suppress(FileNotFoundError):  # deleted by somebody else meanwhile
                    if not file.name.startswith(".") and file.is_file():
                        known = file.stat()
                        found.append(Listed(f"{folder}/{file.name}", known.st_mtime, known.st_size))
        return found

    def room_bytes(self) -> float:
        with _storage_errors():
            free, least = left(self._root)
        return free - KEPT_FREE * least

    def usable(self) -> None:
        with _storage_errors():
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=self._root) as probe:
                probe.write(_PROBED)
                probe.flush()
                os.fsync(probe.fileno())
                probe.seek(0)
                _compare(probe.read())


def _moment(value: datetime | float | None) -> float:
    """When a driver says that a blob was written; where it does not, now: nothing goes early."""
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value) if value else time.time()


@contextmanager
def _remote_errors() -> Iterator[None]:
    """Drivers raise errors of their own kinds (botocore's are no OSError) that quote URLs and keys."""
    try:
        yield
    except CallscribeError:
        raise
    except Exception as error:
        raise StorageFails(f"The audio storage fails: {type(error).__name__}.") from None


class FsspecBlobs(Blobs):
    """An object store; its own puts are atomic. Blobs are copied to a local temporary file for reading."""

    def __init__(self, url: str) -> None:
        try:
            import fsspec

            self._fs, self._root = fsspec.core.url_to_fs(url)
        except ImportError:
            scheme = urlsplit(url).scheme
            raise SettingsError(
                f"CALLSCRIBE_STORAGE_URL: {scheme}:// needs the extra: pip install 'callscribe[s3]'"
            ) from None
        except Exception as error:
            raise SettingsError(f"CALLSCRIBE_STORAGE_URL: {type(error).__name__}") from None

    def _path(self, key: str) -> str:
        return f"{self._root.rstrip('/')}/{_checked(key)}"

    def put(self, key: str, path: Path) -> None:
        with _remote_errors():
            self._fs.put_file(str(path), self._path(key))

    @contextmanager
    def get(self, key: str) -> Iterator[Path]:
        with scratch() as folder:
            local = folder / "blob"
            with _remote_errors(), _missing(key):
                self._fs.get_file(self._path(key), str(local))
            yield local

    def size(self, key: str) -> int:
        with _remote_errors(), _missing(key):
            self._fs.invalidate_cache()
            return int(self._fs.size(self._path(key)))

    def read(self, key: str, start: int, end: int) -> bytes:
        with _remote_errors(), _missing(key):
            found: bytes = self._fs.cat_file(self._path(key), start=start, end=end)
            if len(found) > end - start:
                raise StorageFails("The audio storage gives other bytes than were asked for.")
            return found

    def exists(self, key: str) -> bool:
        with _remote_errors():
            self._fs.invalidate_cache()
            return bool(self._fs.isfile(self._path(key)))

    def delete_prefix(self, prefix: str) -> None:
        path = self._path(prefix.rstrip("/"))
        with _remote_errors():
            self._fs.invalidate_cache()
            try:
                self._fs.rm(path, recursive=True)
            except FileNotFoundError:
                return

    def folders(self) -> list[str]:
        with _storage_errors():
            self._fs.invalidate_cache()
            try:
                paths = self._fs.ls(self._root, detail=False)
            except FileNotFoundError:
                return []
        return [path.rstrip("/").rpartition("/")[2] for path in paths]

    def listed(self, folder: str) -> list[Listed]:
        with _remote_errors():
            self._fs.invalidate_cache()
            try:
                found = self._fs.ls(self._path(folder), detail=True)
            except FileNotFoundError:
                return []
            return [
                Listed(
                    f"{folder}/{item['name'].rpartition('/')[2]}",
                    _moment(item.get("LastModified") or item.get("mtime") or item.get("created")),
                    int(item.get("size") or 0),
                )
                for item in found
                if item.get("type") == "file"
            ]

    def room_bytes(self) -> float:
        return math.inf

    def usable(self) -> None:
        with _remote_errors():
            self._fs.pipe_file(self._path(_PROBE), _PROBED)
            _compare(self._fs.cat_file(self._path(_PROBE)))
            self._fs.rm_file(self._path(_PROBE))
