"""What portals and other clients send us, and what we send back: read and built here, nowhere else."""

from pipeline.contract.calls import known_only, read_call, read_upload
from pipeline.contract.engine import EngineRequest, callback_key, read_engine_request
from pipeline.contract.entities import read_entity, type_id, type_name
from pipeline.contract.events import PortalEvent, read_event
from pipeline.contract.results import (
    audio_body,
    call_body,
    error_body,
    image_body,
    lead_body,
    text_body,
)

__all__ = [
    "EngineRequest",
    "PortalEvent",
    "audio_body",
    "call_body",
    "callback_key",
    "error_body",
    "image_body",
    "known_only",
    "lead_body",
    "read_call",
    "read_engine_request",
    "read_entity",
    "read_event",
    "read_upload",
    "text_body",
    "type_id",
    "type_name",
]
