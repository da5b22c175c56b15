"""Logs that carry the job's id and no secret.

Every module logs by `structlog.get_logger()`: an event's name is a constant, what varies are its fields.
Job, step and attempt are bound once per step (structlog.contextvars), so that every line tells them.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Iterable
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TextIO
from urllib.parse import urlsplit

import orjson
import structlog
from pydantic import BaseModel, SecretStr
from structlog.typing import EventDict, Processor, WrappedLogger

from pipeline.domain.printable import printable
from pipeline.settings.installation import Settings
from pipeline.settings.portals import Portals

# -- redaction

SHORT = 64  # characters of a text whose redaction is remembered
SHORTEST_SECRET = 6  # anything shorter would blank out ordinary words
_SECRET_PATHS = re.compile(r"(/(?:engines|events)/|/rest/\d+/)[A-Za-z0-9_-]+")
_URL_USER = re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://)[^/\s@\"']*@", re.IGNORECASE)
_WORD = re.compile(r"[^\s\"'<>]+")
_ADDRESS = re.compile(r"://|(?<![\w/])/")  # a URL, or a path from its root
_QUERY = re.compile(r"\?[\w.%\[\]-]+=[^\s\"'<>]*")  # a link may hold spaces, where the pattern above ends


def _without_query(match: re.Match[str]) -> str:
    head, _, query = match[0].partition("?")
    return f"{head}?***" if query and _ADDRESS.search(head) else match[0]


class Redactor:
    """Takes secrets out of whatever is written: known ones, URLs' queries and user names, tokens in paths."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: re.Pattern[str] | None = None
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Replaces the known secrets."""
        known = sorted({s for s in secrets if len(s) >= SHORTEST_SECRET}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None
        self._short = lru_cache(maxsize=1024)(self._redacted)  # names and words that come again and again

    def text(self, value: str) -> str:
        """The text without secrets, and without what would act on the terminal that shows the log."""
        return self._short(value) if len(value) <= SHORT else self._redacted(value)

    def _redacted(self, value: str) -> str:
        value = printable(value)
        if self._known:
            value = self._known.sub("***", value)
        if "/" in value:
            value = _SECRET_PATHS.sub(r"\1***", value)
            value = _URL_USER.sub(r"\1***@", value)
            value = _WORD.sub(_without_query, value)
        if "?" in value:
            value = _QUERY.sub("?***", value)
        return value

    def any(self, value: Any) -> Any:
        """The same for whatever a log line may hold."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bool | int | float | None):
            return value
        if isinstance(value, dict):
            return {self.any(key): self.any(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.any(item) for item in value]
        return self.text(str(value))

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
        """As a structlog processor."""
        short = self._short
        return {
            key: short(item) if type(item) is str and len(item) <= SHORT else self.any(item)
            for key, item in event.items()
        }


REDACTOR = Redactor()


def secrets_of(settings: Settings, portals: Portals | None = None) -> set[str]:
    """Every secret that the settings and portals hold, found by its type, and the secret parts of URLs."""
    return set(_secrets(settings)) | {
        found for portal in (portals or {}).values() for found in _secrets(portal)
    }


def _secrets(value: Any) -> Iterable[str]:
    if isinstance(value, SecretStr):
        yield from _parts(value.get_secret_value())
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _secrets(item)


def _parts(secret: str) -> Iterable[str]:
    if "://" not in secret:
        yield secret
        yield from (part.strip() for part in secret.split(",") if part.strip())
        return
    url = urlsplit(secret)
    if url.password:
        yield url.password
    if url.path.strip("/") and url.scheme in ("http", "https"):
        yield url.path.strip("/").rpartition("/")[2]  # a webhook's last path segment is its secret


# -- logs


def _encode(event: EventDict, **_: object) -> str:
    """JSON of what the redactor has made plain."""
    try:
        return orjson.dumps(event).decode()
    except TypeError:  # half a surrogate pair, a number above 64 bits, a key that is no string
        return json.dumps(event, ensure_ascii=False)


if TYPE_CHECKING:
    _Handler = logging.StreamHandler[TextIO]
else:
    _Handler = logging.StreamHandler


class _Stderr(_Handler):
    """Writes to what the standard error output is at that moment, not what it was at the set-up."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def _without_colours(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)  # uvicorn's message once more, with colours
    return event


def _stamp(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """structlog's TimeStamper in ISO 8601, at a third of its cost: most lines share their second."""
    seconds, micros = divmod(time.time_ns() // 1000, 1_000_000)
    event["timestamp"] = f"{_second(seconds)}.{micros:06d}Z"
    return event


@lru_cache(maxsize=2)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


def _of_ours(record: logging.LogRecord) -> bool:
    """What strangers can cause by the thousand is counted (`callscribe_requests_refused`), not written."""
    return record.msg not in ("Invalid HTTP request received.", "Unsupported upgrade request.")


def configure(
    log_format: Literal["auto", "json", "text"] = "auto",
    *,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
    level: int = logging.INFO,
) -> None:
    """Sets up the logs of this process, those of the libraries included; may be called again.

    secrets: what must never be written, beside URLs' queries. stream: default the standard error output.
    auto: text where that is a terminal, else JSON.
    """
    REDACTOR.learn(secrets)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _stamp,
        structlog.processors.format_exc_info,
        REDACTOR,
    ]
    render: Processor
    if log_format == "text" or (log_format == "auto" and (stream or sys.stderr).isatty()):
        plain = structlog.dev.plain_traceback  # the trace is text by then, without secrets
        render = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain)
    else:
        render = structlog.processors.JSONRenderer(_encode)
    handler = logging.StreamHandler(stream) if stream else _Stderr()
    # what libraries say; our own lines go straight to the stream, at a third of the cost
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), _without_colours, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "celery", "kombu"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    # billiard tells of dead children here, and lets nothing through to the root
    logging.getLogger("multiprocessing").handlers[:] = [handler]
    # its lines hold whole paths, and engine URLs carry the portal's secret; we write our own
    logging.getLogger("uvicorn.access").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn.error").addFilter(_of_ours)
    for noisy in ("httpx", "httpcore", "celery.worker.strategy", "celery.app.trace", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    lines = _Lines(handler)
    structlog.configure(
        processors=[*shared, render],
        logger_factory=lambda *_: lines,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )


def tells_machines() -> bool:
    """Whether the lines of this process are JSON."""
    return isinstance(structlog.get_config()["processors"][-1], structlog.processors.JSONRenderer)


def take_over() -> None:
    """Has this process say in log lines what Python would print: warnings, and the traces of what dies."""
    logging.captureWarnings(True)
    log = structlog.get_logger()

    def of_the_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        log.critical("process_died", exc_info=(kind, error, trace))

    def of_a_thread(told: threading.ExceptHookArgs) -> None:
        if told.exc_value is not None and not issubclass(told.exc_type, SystemExit):
            log.critical(
                "thread_died", thread=told.thread.name if told.thread else None, exc_info=told.exc_value
            )

    sys.excepthook, threading.excepthook = of_the_process, of_a_thread
    sys.unraisablehook = lambda told: log.error(
        "error_ignored", where=repr(told.object), exc_info=told.exc_value
    )


class _Lines:
    """Where our own lines end: each is one write, so that those of other threads and processes stay whole."""

    def __init__(self, handler: logging.StreamHandler[TextIO]) -> None:
        self._handler = handler

    def msg(self, line: str) -> None:
        stream = self._handler.stream
        stream.write(line + "\n")
        stream.flush()

    debug = info = warning = error = critical = exception = msg
