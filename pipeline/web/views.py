"""How a job looks from outside: the record as `/v1/jobs` and the list show it, no request's secret in it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pipeline.contract import lead_body
from pipeline.domain.job import Delivery, Event, Job, JobId
from pipeline.domain.kinds import kind_of
from pipeline.domain.plain import from_plain, to_plain
from pipeline.domain.recording import Media, Span
from pipeline.steps import flow

Row = tuple[JobId, float, dict[str, str]]


def moment(at: float) -> str:
    """Unix seconds as RFC 3339, UTC, milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def row(job: Row) -> dict[str, Any]:
    """A job as a line of the list."""
    key, accepted_at, fields = job
    return {
        "id": key,
        "portal": fields["portal"],
        "category": fields["category"],
        "source": fields["source"],
        "status": fields["status"],
        "accepted_at": moment(accepted_at),
        "deadline": moment(float(fields["deadline"])),
    }


def whole(job: Job, events: Iterable[Event], deliveries: Iterable[Delivery]) -> dict[str, Any]:
    """A job with all that is known about it; times inside the recording are float seconds."""
    done, parts = flow.progress(job)
    failure = flow.failure(job)
    fields = {
        "portal": job.portal,
        "category": job.category.value,
        "source": job.source.value,
        "status": job.status,
        "deadline": str(job.deadline),
    }
    return {
        **row((job.id, job.accepted_at, fields)),
        "progress": {"parts_done": done, "parts_total": parts},
        "media": _media(job),
        "transcript": transcript(job),
        "lead": _lead(job),
        "timeline": _timeline(job),
        "reply": (job.facts.get("reply") or {}).get("text"),
        "call": flow.call(job),
        "images": (job.facts.get("draw") or {}).get("urls"),
        "usage": _usage(job),
        "deliveries": [
            {"at": moment(item.at), "kind": item.kind, "status": item.status, "answer": item.answer}
            for item in deliveries
        ],
        "events": [
            {
                "at": moment(item.at),
                "step": item.step,
                "what": item.what,
                "took": item.took,
                "attempt": item.attempt,
                **({"why": item.why} if item.why else {}),
            }
            for item in events
        ],
        "error": to_plain(failure) if failure else None,
    }


def transcript(job: Job) -> dict[str, Any] | None:
    """Who said what, or None as long as that is unknown."""
    found = flow.transcript(job)
    if found is None:
        return None
    return {
        "text": found.text,
        "language": found.language,
        "partial": found.partial,
        "missing": _spans(found.missing),
        "empty_spans": _spans(found.empty_spans),
        "order": found.order,
        "quality": found.quality,
        "segments": to_plain(found.segments),
    }


def _spans(spans: Iterable[Span]) -> list[dict[str, float]]:
    return [{"start": span.start, "end": span.end} for span in spans]


def _media(job: Job) -> dict[str, Any] | None:
    if "sniff" not in job.facts:
        return None
    media, plan = from_plain(Media, job.facts["sniff"]), flow.plan(job)
    return {
        "codec": media.codec,
        "container": media.container,
        "seconds": plan.seconds if plan else media.seconds,
        "channels": media.channels,
        "sample_rate": media.sample_rate,
        "bytes": media.size_bytes,
        "sha256": media.sha256,
    }


def _lead(job: Job) -> dict[str, Any] | None:
    lead = flow.lead(job)
    if lead is None:
        return None
    body = lead_body(lead) or {}
    return {**body, "criteria": to_plain(lead.criteria)} if lead.criteria else body


def _timeline(job: Job) -> dict[str, Any]:
    found = flow.timeline(job)
    return {"state": found.state, "entity": to_plain(found.entity), "why": found.why}


def _usage(job: Job) -> dict[str, float]:
    usage = {"transcription_seconds": 0.0, "prompt_tokens": 0, "completion_tokens": 0}
    for step, fact in job.facts.items():
        if not isinstance(fact, dict):
            continue
        if kind_of(step) == "transcribe":
            usage["transcription_seconds"] += fact.get("paid_seconds") or 0.0
        for name, amount in (fact.get("usage") or {}).items():
            if name in usage:
                usage[name] += amount
    usage["transcription_seconds"] = round(usage["transcription_seconds"], 3)
    return usage
