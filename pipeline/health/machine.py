"""The machine and what lies on it: store, archive, storage, room, libraries. No folder is made."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.audio.decoder import Decoder
from pipeline.audio.sniff import sniff
from pipeline.bitrix24.checks import Check
from pipeline.domain.errors import CallscribeError, ProviderAccount
from pipeline.domain.labels import clock
from pipeline.run.views import moment
from pipeline.settings.installation import Settings
from pipeline.settings.portals import Portal
from pipeline.storage.blobs import Blobs
from pipeline.store import Store

LOW_BYTES = 1 << 30
LONG_SECONDS = 60.0  # of a step that is ready, and that nobody has taken
MORE = (
    "More places: CALLSCRIBE_UPSTREAM_THREADS, CALLSCRIBE_MEDIA_PROCESSES, or `callscribe worker` on another "
    "machine; a provider that is slow shows in `callscribe jobs list --status running`."
)
# by what the driver calls its errors; its settings are the standard ones of AWS
S3_MENDS = {
    "SSLError": "Name the authority of the storage's certificate in AWS_CA_BUNDLE.",
    "EndpointConnectionError": "Check AWS_ENDPOINT_URL, and that this machine reaches that host and port.",
    "NoCredentialsError": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    "PermissionError": "The key of AWS_ACCESS_KEY_ID may not write there: mend its rights, or the key.",
    "FileNotFoundError": "Make the bucket that CALLSCRIBE_STORAGE_URL names.",
}
START_SECONDS = 15.0
ROLES = ("api", "media", "upstream")


def machine_checks(settings: Settings) -> Iterator[Check]:
    """All but the store, which whoever asks has opened; none raises."""
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


def durability(kind: str, store: Store, where: str = "") -> Check:
    """Whether what is accepted is kept. Raises StoreUnavailable."""
    store.ping()  # takes writes
    found = store.durability()
    return Check(
        name=kind, state="ok" if found.is_safe else "failed", says=found.says + where, hint=found.hint
    )


def processes(store: Store) -> Check:
    """Who has told lately that it lives; a service that starts at this moment is given time."""
    end = time.monotonic() + START_SECONDS
    while True:
        alive = Counter(str(told.get("role")) for told in store.processes.alive().values())
        missing = [role for role in ROLES if role not in alive]
        # none at all is a service that is not there
        if not missing or not alive or time.monotonic() > end:
            break
        time.sleep(1.0)
    if missing:
        says = f"no process is alive that is {' or '.join(missing)}"
        hint = "Start what is missing: `callscribe up`, or `callscribe api` and `callscribe worker`."
        return Check(name="processes", state="failed", says=says, hint=hint)
    says = ", ".join(f"{role} {count}" for role, count in sorted(alive.items()))
    return Check(name="processes", state="ok", says=f"alive are {says}")


def work(store: Store, portals: Sequence[Portal]) -> Iterator[Check]:
    """Whether the store has gone back, accounts are refused, or steps wait long. Raises StoreUnavailable."""
    store.tick()
    if at := store.unsettled_since():
        says = f"it has gone back, seen at {moment(at)}: jobs may be missing, or run again"
        hint = "For a day from then on timeline entries are looked up before they are written."
        yield Check(name="the store's past", state="failed", says=says, hint=hint)
    stands = store.gauges.overview([portal.id for portal in portals])
    for held_portal, held in stands.held.items():
        says = f"{held.jobs} calls wait since {moment(held.since)}: the provider refuses the account"
        yield Check(name=f"{held_portal}: held", state="failed", says=says, hint=ProviderAccount.hint)
    longest = stands.now - min(stands.waits.values(), default=stands.now)
    steps = ", ".join(f"{queue} {count}" for queue, count in stands.ready.items())
    yield Check(
        name="steps that wait for a worker",
        state="failed" if longest > LONG_SECONDS else "ok",
        says=steps + (f"; one waits for {clock(longest)}" if longest else ""),
        hint=MORE if longest > LONG_SECONDS else "",
    )


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
