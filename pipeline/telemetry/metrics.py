"""The metrics of a process, each declared once."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

# Of this process, which is the api: workers count in the store (see `USAGE`), where all their processes,
# and the children of their pools, come together.
REGISTRY = CollectorRegistry()
disable_created_metrics()  # type: ignore[no-untyped-call]

ACCEPTED = Counter(
    "callscribe_jobs_accepted",
    "Jobs that were written durably and answered 202, by portal, category and the way they came.",
    ["portal", "category", "source"],
    registry=REGISTRY,
)
REPEATED = Counter(
    "callscribe_requests_repeated",
    "Requests for a job that stands already; answered like the first one, nothing is done twice.",
    ["portal", "source"],
    registry=REGISTRY,
)
REFUSED = Counter(
    "callscribe_requests_refused",
    "Requests that were not taken, by the error's slug; a 503 among them loses a call.",
    ["slug"],
    registry=REGISTRY,
)
ACCEPT_SECONDS = Histogram(
    "callscribe_accept_seconds",
    "From the whole request read to its record durable; portals wait 5 s for the answer.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 3),
    registry=REGISTRY,
)
USAGE = {
    "jobs_done": "outcomes delivered: results",
    "jobs_failed": "outcomes delivered: errors",
    "jobs_undelivered": "outcomes that no portal took before the deadline",
    "paid_calls": "calls to a provider that cost money",
    "paid_seconds": "seconds of sound that were paid for",
    "reserved_seconds": "seconds of sound that count against the spend cap",
    "doubtful_calls": "calls whose answer was lost in the network: they may have been served, and paid",
    "records_unreadable": "jobs given up, since this version could not read their record",
    "repeated_calls": "calls made again although one before may have been paid: killed, cut off, or lost",
}
