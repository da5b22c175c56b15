"""The worker's loop: claim, run the step, write down what it found. The record is where a job lives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import replace
from pkgutil import resolve_name
from typing import Any, NamedTuple, cast
from weakref import WeakValueDictionary

import structlog

from pipeline.domain.errors import (
    AudioLost,
    CallscribeError,
    DecoderDied,
    LeaseLost,
    Poison,
    StoreUnavailable,
    UnknownJob,
    UnreadableRecord,
)
from pipeline.domain.job import Claim, Event, Failure, Job, JobId
from pipeline.domain.kinds import KINDS, URGENT_QUEUES, kind_of
from pipeline.domain.plain import to_plain
from pipeline.run.attempt import Attempt
from pipeline.run.leases import Leases
from pipeline.run.notifier import Notifies
from pipeline.run.places import Places, PortalLimits
from pipeline.run.salvage import audio_anew, give_up
from pipeline.run.turns import WAIT_SECONDS, Turn
from pipeline.steps import flow, keeping, outcome_steps
from pipeline.steps.retry import FULL, MOST_LOST, MOST_LOST_OUTCOME, decide, replayable, unreadable_in
from pipeline.steps.tools import Result, Snooze, Tools
from pipeline.storage.blobs import BlobMissing
from pipeline.store import Stale, Transition, Wanted, persist
from pipeline.store.records import dumps
from pipeline.telemetry import failpoints
from pipeline.telemetry.metrics import FAILURES, STEPS
from pipeline.telemetry.traces import TRACES

log = structlog.get_logger()

# what a step finds out; one that yields has found a part of it already, for others to go on with
Parts = Generator[Result, None, Result]
EXECUTORS: dict[str, Callable[[Job, Claim, Tools], Result | Parts]] = {
    name: resolve_name(f"pipeline.steps.{kind.run}") for name, kind in KINDS.items() if kind.run
}


class _Ended(NamedTuple):
    """A step that came to its end; slug: of the error that it failed with, empty where it is done."""

    result: Result
    slug: str = ""
    why: str | None = None


class _Written(NamedTuple):
    """due: whether the step still was. claim: the next one."""

    due: bool
    claim: Claim | None


class Runner:
    """Runs steps over a store.

    places: how many steps of each queue run at a time, None: any number. The last one of several is kept for
    outcomes, and for text and image, since a person waits; that of processes which share their places, for
    recordings that are not long.
    """

    def __init__(
        self, tools: Tools, *, notifier: Notifies | None = None, places: Places | None = None
    ) -> None:
        self.tools = tools
        self._notifier = notifier
        self.places = places or Places()
        self._limits = PortalLimits(tools)
        self._leases = Leases(tools)
        self._writing: WeakValueDictionary[JobId, threading.Lock] = WeakValueDictionary()

    @property
    def holds(self) -> int:
        """How many steps are under way here."""
        return len(self._leases)

    def drain(
        self,
        queue: str,
        owner: str,
        *,
        seconds: float,
        stop: Callable[[], bool],
        linger_seconds: float = 0.0,
        rests: Callable[[], object] = lambda: None,
    ) -> int:
        """Runs steps until none is due, `seconds` have passed or `stop()`; how many were run.

        None at all where every place of the queue is taken: who has one sees to what is due. owner: how its
        own name begins. linger_seconds: how long after its last step it waits for word of more, without a
        place; rests: called before it does.
        """
        turn = Turn(queue, owner, seconds=seconds, stop=stop, linger_seconds=linger_seconds)
        try:
            while self.places.enter(queue):
                try:
                    self._claim_all(turn)
                finally:
                    unheard = self.places.leave(queue)
                if turn.over or not (unheard or (turn.listed and self._wait(turn, rests))):
                    break
            if turn.listed:  # word that has come is handed on
                self.tools.store.release(turn.owner, crashed=False)
        except StoreUnavailable as error:  # the leases of this process run out by themselves
            log.warning("store_away", error=str(error))
            return turn.done
        except Exception:  # a fault of ours, in the step that it had
            with suppress(StoreUnavailable):
                self.tools.store.release(turn.owner, crashed=True, alone=True)
            raise
        if self._notifier and turn.done and turn.over:
            self._notifier.notify(queue)  # more may be due, for another turn or another worker
        return turn.done

    def _claim_all(self, turn: Turn) -> None:
        """Runs what is due; then the turn may be listed among those that wait."""
        claim: Claim | None = None
        while claim or not turn.over:
            if claim is None:
                wanted = self._wanted(turn)
                claim = self.tools.store.claim(**wanted._asdict())
                turn.listed = claim is None and bool(wanted.waits)
            if claim is None:
                return
            claim = self._held(claim, turn)
            turn.done += 1
            if turn.listed:
                return

    def _wait(self, turn: Turn, rests: Callable[[], object]) -> bool:
        """Waits for word, or for a moment; whether to claim once more."""
        with self.places.waiting(turn.queue) as may:
            if may:
                rests()
                self.tools.store.word(turn.owner, seconds=WAIT_SECONDS)
        return may

    def _wanted(self, turn: Turn) -> Wanted:
        """What whoever has this place claims next."""
        self._limits.tell()
        urgent_only = self.places.is_last(turn.queue) and turn.queue in URGENT_QUEUES
        return Wanted(turn.queue, turn.owner, self.tools.settings.lease_seconds, urgent_only, turn.waits)

    def _held(self, claim: Claim, turn: Turn) -> Claim | None:
        """Runs the step while its lease is kept; answers the next claim where that was made already."""
        self._leases.keep(claim)
        try:
            self.places.give_way(turn.queue)
            return self.run(claim, turn)
        except DecoderDied as died:  # as if it had been this process
            log.error("decoder_died", job=claim.job, step=claim.step, why=died.message)
            persist(self.tools.store.release, turn.owner, crashed=True, alone=True)
        finally:
            self._leases.drop(claim)
            turn.works()
        return None

    def run(self, claim: Claim, turn: Turn | None = None) -> Claim | None:
        """One claimed step, to its fact, its deferral or its failure. With its fact goes the next claim of
        the turn, unless that is over.
        """
        structlog.contextvars.bind_contextvars(job=claim.job, step=claim.step, attempt=claim.attempt)
        try:
            failpoints.hit("claim.after")
            try:
                with TRACES.step(
                    claim.job, kind_of(claim.step), step=claim.step, portal=claim.portal,
                    attempt=claim.attempt, queue=claim.queue,
                ):  # fmt: skip
                    return self._run(claim, turn)
            except (LeaseLost, UnknownJob, StoreUnavailable, DecoderDied):
                raise
            except Exception as error:  # the record cannot be read; the step itself was not reached
                self._unreadable(claim, error)
        except (LeaseLost, UnknownJob) as gone:
            log.warning("step_dropped", error=gone.slug)
        finally:
            structlog.contextvars.unbind_contextvars("job", "step", "attempt")
        return None

    def _run(self, claim: Claim, turn: Turn | None) -> Claim | None:
        store, attempt = self.tools.store, Attempt(claim)
        job = persist(store.claimed, claim)
        if not flow.is_due(job, claim.step, persist(store.now)):
            # by the facts it is not due any more
            return self._commit(job, attempt, Result(), turn=turn).claim
        ended = self._work(job, attempt)
        if ended is None:
            return None
        what = "failed" if ended.slug else "done"
        attempt.end(persist(store.now), what, ended.slug, ended.why)
        written = self._commit(job, attempt, ended.result, turn=turn)
        TRACES.tell(failed=ended.slug, outcome=what)
        return written.claim

    def _unreadable(self, claim: Claim, error: Exception) -> None:
        """Tries again, as far as there is time, since another version may run beside us; then gives up."""
        if not isinstance(error, UnreadableRecord):
            log.exception("record_broke")
            error = UnreadableRecord(f"The record of {claim.job} cannot be read: {type(error).__name__}.")
        again = unreadable_in(claim, persist(self.tools.store.now))
        if again is None:
            give_up(claim, error, self.tools)
        else:
            self._defer(claim, again, error.message, slug=error.slug)

    def _work(self, job: Job, attempt: Attempt) -> _Ended | None:
        """How the step ended; None when it was deferred."""
        claim = attempt.claim
        error: CallscribeError
        unexpected = False
        try:
            if claim.lost >= (MOST_LOST_OUTCOME if claim.step in ("callback", "expire") else MOST_LOST):
                raise Poison(f"The step {claim.step} ended its worker again and again.")
            attempt.begin(job)
            return _Ended(self._told(job, attempt, EXECUTORS[kind_of(claim.step)](job, claim, self.tools)))
        except (LeaseLost, UnknownJob, DecoderDied):
            raise
        except BlobMissing as missing:
            if anew := audio_anew(job):
                attempt.held = {}
                return _Ended(anew, missing.slug, missing.message)
            error = AudioLost(f"{missing.message} It cannot be fetched again.")
        except Snooze as snooze:
            self._defer(
                claim, snooze.seconds, snooze.why, uncounted=snooze.uncounted, deliveries=snooze.deliveries
            )
            return None
        except CallscribeError as known:
            error = known
        except Exception as unforeseen:
            if isinstance(unforeseen, OSError) and unforeseen.errno in FULL:
                error = StoreUnavailable(f"This machine is short of room: {unforeseen.strerror}.")
            else:
                log.exception("step_broke")
                error, unexpected = CallscribeError(f"{type(unforeseen).__name__} in {claim.step}"), True
        now = persist(self.tools.store.now)
        hold = self.tools.settings.account_hold_seconds
        decision = decide(error, job=job, claim=claim, now=now, hold_seconds=hold, unexpected=unexpected)
        if not isinstance(decision, Failure):
            held = {"held_since": f"{now:.3f}"} if decision.held else {}
            self._defer(
                claim,
                decision.at - now,
                error.message,
                ambiguous=decision.ambiguous,
                first=held,
                slug=error.slug,
            )
            return None
        decision = replace(decision, step=attempt.step)
        if unexpected and claim.step == "callback" and "failure" not in job.facts:
            facts: dict[str, Any] = {"failure": decision}  # there is no result, and the portal is told so
        elif claim.step == "callback" or KINDS[kind_of(claim.step)].starred:
            facts = {claim.step: outcome_steps.given_up(claim, decision)}
        else:
            facts = {"failure": decision}
        return _Ended(Result(facts=facts), error.slug, error.message)

    def _told(self, job: Job, attempt: Attempt, made: Result | Parts) -> Result:
        """The step's result; its parts are written down as they come, until it is not due any more."""
        if isinstance(made, Result):
            return made
        with closing(made):
            while True:
                try:
                    part = next(made)
                except StopIteration as end:
                    return cast(Result, end.value)
                if attempt.step in part.facts:  # one that is done within this one has come to its end
                    attempt.end(persist(self.tools.store.now))
                if part.waits:
                    attempt.held |= part.facts
                    continue
                if not self._commit(job, attempt, part, goes_on=True).due:
                    return Result()
                job = persist(self.tools.store.load, job.id)

    def _defer(
        self,
        claim: Claim,
        seconds: float,
        why: str,
        *,
        uncounted: bool = False,
        ambiguous: bool = False,
        deliveries: tuple[object, ...] = (),
        first: dict[str, str] | None = None,
        slug: str = "snoozed",
    ) -> None:
        now = persist(self.tools.store.now)
        event = Event(at=now, step=claim.step, what="deferred", attempt=claim.attempt, why=why)
        persist(
            self.tools.store.defer,
            claim,
            at=now + max(seconds, 0.0),
            uncounted=uncounted,
            ambiguous=ambiguous,
            events=() if uncounted else (event,),
            deliveries=deliveries,  # type: ignore[arg-type]
            first=first,
        )
        if ambiguous:
            persist(self.tools.store.usage.add, claim.portal, {"doubtful_calls": 1})
        TRACES.tell(outcome="deferred", reason=slug, seconds=round(seconds, 1))
        STEPS.inc(kind_of(claim.step), "deferred", slug)
        log.info("step_deferred", seconds=round(seconds, 1), error=slug, why=why)

    def _commit(
        self, job: Job, attempt: Attempt, result: Result, *, goes_on: bool = False, turn: Turn | None = None
    ) -> _Written:
        """Writes down what a step found, and tells what has ended with it. goes_on: the claim is kept.

        One step of a job at a time: the pieces of a call end together, and each would find only that the
        record moved on by another's, and read all of it again.
        """
        with self._writing.setdefault(job.id, threading.Lock()):
            return self._written(job, attempt, result, goes_on=goes_on, turn=turn)

    def _written(
        self, job: Job, attempt: Attempt, result: Result, *, goes_on: bool, turn: Turn | None
    ) -> _Written:
        store, claim, due = self.tools.store, attempt.claim, True
        result = replace(result, facts=to_plain({**attempt.held, **result.facts}))
        served = KINDS[kind_of(claim.step)].paid and claim.step in result.facts
        while True:
            facts = dict(result.facts)
            if "failure" in facts and flow.has_outcome(job) and claim.step != "callback":
                del facts["failure"]  # the portal's outcome is decided already
            kept = {step: fact for step, fact in job.facts.items() if step not in result.forget}
            after = replace(job, facts={**kept, **facts})
            ended = "callback" in facts and not replayable(after)
            if ended and "fetch" in after.facts and keeping.let_go(self.tools, job.id):
                facts["keep"] = {"state": "off"}
                after = replace(after, facts={**after.facts, **facts})
            following = flow.advance(after, persist(store.now))
            failpoints.hit("step.before_finish")
            wanted = None
            if turn and not turn.over:
                turn.works()
                wanted = self._wanted(turn)
            try:
                finished = persist(
                    store.finish,
                    job,
                    Transition(
                        facts=facts,
                        dues=following.dues,
                        status=following.status,
                        forget=[f"fact:{step}" for step in result.forget]
                        + (["held_since"] if job.held_since is not None and served else []),
                        fields={"request": dumps(after.request.ended())} if ended else None,
                        events=attempt.events,
                        deliveries=result.deliveries,
                        closed=following.closed,
                        goes_on=goes_on,
                        used=result.used,
                        passed=result.passed,
                        known=result.known,
                    ),
                    claim=claim,
                    retention_seconds=self.tools.settings.retention_seconds,
                    wanted=wanted,
                )
                break
            except Stale:
                job = persist(store.load, job.id)
                if not flow.is_due(job, claim.step, persist(store.now)):
                    due = False
                    # the facts that it was computed from have changed; what was done stays done
                    result = replace(result, facts={}, forget=())
        failpoints.hit("step.after_finish")
        attempt.tell()
        if "failure" in facts:
            FAILURES.inc(job.portal, facts["failure"]["slug"])
        if not facts.get("callback", {}).get("accepted", True):
            FAILURES.inc(job.portal, flow.UNDELIVERED)
        if self._notifier:
            for queue in finished.news:
                self._notifier.notify(queue)
        if turn:
            turn.listed = finished.listed
        return _Written(due, finished.claim)
