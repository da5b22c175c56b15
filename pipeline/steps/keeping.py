"""Copies of recordings that people can listen to: where they lie, for how long, and which go first.

The storage itself tells how old they are, so that nothing else has to be there to remove them in time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import structlog

from pipeline.domain.errors import StoreUnavailable
from pipeline.domain.job import JobId
from pipeline.steps.tools import Tools
from pipeline.storage.blobs import Listed

log = structlog.get_logger()

FOLDER = "kept"
DAY_SECONDS = 86_400


def key_of(job: JobId) -> str:
    """Where a job's copy lies on the audio storage."""
    return f"{FOLDER}/{job}.mp3"


def let_go(tools: Tools, job: JobId) -> bool:
    """Whether no copy is to be kept, and the recording is gone: before anything else is written, so that a
    crash leaves none behind.
    """
    if tools.settings.keep_audio_days:
        return False
    try:
        tools.blobs.delete_prefix(f"{job}/")
    except StoreUnavailable as error:  # the step `keep` will
        log.warning("audio_not_deleted", why=error.message)
        return False
    return True


def make_room(tools: Tools, size_bytes: int = 0) -> bool:
    """Removes the oldest copies until so much more can be kept; whether it can."""
    lacking = size_bytes - tools.blobs.room_bytes()
    if lacking <= 0:
        return True
    gone = []
    for copy in sorted(tools.blobs.listed(FOLDER), key=lambda copy: copy.modified_at):
        if lacking <= 0:
            break
        lacking -= copy.size_bytes
        gone.append(copy)
    _remove(gone, tools, why="the disk is nearly full")
    return size_bytes <= tools.blobs.room_bytes()


def expire(tools: Tools) -> None:
    """Removes the copies whose days are over, or those of their calls. Raises StoreUnavailable."""
    days = min(tools.settings.keep_audio_days, tools.settings.archive_days or math.inf)
    before = time.time() - days * DAY_SECONDS
    _remove([copy for copy in tools.blobs.listed(FOLDER) if copy.modified_at < before], tools, why="old")


def agree(tools: Tools) -> None:
    """Tells the archive which copies are gone, whoever removed them. Raises ArchiveUnavailable."""
    known = tools.archive.copies()  # asked first: what is archived lies on the storage already
    if known:
        tools.archive.without_copies(known - {copy.key for copy in tools.blobs.listed(FOLDER)})


def _remove(copies: Sequence[Listed], tools: Tools, *, why: str) -> None:
    for copy in copies:
        tools.blobs.delete_prefix(copy.key)
    if copies:
        log.info("copies_removed", copies=len(copies), why=why)
