"""Whether what is accepted now can be kept and finished: the disk, the store's memory, the audio storage."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import structlog

from pipeline.domain.errors import StoreUnavailable
from pipeline.run import systemd
from pipeline.settings.installation import Settings
from pipeline.storage.blobs import Blobs
from pipeline.storage.disk import left
from pipeline.store import Intake
from pipeline.web.storage_watch import StorageWatch

log = structlog.get_logger()

LOOK_SECONDS = 1.0  # between two looks at the disk
STORAGE_SECONDS = 2.0  # that the start waits for the first look at the audio storage
MOST_FULL = 0.9  # of the store's memory; above it nothing is accepted


class Room:
    """Looks around every second, from `open` to `close`."""

    def __init__(self, settings: Settings, intake: Intake, blobs: Blobs) -> None:
        self._settings = settings
        self._intake = intake
        self._why: str | None = None
        self._storage = StorageWatch(blobs)
        self._closing = asyncio.Event()

    async def open(self) -> None:
        """The first look; the audio storage has two seconds for it."""
        await asyncio.to_thread(self._storage.first, STORAGE_SECONDS)
        await self._look_around()
        self._watcher = asyncio.create_task(self._watch(), name="watch")

    async def close(self) -> None:
        """Looks no more."""
        self._closing.set()
        self._storage.close()
        await self._watcher

    @property
    def why(self) -> str | None:
        """Why nothing is accepted, or None."""
        return self._why

    @property
    def storage_why(self) -> str | None:
        """Why audio cannot be kept, or None."""
        return self._storage.why

    def check(self, *, uploads: bool = False) -> None:
        """Raises StoreUnavailable while what is accepted now cannot be kept.

        uploads: nor can a recording that comes with it. One that is named by a link can wait until the audio
        storage is back, and refusing it would lose the call.
        """
        if why := self._why or (self._storage.why if uploads else None):
            raise StoreUnavailable(why)

    async def _watch(self) -> None:
        while not self._closing.is_set():
            systemd.alive()  # the loop that answers portals runs
            await self._look_around()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), LOOK_SECONDS)

    async def _look_around(self) -> None:
        """A store that is full to the brim can neither take a job nor finish one."""
        try:
            why = await asyncio.to_thread(full_disk, self._settings)
            if not why and (full := await self._intake.fullness()) > MOST_FULL:
                why = f"The store's memory is {full:.0%} full; the rest is for jobs under way."
            self._why = why
        except StoreUnavailable:
            pass  # accepting says so itself while the store is away
        except Exception as error:
            log.exception("watch_failed", error=type(error).__name__)


def disks(settings: Settings) -> list[Path]:
    """Where the store and audio lie, as far as that is this machine; a far store speaks for itself."""
    places = [] if settings.redis_url else [settings.data_dir]
    storage = urlsplit(settings.storage)
    if storage.scheme == "file":
        places.append(Path(unquote(storage.path)))
    there = (next((p for p in (place, *place.absolute().parents) if p.exists()), None) for place in places)
    return [place for place in dict.fromkeys(there) if place]


def full_disk(settings: Settings) -> str | None:
    """Why nothing can be kept, or None."""
    for place in disks(settings):
        free, least = left(place)
        if free < least:
            return f"The disk is full: {free >> 20} MiB are left."
    return None
