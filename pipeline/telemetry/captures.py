"""CAPTURE_DIR: what a portal asked, was answered and took, as fixtures for `callscribe replay`; all masked.

Shape, keys, types and lengths stay as the portal sent them, since those are what surprises; words, names,
links and tokens do not. A stand-in takes the recording's place.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from pipeline.domain.job import Category, Delivery, Job

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
    "quality",
    "role",
    "status",
    "type",
}
_CODE = re.compile(r"[A-Za-z0-9_./+-]{0,40}")
_KEY = re.compile(r"[A-Za-z0-9_]{1,60}")
_PLACES = {"callbackUrl": "{callback}", "errorCallbackUrl": "{error_callback}", "file": "{file}"}


@contextmanager
def _harmless() -> Iterator[None]:
    """A full folder, an unreadable body or a disk error leaves it at a line in the log."""
    try:
        yield
    except (OSError, ValueError, RecursionError) as error:
        log.warning("not_captured", error=type(error).__name__)


def capture_request(folder: Path, category: Category, body: bytes, *, status: int) -> None:
    """Writes the request and what it was answered; the same request again replaces its file."""
    with _harmless():
        if len(body) > MOST_BYTES:
            return
        path = _path(folder, category, hashlib.sha256(body).hexdigest())
        fixture = {
            "name": path.stem,
            "category": category.value,
            "recording": STAND_IN if category.spoken else None,
            "crm": None,
            "body": masked(json.loads(body)),
            "answer": {"status": status},
            "expect": {"outcome": "success" if status == 202 else "refused"},
        }
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists():  # the same request again: its recorded outcome is kept
            _write(path, _read(path) | fixture)
        elif sum(1 for _ in folder.glob("*.json")) < MOST_FILES:
            _write(path, fixture)


def capture_callback(folder: Path, job: Job, body: Mapping[str, Any], sent: Delivery) -> None:
    """Adds to the request's fixture what the portal was sent in the end, and what it said to that."""
    with _harmless():
        path = _path(folder, job.category, job.digest)
        if path.exists():  # else its request was not captured
            answer = {"status": sent.status, "body": masked(_plain(sent.answer))}
            callback = {"kind": sent.kind, "body": masked(body), "answer": answer}
            _write(path, _read(path) | {"callback": callback})


def _plain(answer: str) -> Any:
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        return answer


def _path(folder: Path, category: Category, digest: str) -> Path:
    return folder / f"{category.value}-{digest[:16]}.json"


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _write(path: Path, fixture: Mapping[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(fixture, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


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
