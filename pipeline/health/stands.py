"""How the service stands, by what its store tells: durable, alive, work that waits, refused accounts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pipeline.bitrix24.checks import Check
from pipeline.domain.errors import ProviderAccount
from pipeline.domain.labels import clock
from pipeline.run.views import moment
from pipeline.settings.portals import Portal
from pipeline.store import Store

LONG_SECONDS = 60.0  # of a step that is ready, and that nobody has taken
MORE = (
    "More places: CALLSCRIBE_UPSTREAM_THREADS, CALLSCRIBE_MEDIA_PROCESSES, or `callscribe worker` on another "
    "machine; a provider that is slow shows in `callscribe jobs list --status running`."
)
START_SECONDS = 15.0
ROLES = ("api", "media", "upstream")


def durability(kind: str, store: Store, where: str = "") -> Check:
    """Whether what is accepted is kept. Raises StoreUnavailable."""
    store.ping()  # takes writes
    found = store.disk.durability()
    return Check(
        name=kind, state="ok" if found.is_safe else "failed", says=found.says + where, hint=found.hint
    )


def alive(store: Store) -> Counter[str]:
    """Role -> processes that have told lately that they live."""
    return Counter(str(told.get("role")) for told in store.processes.alive().values())


def missing(living: Mapping[str, int]) -> list[str]:
    """The roles that no process has, of those that a service needs."""
    return [role for role in ROLES if not living.get(role)]


def process_check(living: Mapping[str, int]) -> Check:
    """Whether every role is there."""
    if lacking := missing(living):
        says = f"no process is alive that is {' or '.join(lacking)}"
        hint = "Start what is missing: `callscribe up`, or `callscribe api` and `callscribe worker`."
        return Check(name="processes", state="failed", says=says, hint=hint)
    says = ", ".join(f"{role} {count}" for role, count in sorted(living.items()))
    return Check(name="processes", state="ok", says=f"alive are {says}")


def processes(store: Store) -> Check:
    """The same of this moment; a service that is just starting is given time."""
    end = time.monotonic() + START_SECONDS
    # none at all is a service that is not there
    while missing(living := alive(store)) and living and time.monotonic() <= end:
        time.sleep(1.0)
    return process_check(living)


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
