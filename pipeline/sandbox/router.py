"""The sandbox's AI router: OpenAI-compatible, with the error shapes of the VibeCode AI Router.

Recognition is real (PocketSphinx), chat is a few rules, images are plain coloured squares. See
`pipeline.sandbox.script` for how it is told to misbehave.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import time
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

import anyio
import anyio.to_process
import anyio.to_thread
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pipeline.sandbox import replies
from pipeline.sandbox.crm import CRM, ENTITY_TYPES, Unfit
from pipeline.sandbox.hearing import NotDecodable, Said, hear, seconds_of
from pipeline.sandbox.script import Rule

MAX_UPLOAD_BYTES = 25 << 20
FORMATS = ("flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "ogg", "wav", "webm")  # not opus, not oga
WHISPER = "sandbox-sphinx"
IMAGE = "sandbox-squares"
MODELS = (WHISPER, "whisper-1", "gpt-transcribe", replies.MODEL, "bitrix/bitrixgpt-5.5", IMAGE)
RATE_LIMIT = 600  # a minute; shown in headers, enforced only by scripts

Handler = Callable[[Request], Awaitable[Response]]


class Router:
    """State and handlers of the router; `routes` to mount at the root."""

    def __init__(self, *, key: str | None, crm: CRM) -> None:
        self.key = key
        self.crm = crm
        self.usage = {"requests": 0, "transcription_seconds": 0.0, "prompt_tokens": 0, "completion_tokens": 0}
        self.images: dict[str, bytes] = {}

    def routes(self) -> list[Route]:
        """The router's routes; those of OpenAI also under the legacy prefix /v1/ai."""
        raw: list[tuple[str, Handler, str]] = [
            ("/audio/transcriptions", self.transcriptions, "POST"),
            ("/chat/completions", self.chat, "POST"),
            ("/images/generations", self.generations, "POST"),
            ("/models", self.models, "GET"),
            ("/models/{model:path}", self.models, "GET"),
        ]
        routes = [Route(f"/v1{path}", self._guard(handler), methods=[m]) for path, handler, m in raw]
        routes += [
            Route(f"/v1/ai{path}", self._legacy(path, handler), methods=[m]) for path, handler, m in raw
        ]
        routes += [
            Route("/v1/ai/usage", self._guard(self.show_usage, raw=False), methods=["GET"]),
            Route("/v1/timeline-logs", self._guard(self.timeline_add, raw=False), methods=["POST"]),
            Route("/v1/timeline-logs", self._guard(self.timeline_list, raw=False), methods=["GET"]),
            Route("/v1/images/files/{name}", self.image_file, methods=["GET"]),
        ]
        return routes

    def _guard(self, handler: Handler, *, raw: bool = True) -> Handler:
        async def guarded(request: Request) -> Response:
            shape = error if raw else wrapped_error
            given = request.headers.get("x-api-key")
            bearer = request.headers.get("authorization", "")
            given = given or (bearer[7:] if bearer.lower().startswith("bearer ") else None)
            if self.key and not given:
                return shape(401, "MISSING_API_KEY", "No API key was sent.")
            if self.key and given != self.key:
                return shape(401, "INVALID_API_KEY", "The API key is not known.")
            self.usage["requests"] += 1
            response = await handler(request)
            response.headers["x-ratelimit-limit"] = str(RATE_LIMIT)
            response.headers["x-ratelimit-remaining"] = str(
                RATE_LIMIT - int(self.usage["requests"]) % RATE_LIMIT
            )
            response.headers["x-ratelimit-reset"] = str(int(time.time()) // 60 * 60 + 60)
            return response

        return guarded

    def _legacy(self, path: str, handler: Handler) -> Handler:
        guarded = self._guard(handler)

        async def old(request: Request) -> Response:
            response = await guarded(request)
            response.headers["deprecation"] = "true"
            response.headers["x-deprecated-use"] = f"/v1{path}"
            return response

        return old

    async def transcriptions(self, request: Request) -> Response:
        """POST /v1/audio/transcriptions: `file`, `model`, `language`, `prompt`, `response_format`."""
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            return error(400, "invalid_request", "Expected multipart/form-data.")
        async with request.form(max_part_size=1 << 20) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                return error(400, "no_file", "The field `file` is missing.")
            data, filename = await file.read(), file.filename or ""
            fields = {key: value for key, value in form.items() if isinstance(value, str)}
        shape = fields.get("response_format", "json")
        language = fields.get("language")
        extension = PurePath(filename).suffix.lower().lstrip(".")
        if not data:
            return error(400, "empty_file", "The file is empty.")
        if len(data) > MAX_UPLOAD_BYTES:
            return error(413, "file_too_large", f"Maximum content size limit ({MAX_UPLOAD_BYTES}) exceeded.")
        if fields.get("model", WHISPER) not in MODELS:
            return error(404, "ai_model_not_found", f"There is no model {fields['model']}.")
        if language is not None and not (len(language) == 2 and language.isascii() and language.islower()):
            return error(400, "invalid_language", "Expected an ISO 639-1 code in `language`.")
        if extension not in FORMATS:
            known = ", ".join(FORMATS)
            return error(400, "invalid_request", f"Unrecognized file format. Supported formats: {known}")
        if shape not in ("json", "text", "verbose_json"):
            return error(400, "invalid_request", f"response_format {shape} is not supported.")
        try:
            seconds, said = await self._hear(data, request.scope.get("rule"))
        except NotDecodable:
            return error(400, "invalid_request", "Audio file might be corrupted or unsupported.")
        except ModuleNotFoundError as missing:
            return error(503, "model_unavailable", f"{missing}: install callscribe[sandbox].")
        request.scope["ledger"]["seconds"] = round(seconds, 3)
        self.usage["transcription_seconds"] += seconds
        text = " ".join(part.text for part in said)
        if shape == "text":
            return PlainTextResponse(text + "\n")
        usage = {"type": "duration", "seconds": max(1, round(seconds))}
        if shape == "json":
            return JSONResponse({"text": text, "usage": usage})
        return JSONResponse(
            {
                "task": "transcribe",
                "language": "english" if (language or "en") == "en" else language,
                "duration": round(seconds, 2),
                "text": text,
                "segments": [_segment(number, part) for number, part in enumerate(said)],
                "usage": usage,
            }
        )

    async def _hear(self, data: bytes, rule: Rule | None) -> tuple[float, list[Said]]:
        if rule and (rule.text is not None or rule.segments is not None):
            seconds = await anyio.to_thread.run_sync(seconds_of, data)
            if rule.segments is not None:
                return seconds, [Said(start=s["start"], end=s["end"], text=s["text"]) for s in rule.segments]
            return seconds, [
                Said(start=0.0, end=round(seconds, 2), text=rule.text or "")
            ] if rule.text else []
        if rule and rule.recognition == "pauses":
            return await anyio.to_thread.run_sync(hear, data, "pauses")
        return await anyio.to_process.run_sync(hear, data)

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions: `messages`, `model`, `response_format`, `max_tokens`."""
        body = await _object(request)
        messages = body.get("messages") if body else None
        if not body or not isinstance(messages, list) or not messages:
            return error(400, "invalid_request", "The field `messages` has to be a list that is not empty.")
        if body.get("model", replies.MODEL) not in MODELS:
            return error(404, "ai_model_not_found", f"There is no model {body['model']}.")
        rule: Rule | None = request.scope.get("rule")
        scripted = rule.text if rule and rule.text is not None else None
        text = scripted if scripted is not None else replies.reply(messages, body.get("response_format"))
        counted = {
            "prompt_tokens": sum(replies.tokens(str(m.get("content", ""))) for m in messages),
            "completion_tokens": replies.tokens(text),
        }
        for name, number in counted.items():
            self.usage[name] += number
        usage = {**counted, "total_tokens": sum(counted.values())}
        head = {
            "id": f"chatcmpl-{int(self.usage['requests'])}",
            "created": int(time.time()),
            "model": replies.MODEL,
        }
        if body.get("stream"):
            options = body.get("stream_options")
            wants_usage = isinstance(options, dict) and options.get("include_usage")
            return Response(
                _stream(head, text, usage if wants_usage else None), media_type="text/event-stream"
            )
        message = {"role": "assistant", "content": text}
        return JSONResponse(
            {
                **head,
                "object": "chat.completion",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": usage,
            }
        )

    async def generations(self, request: Request) -> Response:
        """POST /v1/images/generations: `prompt`, `n`, `size`; links to squares coloured by the prompt."""
        body = await _object(request)
        prompt = body.get("prompt") if body else None
        if not body or not isinstance(prompt, str) or not prompt.strip():
            return error(400, "invalid_request", "The field `prompt` is missing.")
        size, number = str(body.get("size") or "1024x1024"), body.get("n") or 1
        width, _, height = size.partition("x")
        if not (width.isdigit() and height.isdigit() and 16 <= int(width) <= 2048 >= int(height) >= 16):
            return error(400, "invalid_request", f"The size {size} is not supported.")
        if not isinstance(number, int) or not 1 <= number <= 10:
            return error(400, "invalid_request", "`n` has to be between 1 and 10.")
        data = []
        for index in range(number):
            digest = hashlib.sha256(f"{prompt} {size} {index}".encode()).digest()
            name = f"{digest.hex()[:24]}.png"
            self.images[name] = square(int(width), int(height), digest[:3])
            data.append({"url": str(request.base_url) + f"v1/images/files/{name}"})
        return JSONResponse({"created": int(time.time()), "data": data})

    async def image_file(self, request: Request) -> Response:
        content = self.images.get(request.path_params["name"])
        return Response(content, media_type="image/png") if content else Response(status_code=404)

    async def models(self, request: Request) -> Response:
        """GET /v1/models, and /v1/models/{id}: an id may hold a slash."""
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "sandbox"} for name in MODELS]
        if (wanted := request.path_params.get("model")) is None:
            return JSONResponse({"object": "list", "data": listed})
        found = next((model for model in listed if model["id"] == wanted), None)
        return (
            JSONResponse(found) if found else error(404, "ai_model_not_found", f"There is no model {wanted}.")
        )

    async def show_usage(self, request: Request) -> Response:
        days = request.query_params.get("days", "7")
        return JSONResponse({"success": True, "data": {"days": days, **self.usage}})

    async def timeline_add(self, request: Request) -> Response:
        """POST /v1/timeline-logs: `entityType` or `entityTypeId`, `entityId`, `title`, `text`."""
        body = await _object(request) or {}
        kind, number = body.get("entityType"), body.get("entityTypeId")
        if kind is None and isinstance(number, int):
            kind = next((name for name, known in ENTITY_TYPES.items() if known == number), None)
        if kind not in ENTITY_TYPES or not str(body.get("entityId", "")).isdigit():
            return wrapped_error(
                400, "VALIDATION_ERROR", "entityType or entityTypeId, and entityId, are required."
            )
        try:
            entry = self.crm.log(
                ENTITY_TYPES[kind],
                int(body["entityId"]),
                str(body.get("title") or ""),
                str(body.get("text") or ""),
            )
        except Unfit as problem:
            return wrapped_error(404, "ENTITY_NOT_FOUND", problem.description)
        return JSONResponse({"success": True, "data": entry}, status_code=201)

    async def timeline_list(self, request: Request) -> Response:
        """GET /v1/timeline-logs?entityTypeId=2&entityId=7: newest first."""
        kind, number = request.query_params.get("entityTypeId", ""), request.query_params.get("entityId", "")
        if not kind.isdigit() or not number.isdigit():
            return wrapped_error(400, "VALIDATION_ERROR", "entityTypeId and entityId are required.")
        entries = self.crm.logs(int(kind), int(number))
        return JSONResponse({"success": True, "data": entries, "total": len(entries)})


def _stream(head: dict[str, Any], text: str, usage: dict[str, int] | None) -> str:
    """A chat answer as events, a few words each; the usage last, where it is asked for."""
    words = re.findall(r"\S+\s*|\s+", text)
    pieces: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    pieces += [{"content": "".join(words[at : at + 4])} for at in range(0, len(words), 4)]
    choices: list[Any] = [[{"index": 0, "delta": piece, "finish_reason": None}] for piece in pieces]
    choices.append([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    events: list[dict[str, Any]] = [{"choices": choice} for choice in choices]
    if usage is not None:
        events = [*({**event, "usage": None} for event in events), {"choices": [], "usage": usage}]
    lines = [json.dumps({**head, "object": "chat.completion.chunk", **event}) for event in events]
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"])


async def _object(request: Request) -> dict[str, Any] | None:
    try:
        body = await request.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def error(status: int, code: str, message: str) -> Response:
    """The error shape of OpenAI: chat, models, transcriptions, images."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return JSONResponse({"error": {"message": message, "type": kind, "code": code}}, status_code=status)


def wrapped_error(status: int, code: str, message: str) -> Response:
    """The error shape of VibeCode's own routes."""
    return JSONResponse({"success": False, "error": {"code": code, "message": message}}, status_code=status)


def _segment(number: int, part: Said) -> dict[str, Any]:
    raw = part.text.encode()
    return {
        "id": number,
        "seek": 0,
        **asdict(part),
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": -0.25,
        "compression_ratio": round(len(raw) / len(zlib.compress(raw)), 3) if raw else 0.0,
        "no_speech_prob": 0.01,
    }


def square(width: int, height: int, rgb: bytes) -> bytes:
    """A PNG of one colour."""

    def piece(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + rgb * width) * height, 9)
    return b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", head) + piece(b"IDAT", rows) + piece(b"IEND", b"")
