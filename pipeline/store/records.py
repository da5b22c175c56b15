"""How a job lies in its Redis hash, and how it is read back."""

from __future__ import annotations

import hashlib
import json
import math
import re
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import orjson

from pipeline.domain.errors import CallscribeError, UnreadableRecord
from pipeline.domain.job import (
    Attempts,
    Category,
    Claim,
    Delivery,
    Due,
    Event,
    Job,
    JobId,
    PortalId,
    Request,
    Source,
    Step,
)
from pipeline.domain.plain import from_plain, loads

_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=vars).encode
COUNTS = {"tries": "begun", "lost": "lost", "doubt": "ambiguous"}  # as the hash names them
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [one + other for one in _LETTERS for other in _LETTERS]
_HALVES = re.compile("[\\ud800-\\udfff]")


def job_id(portal: str, key: str | None) -> JobId:
    """The same portal and key give the same id; without a key a new one."""
    raw = hashlib.sha256(f"{portal}\n{key}".encode()).digest() if key else secrets.token_bytes(20)
    bits = int.from_bytes(raw[:17], "big") >> 6  # 130 of them, as base32 writes them: five a letter
    return JobId("job_" + "".join([_PAIRS[bits >> shift & 1023] for shift in range(120, -1, -10)]))


def dumps(value: Any) -> str:
    """Compact JSON of plain values and of the model's classes.

    Half a surrogate pair, which JSON can carry and UTF-8 cannot, becomes U+FFFD.
    """
    with suppress(TypeError):  # it takes no such half, no number above 64 bits, and no key but a string
        text = orjson.dumps(value, vars, orjson.OPT_PASSTHROUGH_DATACLASS).decode()
        if "null" not in text:  # which it also makes of NaN and infinities
            return text
    text = _ENCODE(value)
    return text if text.isascii() else _HALVES.sub("\ufffd", text)


def fields_of(job: Job) -> dict[str, str]:
    """A new job's hash fields."""
    return {
        "portal": job.portal,
        "category": job.category.value,
        "source": job.source.value,
        "accepted_at": f"{job.accepted_at:.6f}",
        "deadline": f"{job.deadline:.6f}",
        "digest": job.digest,
        "status": job.status,
        "request": dumps(job.request.needed(job.category)),
        **{f"fact:{step}": dumps(fact) for step, fact in job.facts.items()},
    }


Arguments = tuple[str, str, str]


class Quota(NamedTuple):
    """How many unfinished jobs a portal may have, and how many bytes their requests may take."""

    jobs: int
    bytes: int = 64 << 20


def accept_arguments(job: JobId, fields: Mapping[str, str], dues: Iterable[Due], quota: Quota) -> Arguments:
    """As accept.lua takes them: few, and the sender's own text among them is not parsed again."""
    rest = {name: value for name, value in fields.items() if name != "request"}
    head = {"fields": rest, "dues": dues_of(dues), "quota": tuple(quota)}
    return job, dumps(head), fields["request"]


def read_job(key: JobId, fields: Mapping[str, str]) -> Job:
    """The inverse of `fields_of`; raises UnreadableRecord."""
    with readable(key):
        return _read_job(key, fields)


@contextmanager
def readable(key: JobId) -> Iterator[None]:
    """Whatever goes wrong inside is the record's fault: raises UnreadableRecord, and errors of our own."""
    try:
        yield
    except CallscribeError:
        raise
    except Exception as error:  # whatever another version, or a fault, has left there
        raise UnreadableRecord(f"The record of {key} cannot be read: {type(error).__name__}.") from error


def salvaged(key: JobId, fields: Mapping[str, str], *, portal: PortalId, deadline: float) -> Job:
    """What can still be read of a record that cannot: enough to tell its portal that it failed.

    portal, deadline: as the step's claim names them, where the record does not.
    """
    request: dict[str, Any] = {}
    with suppress(ValueError, AttributeError, RecursionError):
        written = json.loads(fields.get("request") or "{}")
        names = ("callback_url", "error_callback_url")
        request = {name: written[name] for name in names if isinstance(written.get(name), str)}
    category, source = fields.get("category"), fields.get("source")
    return Job(
        id=key,
        portal=PortalId(fields.get("portal") or portal),
        category=Category(category) if category in set(Category) else Category.AUDIO,
        source=Source(source) if source in set(Source) else Source.ENGINE,
        accepted_at=_moment(fields.get("accepted_at"), 0.0),
        deadline=_moment(fields.get("deadline"), deadline),
        digest=fields.get("digest", ""),
        rev=fields.get("rev") or "",
        request=Request(**request),
    )


def _moment(text: str | None, default: float) -> float:
    with suppress(TypeError, ValueError):
        found = float(text)  # type: ignore[arg-type]
        if math.isfinite(found):
            return found
    return default


def _read_job(key: JobId, fields: Mapping[str, str]) -> Job:
    facts: dict[str, Any] = {}
    attempts: dict[str, dict[str, int]] = defaultdict(dict)
    for name, value in fields.items():
        kind, _, step = name.partition(":")
        if kind == "fact":
            facts[step] = loads(value)
        elif kind in COUNTS:
            attempts[step][COUNTS[kind]] = int(value)
    return Job(
        id=key,
        portal=PortalId(fields["portal"]),
        category=Category(fields["category"]),
        source=Source(fields["source"]),
        accepted_at=_finite(fields["accepted_at"]),
        deadline=_finite(fields["deadline"]),
        digest=fields.get("digest", ""),
        status=fields.get("status", "accepted"),
        rev=fields["rev"],
        request=from_plain(Request, json.loads(fields.get("request") or "{}")),
        facts=facts,
        attempts={step: Attempts(**counts) for step, counts in attempts.items()},
        held_since=float(fields["held_since"]) if "held_since" in fields else None,
    )


def _finite(text: str) -> float:
    if not math.isfinite(found := float(text)):
        raise ValueError(f"{text} is no moment")
    return found


def dues_of(dues: Iterable[Due]) -> list[list[Any]]:
    """As the scripts take them."""
    return [[due.step, due.queue, due.at, "expedite" if due.expedite else "", due.urgency] for due in dues]


def read_event(text: str) -> Event:
    """One line of a job's list of events; what cannot be read is an event that says so."""
    try:
        return from_plain(Event, json.loads(text))
    except Exception:
        return Event(at=0.0, step=Step("record"), what="unreadable")


def read_delivery(text: str) -> Delivery:
    """One line of a job's list of deliveries; what cannot be read is one that was not taken."""
    try:
        return from_plain(Delivery, json.loads(text))
    except Exception:
        return Delivery(at=0.0, kind="error", status=None, answer="unreadable", accepted=False)


def place_of(claim: Claim) -> str:
    """A claim as the store's lists of who holds what have it."""
    return f"{claim.job}|{claim.step}|{claim.fence}"
