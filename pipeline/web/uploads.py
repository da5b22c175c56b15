"""Multipart uploads: the recording goes to disk as it comes, the small fields to memory."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from pipeline.domain.errors import BadRequest, TooLarge
from pipeline.settings.installation import Settings

MAX_FIELD_BYTES = 65_536
MAX_FIELDS = 20
BATCH_BYTES = 1 << 20  # handed to a thread at once


def workplace(settings: Settings) -> Path:
    """A new directory, beside the storage where that is local, so that nothing has to be copied."""
    parent = _parent(settings)
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Path(tempfile.mkdtemp(prefix=f"{_ours()}{os.getpid()}-", dir=parent))


def sweep(settings: Settings) -> None:
    """Removes what uploads of processes that were killed on this machine have left; for the start."""
    for place in _parent(settings).glob(f"{_ours()}*"):
        pid = place.name.removeprefix(_ours()).partition("-")[0]
        if pid == str(os.getpid()) or not _alive(pid):
            shutil.rmtree(place, ignore_errors=True)


def _parent(settings: Settings) -> Path:
    storage = urlsplit(settings.storage)
    return Path(unquote(storage.path) if storage.scheme == "file" else tempfile.gettempdir())


def _ours() -> str:
    return f"_upload-{socket.gethostname()}-"


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ValueError:
        return True  # not one of ours
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@dataclass(kw_only=True)
class Upload:
    """A form that was read: its fields, and the recording in a file."""

    path: Path
    fields: dict[str, str] = field(default_factory=dict)
    has_file: bool = False
    size_bytes: int = 0
    sha256: str = ""
    content_type: str | None = None


class Form:
    """Parses the form; `feed` blocks on the disk, so it belongs in a thread."""

    def __init__(self, content_type: str, path: Path, *, max_bytes: int) -> None:
        """path: where the recording goes. max_bytes: of the recording, TooLarge beyond it.

        Raises BadRequest when the content type names no boundary.
        """
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise BadRequest("body: expected a multipart form with a boundary", field="body")
        self.upload = Upload(path=path)
        self._max_bytes = max_bytes
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._headers: dict[str, str] = {}
        self._header = [b"", b""]
        self._name = ""
        self._into_file = False
        self._value = bytearray()
        self._parts = 0
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._collect(0, data[start:end]),
                    "on_header_value": lambda data, start, end: self._collect(1, data[start:end]),
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": lambda data, start, end: self._data(data[start:end]),
                    "on_part_end": self._end,
                    "on_end": self._all,
                },
            )
        except FormParserError:
            raise BadRequest("body: expected a multipart form", field="body") from None

    def feed(self, data: bytes) -> None:
        """More of the body; raises BadRequest when it is no form."""
        try:
            self._parser.write(data)
        except FormParserError:
            raise BadRequest("body: expected a multipart form", field="body") from None

    def close(self) -> Upload:
        """The whole form; raises BadRequest when its end never came."""
        self.abandon()
        if not self._ended:
            raise BadRequest("body: the form ends in the middle", field="body")
        self.upload.sha256 = self._hash.hexdigest()
        return self.upload

    def abandon(self) -> None:
        """Closes the file."""
        if self._file:
            self._file.close()
            self._file = None

    def _begin(self) -> None:
        self._parts += 1  # not what is kept of them: many may have one name
        if self._parts > MAX_FIELDS:
            raise BadRequest("body: too many fields", field="body")
        self._headers, self._value = {}, bytearray()

    def _collect(self, which: int, data: bytes) -> None:
        self._header[which] += data

    def _header_end(self) -> None:
        name, value = (part.decode("latin-1") for part in self._header)
        self._headers[name.strip().lower()] = value
        self._header = [b"", b""]

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", ""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._into_file = self._name == "file"
        if self._into_file:
            if self.upload.has_file:
                raise BadRequest("file: expected one recording", field="file")
            self.upload.has_file = True
            self.upload.content_type = self._headers.get("content-type")
            self._file = self.upload.path.open("wb")
        elif b"filename" in options:
            raise BadRequest(
                "file: expected the recording under this name, got it under another", field="file"
            )

    def _data(self, data: bytes) -> None:
        if self._into_file:
            assert self._file is not None
            self.upload.size_bytes += len(data)
            if self.upload.size_bytes > self._max_bytes:
                raise TooLarge(f"The recording is larger than {self._max_bytes} bytes.")
            self._file.write(data)
            self._hash.update(data)
        else:
            self._value += data
            if len(self._value) > MAX_FIELD_BYTES:
                raise BadRequest("body: a field is too long", field="body")

    def _end(self) -> None:
        if self._into_file:
            self.abandon()
            return
        try:
            self.upload.fields[self._name] = self._value.decode("utf-8")
        except UnicodeDecodeError:
            raise BadRequest("body: a field is not UTF-8", field="body") from None

    def _all(self) -> None:
        self._ended = True


async def batches(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in larger pieces, since each costs a change of thread."""
    held = bytearray()
    async for piece in pieces:
        held += piece
        if len(held) >= BATCH_BYTES:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)
