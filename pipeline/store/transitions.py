"""What changes a record, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline.domain.job import Claim, Delivery, Due, Event, Job
from pipeline.store.known import known_key
from pipeline.store.records import dues_of, dumps
from pipeline.store.usage import KEPT_SECONDS, fields_of, key_of, series_of


@dataclass(frozen=True, kw_only=True)
class Transition:
    """What a step, or a person, changes in a record: all of it or nothing.

    facts: step -> what it found. dues: what is to be done next. forget, fields: fields of the record that go,
    or are set. closed: nothing is left to do, so the record may expire. reopened: it may not any more.
    goes_on: a part of what a step finds; it keeps its lease. used: amounts that are added to the portal's
    usage, by their names in `metrics.USAGE`. passed: circuit breakers that close with it. known: small facts
    that all workers share, as `Known.remember` keeps them: each for so many seconds.
    """

    facts: Mapping[str, Any]
    dues: Iterable[Due]
    status: str
    forget: Iterable[str] = ()
    fields: Mapping[str, str] | None = None
    events: Iterable[Event] = ()
    deliveries: Iterable[Delivery] = ()
    closed: bool = False
    reopened: bool = False
    goes_on: bool = False
    used: Mapping[str, float] | None = None
    passed: Iterable[str] = ()
    known: Mapping[str, tuple[str, int]] = field(default_factory=dict)


class Wanted(NamedTuple):
    """Whose claim is made next: as `Store.claim` takes it."""

    queue: str
    owner: str
    lease_seconds: float
    urgent_only: bool = False
    waits: bool | None = None


class Finished(NamedTuple):
    """news: the queues that workers are to be told of by message, once for each step that is ready now and
    woke nobody. claim: the next one, where it was wanted. listed: there was none, and word of one will come.
    """

    news: tuple[str, ...]
    claim: Claim | None
    listed: bool = False


class Stale(Exception):
    """The record moved on since it was read; read it again."""


def argument(transition: Mapping[str, Any]) -> str:
    """What a script takes of a transition: JSON, without what is not set."""
    return dumps({name: value for name, value in transition.items() if value not in (None, [])})


def finish_argument(
    job: Job, what: Transition, claim: Claim | None, retention_seconds: int, wanted: Wanted | None
) -> str:
    """The argument of finish.lua, which says what is in it."""
    transition = {
        "id": job.id,
        "rev": job.rev,
        "portal": job.portal,
        "queue": claim.queue if claim else "",
        "step": claim.step if claim else "",
        "fence": claim.fence if claim else None,
        "set": {f"fact:{step}": dumps(fact) for step, fact in what.facts.items()}
        | {"status": what.status}
        | dict(what.fields or {}),
        "forget": list(what.forget),
        "dues": dues_of(what.dues),
        "events": [dumps(event) for event in what.events],
        "deliveries": [dumps(delivery) for delivery in what.deliveries],
        "closed": what.closed or None,
        "reopened": what.reopened or None,
        "goes_on": what.goes_on or None,
        "retention": retention_seconds,
        "known": {known_key(name): kept for name, kept in what.known.items()} or None,
        "used": {key_of(job.portal): fields_of(what.used, None)} if what.used else None,
        "used_seconds": KEPT_SECONDS if what.used else None,
        "counted": series_of(job.portal, what.used, None) if what.used else None,
        "gates": list(what.passed),
        "next": [part for part in wanted if part is not None] if wanted else None,
    }
    return argument(transition)
