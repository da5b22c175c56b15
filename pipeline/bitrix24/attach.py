"""attach: the transcript by turns in the telephony's own record of the call."""

from __future__ import annotations

from pipeline.bitrix24.rest import Bitrix24
from pipeline.contract.redact import redact as redacted
from pipeline.contract.sinks import to_crm
from pipeline.domain.transcript import Transcript

SIDES = {"manager": "User", "client": "Client"}


def attach(call_id: str, transcript: Transcript, *, rest: Bitrix24, redact: bool = False) -> bool:
    """Sends the transcript by telephony.call.attachTranscription; False when there is nothing to send.

    Only turns of which it is known who speaks have a side there. Times are whole seconds, the end at least
    1. https://apidocs.bitrix24.com/api-reference/telephony/telephony-call-attach-transcription.html
    Raises PortalRefused (the scope telephony is missing, the call is gone) and PortalUnavailable.
    """
    messages = [
        {
            "SIDE": SIDES[segment.speaker],
            "START_TIME": int(segment.start),
            "STOP_TIME": max(int(segment.end), int(segment.start), 1),
            "MESSAGE": to_crm(redacted(segment.text) if redact else segment.text),
        }
        for segment in transcript.segments
        if segment.speaker in SIDES and segment.text.strip()
    ]
    if not messages:
        return False
    rest.call("telephony.call.attachTranscription", {"CALL_ID": call_id, "MESSAGES": messages})
    return True
