"""CAPTURE_DIR: engine requests as fixtures for `callscribe replay`, with everything personal masked.

Shape, keys, types and lengths stay as the portal sent them, since those are what surprises; words, names,
links and tokens do not. A stand-in takes the recording's place.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import structlog

from pipeline.model import Category

log = structlog.get_logger()

MOST_FILES = 1_000
MOST_BYTES = 1 << 20  # of a request that is captured
STAND_IN = "sales-call"  # in fixtures/audio
_TELLING = {
    "category",
    "fileExtension",
    "format",
    "language",
    "payload_provider",
    "payload_raw",
    "role",
    "type",
}
_CODE = re.compile(r"[A-Za-z0-9_./+-]{0,40}")
_KEY = re.compile(r"[A-Za-z0-9_]{1,60}")
_PLACES = {"callbackUrl": "{callback}", "errorCallbackUrl": "{error_callback}", "file": "{file}"}


def capture(folder: Path, category: Category, body: bytes, *, status: int) -> None:
    """Writes the request and what it was answered; the same request again replaces its file.

    Never raises: a full folder, an unreadable body or a disk error leaves it at a line in the log.
    """
    if len(body) > MOST_BYTES:
        return
    try:
        plain = masked(json.loads(body))
        name = f"{category.value}-{hashlib.sha256(body).hexdigest()[:16]}"
        fixture = {
            "name": name,
            "category": category.value,
            "recording": STAND_IN if category.spoken else None,
            "crm": None,
            "body": plain,
            "answer": {"status": status},
            "expect": {"outcome": "success" if status == 202 else "refused"},
        }
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if sum(1 for _ in folder.glob("*.json")) < MOST_FILES:
            path = folder / f"{name}.json"
            path.write_text(json.dumps(fixture, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except (OSError, ValueError, RecursionError) as error:
        log.warning("not_captured", error=type(error).__name__)


def masked(value: Any, key: str = "") -> Any:
    """The same shape without what it says: letters become x, digits 0, long numbers 0; short codes stay."""
    if key == "auth":
        return None
    if isinstance(value, dict):
        return {_masked_key(name): masked(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [masked(item, key) for item in value]
    if not isinstance(value, str):
        return 0 if isinstance(value, int) and abs(value) > 99_999 else value
    if key in _PLACES and value.lower().startswith(("http://", "https://")):
        return _PLACES[key]
    if key in _TELLING and _CODE.fullmatch(value):
        return value
    if (
        value.isascii() and value.isdigit() and len(value) <= 5
    ):  # "14400": a number that PHP sends as a string
        return value
    return "".join("x" if letter.isalpha() else "0" if letter.isdigit() else letter for letter in value)


def _masked_key(name: str) -> str:
    return name if _KEY.fullmatch(name) else str(masked(name))
