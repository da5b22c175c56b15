"""The description of the routes for machines in OpenAPI 3.1, as `/openapi.json`; a test holds it to them."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, get_args

from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response

from pipeline.clients.images import KINDS
from pipeline.domain.job import Category
from pipeline.run.views import JobRows, JobView, Status
from pipeline.web import ops
from pipeline.web.answers import Json
from pipeline.web.console.pages import PAGES


async def document(request: Request) -> Response:
    """GET /openapi.json."""
    return Json(described())


@cache
def described() -> dict[str, Any]:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "callscribe",
            "version": ops.our_version(),
            "description": "The AI engine that Bitrix24 portals plug in for call recordings.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            },
            "schemas": _schemas(),
        },
    }


def _paths() -> dict[str, Any]:
    token = _path("token", {"type": "string"}, "the portal's secret")
    category = _path("category", {"enum": list(Category)}, "what the engine does")
    job = _path("id", {"type": "string"}, "as in the answer that accepted the job")
    accepted = _answer("the job is durable", {"type": "object", "properties": {"result": {"const": "OK"}}})
    taken = _answer("the job is durable", _ref("Taken"))
    engine_request = {
        "required": True,
        "content": {"application/json": {"schema": _ref("EngineRequest")}},
    }
    event = {
        "required": True,
        "content": {_FORM: {"schema": {"type": "object"}}},
    }
    call = {
        "required": True,
        "content": {
            "application/json": {"schema": _ref("Call")},
            "multipart/form-data": {"schema": _ref("UploadedCall")},
        },
    }
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "description": "the same key and body give the same job; another body is a 409",
    }
    page = [
        _query("status", {"enum": list(get_args(Status))}),
        _query("portal", {"type": "string"}),
        _query("category", {"enum": list(Category)}),
        _query("limit", {"type": "integer", "minimum": 1, "maximum": 500, "default": 100}),
        _query("cursor", {"type": "string", "description": "`next` of the page before"}),
    ]
    export = _path("format", {"enum": ["txt", "srt", "vtt", "json"]}, "of the transcript")
    text = {"description": "as asked for", "content": {"text/plain": {"schema": {"type": "string"}}}}
    picture = {
        "description": "the image",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in KINDS.values()},
    }
    return {
        "/engines/{token}/{category}": {
            "parameters": [token, category],
            "get": _open(
                "checkEngine",
                "Whether this engine is served",
                {"200": _answer("it is", {"type": "object"})},
                404,
                429,
            ),
            "post": _open(
                "askEngine",
                "An engine request, as a portal sends it",
                {"202": accepted},
                400,
                404,
                408,
                413,
                429,
                503,
            )
            | {"requestBody": engine_request},
        },
        "/events/{token}": {
            "parameters": [token],
            "post": _open(
                "tellEvent",
                "An event of the portal",
                {"200": _answer("heard", {"type": "object"})},
                400,
                403,
                404,
                408,
                413,
                429,
                503,
            )
            | {"requestBody": event},
        },
        "/v1/calls": {
            "post": _keyed(
                "addCall",
                "A call from elsewhere, by link or as an upload",
                {"202": taken},
                400,
                408,
                409,
                413,
                503,
            )
            | {"parameters": [key], "requestBody": call},
        },
        "/v1/jobs": {
            "get": _keyed(
                "listJobs", "Jobs, newest first", {"200": _answer("one page", _ref("JobRows"))}, 400, 503
            )
            | {"parameters": page},
        },
        "/v1/jobs/{id}": {
            "parameters": [job],
            "get": _keyed(
                "getJob", "All about one job", {"200": _answer("the job", _ref("JobView"))}, 404, 503
            ),
            "delete": _keyed("eraseJob", "Erases the job", {"204": {"description": "erased"}}, 404, 503),
        },
        "/v1/jobs/{id}/retry": {
            "parameters": [job],
            "post": _keyed("retryJob", "Runs a failed job again", {"202": taken}, 404, 409, 503),
        },
        "/v1/jobs/{id}/transcript.{format}": {
            "parameters": [job, export],
            "get": _keyed("getTranscript", "The transcript as a file", {"200": text}, 404, 503),
        },
        "/images/{name}": {
            "parameters": [_path("name", {"type": "string"}, "as in the link that the portal was given")],
            "get": _open("getImage", "An image that is hosted for a while", {"200": picture}, 404, 503),
        },
        "/health": {
            "get": _open("getHealth", "The process answers", {"200": _answer("it does", {"type": "object"})})
        },
        "/ready": {
            "get": _open(
                "getReadiness", "It can accept jobs", {"200": _answer("it can", {"type": "object"})}, 503
            )
        },
        "/version": {"get": _open("getVersion", "The version", {"200": _answer("it", {"type": "object"})})},
        "/metrics": {"get": _keyed("getMetrics", "Metrics in Prometheus' text form", {"200": text})},
        "/openapi.json": {
            "get": _open("getOpenapi", "This document", {"200": _answer("it", {"type": "object"})})
        },
        **_lists(),
    }


def _lists() -> dict[str, Any]:
    """The console's lists as JSON and CSV; the console's filters are their parameters."""
    row = {"type": "object"}
    found = {}
    for page in (page for page in PAGES if page.rows):
        name = "".join(part.title() for part in re.findall(r"[a-z]+", page.path))
        there = {"parameters": [_path("id", {"type": "string"}, "of the job")]} if "{" in page.path else {}
        shape = {
            "type": "object",
            "additionalProperties": _or_null({"type": ["array", "string"], "items": row}),
        }
        text = {"description": "all of it", "content": {"text/csv": {"schema": {"type": "string"}}}}
        told = f"The console's page {page.path} as "
        answers = {"200": _answer("all of it" if there else "one page", row if there else shape)}
        refusals = (400, 403, 404, 503)
        found[f"{page.path}.json"] = {
            **there,
            "get": _keyed(f"read{name}", f"{told}JSON", answers, *refusals),
        }
        answers = {"200": text}
        found[f"{page.path}.csv"] = {
            **there,
            "get": _keyed(f"export{name}", f"{told}CSV", answers, *refusals),
        }
    cases = _object(["cases"], cases={"type": "array", "items": row})
    told = "Calls that people judged, as a golden set"
    answers = {"200": _answer("a file for `callscribe golden`", cases)}
    found["/quality/golden.json"] = {"get": _keyed("exportGolden", told, answers, 400, 403, 503)}
    return found


_FORM = "application/x-www-form-urlencoded"


def _open(name: str, summary: str, answers: dict[str, Any], *refusals: int) -> dict[str, Any]:
    for status in refusals:
        answers[str(status)] = _answer(_REFUSALS[status], _ref("Error"))
    return {"operationId": name, "summary": summary, "responses": answers}


def _keyed(name: str, summary: str, answers: dict[str, Any], *refusals: int) -> dict[str, Any]:
    return _open(name, summary, answers, 401, 429, *refusals) | {"security": [{"bearer": []}, {"header": []}]}


_REFUSALS = {
    400: "a field is wrong; `fields` names it",
    401: "no key, or a wrong one",
    403: "the application token is wrong, or the key's role is too low",
    404: "there is no such thing",
    408: "the body came too slowly",
    409: "this Idempotency-Key came before with another body; or the job cannot run again",
    413: "the body is too large",
    429: "too many wrong tokens or keys, or requests of `/v1`; see Retry-After",
    503: "the job cannot be kept now; see Retry-After",
}


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _path(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": description}


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _schemas() -> dict[str, Any]:
    text, whole = {"type": "string"}, {"type": "integer"}
    url = {"type": "string", "format": "uri"}
    entity = _object(["type", "id"], type=text, id=whole)
    return {
        "Error": _object(
            ["error"],
            error=_object(
                ["code", "message"],
                code=text,
                message=text,
                fields={"type": "object", "additionalProperties": text},
            ),
        ),
        "Taken": _object(["id"], id=text),
        "Call": _object(
            ["url"],
            url=url,
            entity=entity,
            language=text,
            prompt=text,
            callback_url=url,
            portal={"type": "string", "description": "which, where there are several"},
        ),
        "UploadedCall": _object(
            ["file"],
            file={"type": "string", "format": "binary"},
            entity_type=text,
            entity_id=text,
            language=text,
            prompt=text,
            callback_url=url,
            portal=text,
        ),
        "EngineRequest": {
            "type": "object",
            "required": ["prompt", "callbackUrl"],
            "properties": {
                "prompt": {
                    "anyOf": [
                        {"type": "string", "minLength": 1, "description": "text: what to answer"},
                        {
                            "type": "object",
                            "required": ["file"],
                            "properties": {"file": url, "fileExtension": _or_null(text)},
                            "description": "audio, call: the recording",
                        },
                        {
                            "type": "object",
                            "required": ["prompt"],
                            "properties": {"prompt": {"type": "string", "minLength": 1}},
                            "description": "image: what to draw",
                        },
                    ]
                },
                "callbackUrl": url,
                "errorCallbackUrl": url,
                "ttl": {
                    "anyOf": [whole, {"type": "string", "pattern": "^[0-9]{1,6}$"}, {"type": "null"}],
                    "description": "seconds; 14400 where there is none",
                },
            },
        },
        **_views(),
    }


def _views() -> dict[str, Any]:
    """The shapes of jobs, from the models that build them."""
    _, found = models_json_schema(
        [(model, "serialization") for model in (JobRows, JobView)],
        ref_template="#/components/schemas/{model}",
    )
    shapes: dict[str, Any] = found["$defs"]
    return shapes
