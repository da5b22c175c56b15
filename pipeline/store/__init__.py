"""The job store: records in Redis or Valkey, changed by Lua scripts, each one atomic transition."""

from pipeline.store.intake import Intake, Prepared, prepare
from pipeline.store.ledger import Callee, Reservation
from pipeline.store.records import Quota, fields_of, job_id, salvaged
from pipeline.store.scripts import MOST_WAIT_SECONDS
from pipeline.store.store import Store, persist
from pipeline.store.transitions import Finished, Stale, Transition, Wanted

__all__ = [
    "MOST_WAIT_SECONDS",
    "Callee",
    "Finished",
    "Intake",
    "Prepared",
    "Quota",
    "Reservation",
    "Stale",
    "Store",
    "Transition",
    "Wanted",
    "fields_of",
    "job_id",
    "persist",
    "prepare",
    "salvaged",
]
