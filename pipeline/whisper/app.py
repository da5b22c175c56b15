"""The recogniser behind OpenAI's API: `/v1/audio/transcriptions`, `/v1/models`, errors in OpenAI's shape.

    https://platform.openai.com/docs/api-reference/audio/createTranscription

One recording is recognised at a time, on all threads: two at once would each take twice as long. The others
wait in the order of their coming; when too many wait, the next is told so at once, and when to come again.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
import shutil
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anyio.to_thread
import structlog
from starlette.applications import Starlette
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pipeline.domain.errors import NotAudio, Refused
from pipeline.domain.labels import cue_time
from pipeline.domain.languages import iso639
from pipeline.whisper.hearing import Ask, Heard, Part, Recogniser, Stopped

MAX_UPLOAD_BYTES = 25 << 20  # OpenAI's limit
MAX_BODY_BYTES = MAX_UPLOAD_BYTES + (1 << 20)
MAX_SECONDS = 2 * 3600.0  # of sound: held in memory, 6 bytes a sample
MAX_WAITING = 64  # as many calls as the service makes to one provider at a time
SHORTEST_SECONDS = 0.1
LEAVING_SECONDS = 10.0  # for the recording at hand, after SIGTERM
FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
GRANULARITIES = ("segment", "word")
ALIAS = "whisper-1"  # what clients of OpenAI ask for

logging.getLogger("faster_whisper").setLevel(logging.WARNING)  # a line per recording is ours
log = structlog.get_logger()
Handler = Callable[[Request], Awaitable[Response]]


class Problem(Exception):
    """An answer other than the transcript, as OpenAI words it."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None,
        retry_after: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.code, self.param, self.retry_after = status, code, param, retry_after

    def response(self) -> Response:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        error = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        headers = {} if self.retry_after is None else {"retry-after": str(math.ceil(self.retry_after))}
        return JSONResponse({"error": error}, self.status, headers)


class Turns:
    """One recording at a time, the others in the order of their coming."""

    def __init__(self, most: int = MAX_WAITING) -> None:
        self._lock, self._most = asyncio.Lock(), most
        self._usual_seconds = 5.0
        self.waiting = 0
        self.leaving = False

    async def take(self, request: Request, hear: Callable[[], Heard]) -> Heard:
        """What `hear` gives, in a thread of its own; raises Problem when too many wait, or we leave."""
        if self.waiting > self._most:
            seconds = self._usual_seconds * self.waiting
            raise Problem(
                503, f"{self.waiting} recordings wait already, for about {seconds:.0f} s.",
                code="queue_full", retry_after=seconds,
            )  # fmt: skip
        self.waiting += 1
        came = time.monotonic()
        try:
            async with self._lock:
                if self.leaving:
                    raise Problem(503, "The recogniser is leaving.", code="leaving", retry_after=5)
                if await request.is_disconnected():  # nobody would read the answer
                    raise Problem(499, "The client has gone.", code="client_gone")
                begun = time.monotonic()
                heard = await anyio.to_thread.run_sync(hear)
                took = time.monotonic() - begun
                self._usual_seconds += (took - self._usual_seconds) / 4
                log.info(
                    "recording_heard", seconds=round(heard.seconds, 2), took=round(took, 2),
                    waited=round(begun - came, 2), language=heard.language, parts=len(heard.parts),
                )  # fmt: skip
                return heard
        finally:
            self.waiting -= 1


