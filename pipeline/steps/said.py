"""Which call a text is about: texts that we gave out come back in the CRM's next steps."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from pipeline.contract.sinks import to_callback
from pipeline.domain.errors import CallscribeError
from pipeline.domain.job import Job, JobId
from pipeline.steps.tools import Tools

LEAST_CHARACTERS = 40  # shorter texts may be anybody's
_MARKERS = ("original_message", "transcript", "dialogue", "text", "message")


def known(tools: Tools, job: Job, text: str, *, call: JobId | None = None) -> dict[str, tuple[str, int]]:
    """That this text came of the call (else of this job), to be kept with the step's end."""
    if len(text) < LEAST_CHARACTERS:
        return {}
    return {_key(job.portal, text): (call or job.id, int(tools.settings.retention_seconds))}


def call_of(tools: Tools, job: Job) -> JobId | None:
    """The call whose text a request brings back in its markers; None where it is none of ours."""
    texts = [job.request.markers.get(name) for name in _MARKERS] + [job.request.prompt]
    with suppress(CallscribeError):
        for text in texts:
            if isinstance(text, str) and len(text) >= LEAST_CHARACTERS:
                found = tools.store.known.recall(_key(job.portal, text))
                if found:
                    return JobId(found)
    return None


def _key(portal: str, text: str) -> str:
    plain = " ".join(
        to_callback(text, spoken=True).split()
    )  # as it was sent, and what is sent again the same
    return f"said:{portal}:{hashlib.sha256(plain.encode('utf-8', 'replace')).hexdigest()}"
