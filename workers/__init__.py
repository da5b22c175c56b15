"""The Celery application: `celery -A workers worker -Q media -P prefork`, `-Q upstream -P threads`.

Celery is the executor and the notifier, nothing more: no chord, no ETA, no result backend, no retries of
its own. Where a job lives, and when it is tried again, is the record's matter.
"""

import warnings

from celery import Celery

# the warning is about pickled messages, which are not accepted here
warnings.filterwarnings("ignore", "You're running the worker with superuser privileges")

app = Celery("callscribe", include=["workers.tasks", "workers.lifecycle"])
app.config_from_object("workers.config")

__all__ = ["app"]
