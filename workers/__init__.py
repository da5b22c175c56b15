"""The Celery application: `python -m workers -Q media -P prefork`, `-Q upstream -P threads`.

Celery is the executor and the notifier, nothing more: no chord, no ETA, no result backend, no retries of
its own. Where a job lives, and when it is tried again, is the record's matter.
"""

import warnings

import celery.apps.worker
from celery import Celery

# the warning is about pickled messages, which are not accepted here
warnings.filterwarnings("ignore", "You're running the worker with superuser privileges")

# what it prints from a signal's handler goes past all logs; `worker_left` says the same
celery.apps.worker.safe_say = lambda *_: None

app = Celery("callscribe", include=["workers.tasks", "workers.lifecycle"])
app.config_from_object("workers.config")

__all__ = ["app"]