class Whisper:
    """The handlers over one loaded model. key: None lets everybody in."""

    def __init__(self, recogniser: Recogniser, *, model: str, key: str | None) -> None:
        self.recogniser, self.model, self._key = recogniser, model, key
        self.turns = Turns()

    def app(self) -> Starlette:
        guarded = self._guarded
        return Starlette(
            routes=[
                Route("/v1/audio/transcriptions", guarded(self.transcriptions), methods=["POST"]),
                Route("/v1/models", guarded(self.models), methods=["GET"]),
                Route("/v1/models/{name:path}", guarded(self.one_model), methods=["GET"]),
                Route("/health", self.health, methods=["GET"]),
            ],
            exception_handlers={Problem: _told, HTTPException: _not_served, Exception: _bug},
        )

    def leave(self) -> None:
        """From now on nobody is heard any more but the recording at hand, and that not for long."""
        self.turns.leaving = True
        timer = threading.Timer(LEAVING_SECONDS, self.recogniser.leaving.set)
        timer.daemon = True
        timer.start()

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            scheme, _, given = request.headers.get("authorization", "").partition(" ")
            given = given.strip() if scheme.lower() == "bearer" else ""
            if self._key and not given:
                raise Problem(401, "You didn't provide an API key: Authorization: Bearer KEY.")
            if self._key and not hmac.compare_digest(given.encode(), self._key.encode()):
                raise Problem(401, "Incorrect API key provided.", code="invalid_api_key")
            return await handler(request)

        return guarded

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "model": self.model, "recordings": self.turns.waiting})

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [_model(self.model), _model(ALIAS)]})

    async def one_model(self, request: Request) -> Response:
        self._known(request.path_params["name"])
        return JSONResponse(_model(request.path_params["name"]))

    def _known(self, model: str) -> None:
        if model not in (self.model, ALIAS):
            message = f"The model '{model}' does not exist here: {self.model}, or {ALIAS}."
            raise Problem(404, message, code="model_not_found", param="model")

    async def transcriptions(self, request: Request) -> Response:
        """POST /v1/audio/transcriptions: one recording, of whatever kind decodes."""
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise Problem(400, "Expected multipart/form-data.")
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length[:18]) > MAX_BODY_BYTES:
            raise _too_large()
        bounded = Request(request.scope, _bounded(request.receive))
        async with bounded.form(max_files=1, max_fields=40, max_part_size=1 << 20) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise Problem(400, "file: field required", param="file")
            if (file.size or 0) > MAX_UPLOAD_BYTES:
                raise _too_large()
            shape, grains, ask = self._asked(form)
            with tempfile.NamedTemporaryFile(prefix="callscribe-whisper-") as copy:
                await anyio.to_thread.run_sync(_copied, file, copy)
                heard = await self._heard(request, Path(copy.name), ask)
        return _answer(heard, shape, grains)

    async def _heard(self, request: Request, path: Path, ask: Ask) -> Heard:
        try:
            heard = await self.turns.take(
                request, lambda: self.recogniser.hear(path, ask, max_seconds=MAX_SECONDS)
            )
        except NotAudio as error:
            message = f"The audio file could not be decoded or its format is not supported: {error.message}"
            raise Problem(400, message, param="file") from None
        except Refused as error:
            raise Problem(400, error.message, param="file") from None
        except Stopped:
            raise Problem(503, "The recogniser is leaving.", code="leaving", retry_after=5) from None
        if heard.seconds < SHORTEST_SECONDS:
            message = f"Audio file is too short. Minimum audio length is {SHORTEST_SECONDS} seconds."
            raise Problem(400, message, code="audio_too_short", param="file")
        return heard

    def _asked(self, form: FormData) -> tuple[str, list[str], Ask]:
        """The fields, each checked; raises Problem that names the first that is wrong."""
        fields = {name: value.strip() for name, value in form.items() if isinstance(value, str)}
        if model := fields.get("model"):
            self._known(model)
        shape = fields.get("response_format") or "json"
        if shape not in FORMATS:
            message = f"response_format '{shape}' is not one of {', '.join(FORMATS)}."
            raise Problem(400, message, code="unsupported_value", param="response_format")
        grains = [
            str(value) for name in ("timestamp_granularities[]", "timestamp_granularities")
            for value in form.getlist(name)
        ] or ["segment"]  # fmt: skip
        if unknown := [grain for grain in grains if grain not in GRANULARITIES]:
            message = f"'{unknown[0]}' is not one of {', '.join(GRANULARITIES)}."
            raise Problem(400, message, code="unsupported_value", param="timestamp_granularities")
        language = fields.get("language") or None
        if language and language not in self.recogniser.languages:
            code = iso639(language)
            if code not in self.recogniser.languages:
                message = f"Invalid language '{language}'. Expected an ISO 639-1 code that the model knows."
                raise Problem(400, message, code="invalid_language_format", param="language")
            language = code
        return shape, grains, Ask(
            language=language,
            prompt=fields.get("prompt") or None,
            temperature=_temperature(fields.get("temperature")),
            words="word" in grains and shape == "verbose_json",
            skip_silence=fields.get("vad_filter", "").lower() in ("true", "1"),
        )  # fmt: skip


def _temperature(text: str | None) -> float | None:
    try:
        value = float(text) if text else 0.0
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise Problem(400, "temperature has to be a number from 0 to 1.", param="temperature")
    return value or None


def _copied(upload: UploadFile, copy: Any) -> None:
    upload.file.seek(0)
    shutil.copyfileobj(upload.file, copy, 1 << 20)
    copy.flush()


def _bounded(receive: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """The same messages, as long as the body stays within its limit."""
    size = 0

    async def counted() -> Any:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise _too_large()
        return message

    return counted


def _too_large() -> Problem:
    return Problem(413, f"Maximum content size limit ({MAX_UPLOAD_BYTES}) exceeded.", param="file")


def _answer(heard: Heard, shape: str, grains: list[str]) -> Response:
    if shape == "text":
        return PlainTextResponse(heard.text + "\n")
    if shape in ("srt", "vtt"):
        return PlainTextResponse(_subtitles(heard.parts, shape))
    seconds = round(heard.seconds, 2)
    body: dict[str, Any] = {"text": heard.text, "usage": {"type": "duration", "seconds": seconds}}
    if shape == "verbose_json":
        body |= {"task": "transcribe", "language": heard.language, "duration": seconds}
        if "segment" in grains:
            body["segments"] = [{"id": number, **asdict(part)} for number, part in enumerate(heard.parts)]
        if "word" in grains:
            body["words"] = [asdict(word) for word in heard.words]
    return JSONResponse(body)


def _subtitles(parts: list[Part], shape: str) -> str:
    mark, number_from = (",", 1) if shape == "srt" else (".", None)
    cues = [] if shape == "srt" else ["WEBVTT\n"]
    for number, part in enumerate(parts, 1):
        head = f"{number}\n" if number_from else ""
        text = " ".join(part.text.split()).replace("-->", "→")
        cues.append(f"{head}{cue_time(part.start, mark)} --> {cue_time(part.end, mark)}\n{text}\n")
    return "\n".join(cues)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "callscribe"}


async def _told(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return problem.response()


async def _not_served(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Problem(error.status_code, f"{request.method} {request.url.path}: {error.detail}").response()


async def _bug(request: Request, error: Exception) -> Response:
    log.error("request_failed", error=f"{type(error).__name__}: {error}", exc_info=error)
    return Problem(500, "The recogniser failed; its log says more.").response()
