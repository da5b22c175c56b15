"""The machine and what lies on it: archive, storage, room, libraries. No folder is made."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.audio.decoder import Decoder
from pipeline.audio.sniff import sniff
from pipeline.bitrix24.checks import Check
from pipeline.domain.errors import CallscribeError
from pipeline.settings.installation import Settings
from pipeline.storage.blobs import Blobs

LOW_BYTES = 1 << 30
# by what the driver calls its errors; its settings are the standard ones of AWS
S3_MENDS = {
    "SSLError": "Name the authority of the storage's certificate in AWS_CA_BUNDLE.",
    "EndpointConnectionError": "Check AWS_ENDPOINT_URL, and that this machine reaches that host and port.",
    "NoCredentialsError": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    "PermissionError": "The key of AWS_ACCESS_KEY_ID may not write there: mend its rights, or the key.",
    "FileNotFoundError": "Make the bucket that CALLSCRIBE_STORAGE_URL names.",
}


def machine_checks(settings: Settings) -> Iterator[Check]:
    """In the order of a call's way; none raises."""
    yield _archive(settings)
    yield _audio_storage(settings)
    yield _room("disk of the data", settings.data_dir, "CALLSCRIBE_DATA_DIR")
    yield _room("disk of temporary files", Path(tempfile.gettempdir()), "TMPDIR")
    yield _media()


def _tried(name: str, check: Callable[[], object], well: str) -> Check:
    try:
        check()
    except CallscribeError as error:
        return Check(name=name, state="failed", says=error.message, hint=error.hint)
    return Check(name=name, state="ok", says=well)


def _archive(settings: Settings) -> Check:
    """Whether the archive answers; it is neither made nor brought up here."""
    url = urlsplit(settings.archive_url)
    file = Path(unquote(url.path.removeprefix("/")))
    if url.scheme == "sqlite" and not file.exists():
        return Check(name="archive", state="unknown", says=f"{file} is made with the first archived call")
    from pipeline.archive.database import Database  # half a second

    says = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path} answers"
    try:
        with contextlib.closing(Database(settings.archive_url)) as database:
            if not database.is_current():
                says += "; its tables are brought up at the next use"
    except CallscribeError as error:
        return Check(name="archive", state="failed", says=error.message, hint=error.hint)
    return Check(name="archive", state="ok", says=says)


def _audio_storage(settings: Settings) -> Check:
    name, well = "audio storage", f"takes and gives back a file at {_masked(settings.storage)}"
    url = urlsplit(settings.storage)
    folder = Path(unquote(url.path))
    if url.scheme == "file" and not folder.exists():
        there = _existing(folder)
        if os.access(there, os.W_OK | os.X_OK):
            says = f"{folder} is made at the first start; {there} can be written"
            return Check(name=name, state="unknown", says=says)
        says = f"{folder} is not there, and {there} cannot be written"
        return Check(name=name, state="failed", says=says, hint="Make it, or set CALLSCRIBE_STORAGE_URL.")
    check = _tried(name, lambda: Blobs.open(settings.storage).usable(), well)
    if url.scheme == "s3" and check.state == "failed":
        return replace(
            check, hint=next((m for name, m in S3_MENDS.items() if name in check.says), check.hint)
        )
    return check


def _masked(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _existing(place: Path) -> Path:
    place = place.resolve()
    return next(path for path in (place, *place.parents) if path.exists())


def _room(name: str, folder: Path, setting: str) -> Check:
    free = shutil.disk_usage(_existing(folder)).free
    says = f"{free / 1e9:.1f} GB are free at {folder.resolve()}"
    if free < LOW_BYTES:
        hint = f"Make room there, or name another disk by {setting}: a full one ends intake with 503."
        return Check(name=name, state="failed", says=says, hint=hint)
    return Check(name=name, state="ok", says=says)


def _media() -> Check:
    """Whether recordings are read, in a process that can reach nothing else."""
    with contextlib.closing(Decoder()) as decoder:
        check = _tried("media libraries", lambda: _hear_a_tone(decoder), "PyAV and libmagic read a recording")
        if check.state != "ok" or not decoder.unconfined:
            return check
        lacks = ", ".join(decoder.unconfined)
        return replace(
            check,
            says=f"{check.says}, but its process is not confined in: {lacks}",
            hint="This system's kernel, or its container's profile, does not allow it; see SECURITY.md.",
        )


def _hear_a_tone(decoder: Decoder) -> None:
    """Half a second of a square wave, without an extension, through detection."""
    frames = struct.pack("<4000h", *([8000, 8000, -8000, -8000] * 1000))
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(frames), b"WAVE", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16,
        b"data", len(frames),
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="callscribe-") as folder:
        path = Path(folder) / "tone"
        path.write_bytes(head + frames)
        decoder.run(sniff, path, sha256="", content_type=None, max_seconds=60)
