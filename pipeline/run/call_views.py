"""An archived call as outsiders see it: one shape for the console, its twins and `callscribe calls`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.archive.calls import Call
from pipeline.domain.plain import to_plain
from pipeline.run.views import moment


def call_row(call: Call, *, phone: str | None, talkers: Sequence[str] = ()) -> dict[str, Any]:
    """A call as a line of JSON or CSV; moments are RFC 3339, lengths seconds.

    phone: as the reader may see it. talkers: whose the times of `talk` are.
    """
    return {
        "id": call.id,
        "job": call.id,
        "portal": call.portal,
        "category": call.category.value,
        "started_at": moment(call.started_at),
        "seconds": call.seconds,
        "direction": call.direction,
        "manager_id": call.manager_id,
        "manager": call.manager,
        "client": call.client,
        "phone": phone,
        "entity": {
            "type": call.entity.type if call.entity else None,
            "id": call.entity.id if call.entity else None,
            "title": call.entity_title,
            "url": call.entity_url,
        },
        "state": call.state,
        "lacks": [{"kind": gap.kind, "why": gap.why} for gap in call.gaps],
        "score": call.score,
        "band": call.band,
        "machine_score": call.machine_score,
        "machine_band": call.machine_band,
        "reason": call.reason,
        "language": call.language,
        "quality": call.quality,
        "talk": dict(zip(("first", "second"), (*call.talk, None, None), strict=False)),
        "talkers": list(talkers),
        "silence": call.silence,
        "cost": call.cost,
        "error": call.error,
    }


def call_whole(call: Call, *, phone: str | None) -> dict[str, Any]:
    """A call with all that was said in it, and of it."""
    more = to_plain([call.criteria, call.segments, call.missing, call.empty_spans])
    names = ("criteria", "segments", "missing", "empty_spans")
    said = [{**to_plain(verdict), "at": moment(verdict.at)} for verdict in call.verdicts]
    used = {
        name: getattr(call, name) for name in ("transcription_seconds", "prompt_tokens", "completion_tokens")
    }
    whole = call_row(call, phone=phone, talkers=call.speakers)
    return {**whole, **dict(zip(names, more, strict=True)), "verdicts": said, "usage": used}
