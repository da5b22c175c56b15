"""Audio that no record needs any more, found from the storage's side."""

from __future__ import annotations

import structlog

from pipeline.domain.errors import UnknownJob, UnreadableRecord
from pipeline.domain.job import JobId
from pipeline.steps import archive_steps, flow, keeping
from pipeline.steps.archived import call_of
from pipeline.steps.pictures import is_over
from pipeline.steps.retry import replayable
from pipeline.steps.tools import Tools
from pipeline.store.records import read_job

log = structlog.get_logger()


def leftovers(tools: Tools, known: frozenset[str] = frozenset()) -> frozenset[str]:
    """Deletes what is left over now and was so already at the last look; answers what is so now.

    Left over is the audio of a job that was kept to be run again until its record's time was over, and
    what a worker stored late, after its job had ended without it. known: what the last look answered, since
    an upload is stored a moment before its record. Raises StoreUnavailable.
    """
    found = set()
    for folder in tools.blobs.folders():
        if is_over(folder, tools):
            tools.blobs.delete_prefix(folder)
        if not folder.startswith("job_") or _needed(JobId(folder), tools):
            continue
        if folder in known:
            tools.blobs.delete_prefix(f"{folder}/")
        else:
            found.add(folder)
    return frozenset(found)


def expire(tools: Tools) -> None:
    """Removes copies to be heard, and archived calls, whose days are over.

    Raises StoreUnavailable, ArchiveUnavailable; the copies are removed before.
    """
    keeping.expire(tools)
    if not tools.settings.archive_days:
        return
    before = tools.store.now() - tools.settings.archive_days * keeping.DAY_SECONDS
    while tools.archive.expire(before):
        pass
    while tools.archive.tally(tools.store.now()):
        pass
    keeping.agree(tools)


def archive_anew(tools: Tools) -> tuple[int, int]:
    """Archives each call whose record lives and whose outcome is known: how many, and how many records could
    not be read. Raises StoreUnavailable, ArchiveUnavailable.
    """
    prices, done, unreadable = archive_steps.prices(tools), 0, 0
    before: float | None = None
    while page := tools.store.page(before=before, limit=200):
        before = page[-1][1]
        for key, _, fields in page:
            try:
                job = read_job(key, fields)
                ended = job.category.spoken and "callback" in job.facts
                call = call_of(job, tools.portals.get(job.portal), prices) if ended else None
            except Exception as error:  # of another version, or damaged
                log.warning("record_not_archived", job=key, error=type(error).__name__)
                unreadable += 1
                continue
            if call is not None:
                tools.archive.put(call)
                done += 1
    return done, unreadable


def _needed(job_id: JobId, tools: Tools) -> bool:
    try:
        job = tools.store.load(job_id)
    except UnknownJob:
        return False
    except UnreadableRecord:  # whoever reads it may need it
        return True
    if "callback" not in job.facts or replayable(job):
        return True
    return any(due.step == "keep" for due in flow.advance(job, tools.store.now()).dues)
