"""Facts in, facts out, for what people come back to: the archive of calls, and the recordings to be heard."""

from __future__ import annotations

import random
import socket
from functools import partial

import structlog

from pipeline.audio.decoder import written
from pipeline.audio.keep import NAME, POINTS
from pipeline.audio.keep import keep as keep_stage
from pipeline.confinement.scratch import scratch
from pipeline.domain.errors import CallscribeError, NotAudio, SettingsError, TooLong, UnknownJob
from pipeline.domain.job import Claim, Job
from pipeline.domain.kinds import kind_of
from pipeline.domain.plain import from_plain
from pipeline.domain.recording import Fetched
from pipeline.settings.prices import Price, read_prices
from pipeline.steps import flow, keeping
from pipeline.steps.archived import call_of
from pipeline.steps.retry import replayable
from pipeline.steps.tools import Result, Snooze, Tools
from pipeline.steps.turns import who
from pipeline.storage.blobs import BlobMissing

log = structlog.get_logger()

BREAKER = "archive"
LONGEST_PAUSE_SECONDS = 120.0
# that a copy holds up the next one: a worker may die while it makes one, and two at a time do no harm
LONGEST_SECONDS = 20
LONGEST_TURN_SECONDS = 4.0  # until it is looked again whether another copy is still made; most take less
TURNS_PER_SECOND = 10.0  # at which all that wait look together, however many they are
DAY_SECONDS = 86_400


def archive(job: Job, claim: Claim, tools: Tools) -> Result:
    """The call's row, as the record stands; waits for a database that is away, as long as records live."""
    older = tuple(step for step in job.facts if kind_of(step) == "archive")
    if not tools.settings.archive_days:
        return Result(facts={claim.step: {"state": "off"}}, forget=older)
    if (wait := tools.store.breakers.wait(BREAKER)) > 0:
        raise _waiting(job, tools, wait, "the archive's database does not answer")
    costs = prices(tools)
    while True:
        try:
            tools.archive.put(call_of(job, tools.portals.get(job.portal), costs))
        except CallscribeError as error:
            if not error.transient:
                raise
            tools.store.breakers.failed(BREAKER, after=2)
            raise _waiting(job, tools, 0.0, error.message) from None
        written = flow.archived(job)
        try:
            job = tools.store.load(job.id)
        except UnknownJob:  # erased meanwhile, and so is its row
            tools.archive.erase([job.id])
            raise
        if "callback" not in job.facts or flow.archived(job) == written:
            break  # else another step has found something out meanwhile, and may have been faster
    tools.store.breakers.passed(BREAKER)
    return Result(facts={claim.step: {"state": "written", "at": tools.store.now()}}, forget=older)


def _waiting(job: Job, tools: Tools, wait: float, why: str) -> Snooze:
    """Later, the longer it has taken already; raises what ends it where its record would not live on."""
    waited = tools.store.now() - job.accepted_at
    if waited > tools.settings.retention_seconds:
        raise NotArchived(f"It was tried for {waited / DAY_SECONDS:.0f} days: {why}")
    pause = min(max(wait, 5.0, waited / 4), LONGEST_PAUSE_SECONDS)
    return Snooze(pause * random.uniform(1.0, 1.25), why)  # noqa: S311


class NotArchived(CallscribeError):
    """A call whose record ends was never archived, since the database was away all the time."""

    slug = "not_archived"
    hint = (
        "Look after CALLSCRIBE_DATABASE_URL; while its record lives, `callscribe calls import` archives it."
    )


def prices(tools: Tools) -> dict[str, Price]:
    """What models cost; nothing where the file cannot be read, which harms no call."""
    try:
        return read_prices(tools.settings.prices_file) if tools.settings.prices_file else {}
    except SettingsError as error:
        log.warning("no_prices", why=error.message)
        return {}


def keep(job: Job, claim: Claim, tools: Tools) -> Result:
    """A copy of the recording that browsers play, for some days, and how loud it is; then the recording goes.

    One at a time on a machine, beside the calls that portals wait for. A job that may be run again keeps its
    recording as well.
    """
    place = f"keep:{socket.gethostname()}"
    turn = partial(tools.store.limits.turn, place, rate=TURNS_PER_SECOND, burst=1, who=who(claim))
    wait = turn()
    if not wait and tools.store.known.first(place, claim.fence, seconds=LONGEST_SECONDS) != claim.fence:
        waited = tools.store.now() - job.accepted_at
        wait = max(1.0, min(waited / 10, LONGEST_TURN_SECONDS), turn())
    if wait:
        raise Snooze(random.uniform(1.0, 1.5) * wait, "other copies are made")  # noqa: S311
    try:
        kept = _kept(job, tools)
    finally:
        tools.store.known.forget_first(place)
    if not replayable(job):
        tools.blobs.delete_prefix(f"{job.id}/")
    return Result(facts={claim.step: kept})


def _believed(levels: list[list[int]]) -> list[list[int]]:
    """Of two channels at the most, as many points as were asked for, from 0 to 100."""
    return [[min(max(level, 0), 100) for level in channel[:POINTS]] for channel in levels[:2]]


def _kept(job: Job, tools: Tools) -> dict[str, object]:
    if not tools.settings.keep_audio_days:
        return {"state": "off"}
    if "split" not in job.facts:  # what could not be read once is not read again
        return {"state": "none", "why": "it was never read to its end"}
    key, source = keeping.key_of(job.id), from_plain(Fetched, job.facts["fetch"]).blob
    if not tools.blobs.exists(source) and tools.blobs.exists(key):
        source = key  # a worker that was lost before its record has made the copy, and let the recording go
    try:
        with tools.blobs.get(source) as path, scratch() as folder:
            if not keeping.make_room(tools, path.stat().st_size):
                return {"state": "none", "why": "the disk of the audio storage is nearly full"}
            limit = tools.settings.max_audio_seconds
            levels = tools.decoder.run_aside(keep_stage, path, out=folder, max_seconds=limit)
            made = path if source == key else written(folder, NAME)
            size = made.stat().st_size
            if source != key:
                tools.blobs.put(key, made)
    except (BlobMissing, NotAudio, TooLong) as error:
        return {"state": "none", "why": error.message}
    try:
        tools.store.load(job.id)
    except UnknownJob:  # erased meanwhile, and so is the copy
        tools.blobs.delete_prefix(key)
        raise
    return {"state": "kept", "audio": key, "bytes": size, "levels": _believed(levels)}
