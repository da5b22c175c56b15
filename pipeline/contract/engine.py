"""The engine request, as portals send it.

https://apidocs.bitrix24.com/api-reference/ai/ai-engine-register.html, and the portal's own source
where the two disagree: it is the client that calls us.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pipeline.contract import php
from pipeline.domain.errors import BadRequest
from pipeline.domain.job import Category, Message, Request
from pipeline.domain.languages import iso639

DEFAULT_TTL_SECONDS = 14400
MAX_TTL_SECONDS = 86400
MAX_IMAGES = 10
_HASH = re.compile(r"[?&]hash=([A-Za-z0-9_.~-]{1,128})(?=[&#]|$)")
_ROLES = {"system", "user", "assistant"}
_FORMATS = {"square", "portrait", "landscape"}


@dataclass(frozen=True, kw_only=True)
class EngineRequest:
    """An engine request, read.

    ttl_seconds: how long the portal takes an answer, 1..86400.
    key: what makes it the same job when it comes again: the callback's `hash`, else the sha256 of the
    callback URL, hex.
    """

    category: Category
    request: Request
    ttl_seconds: int
    key: str


def read_engine_request(body: bytes | dict[str, Any], category: Category | str) -> EngineRequest:
    """Reads what a portal POSTs to the engine of `category` (the URL's).

    Raises BadRequest naming the field, for what can never be served: no JSON object, another category
    in the body, no recording or prompt, callback URLs that are no http(s) URLs.
    """
    category = Category(category)
    # `payload_prompt_text` is not read on purpose: it is the raw template, never meant for a model; nor is
    # `auth`, since what is not read cannot leak
    sent = (php.read_json(body) if isinstance(body, bytes) else body).get
    named = php.filled(sent("category"))
    if named is not None and named.strip().lower() != category:
        raise BadRequest(f"category: this URL is the {category} engine's", field="category")
    callback_url = php.http_url(sent("callbackUrl"), field="callbackUrl")
    error_callback_url = None
    if sent("errorCallbackUrl") not in (None, "", []):
        error_callback_url = php.http_url(sent("errorCallbackUrl"), field="errorCallbackUrl")
    markers = _markers(sent("payload_markers"))
    raw = php.filled(sent("payload_raw"))
    tokens = php.optional_whole(sent("max_tokens"), field="max_tokens")
    temperature = php.optional_number(sent("temperature"), field="temperature")
    ttl = php.optional_whole(sent("ttl"), field="ttl")
    request = Request(
        **_prompt(category, sent("prompt")),
        role=php.filled(sent("payload_role")),
        context=_context(sent("context")) if php.flag(sent("collect_context")) else (),
        language=_language(markers),
        max_tokens=tokens if tokens and tokens > 0 else None,
        temperature=None if temperature is None else min(max(temperature, 0.0), 2.0),
        payload_provider=php.filled(sent("payload_provider")),
        payload_raw=raw,
        # the data of CRM's own text steps; nothing else is ever read of them, so nothing else is kept
        markers=php.mapping(markers) if raw and category is Category.TEXT else {},
        callback_url=callback_url,
        error_callback_url=error_callback_url,
    )
    return EngineRequest(
        category=category,
        request=request,
        ttl_seconds=DEFAULT_TTL_SECONDS if ttl is None else min(max(ttl, 1), MAX_TTL_SECONDS),
        key=callback_key(callback_url),
    )


def callback_key(url: str) -> str:
    """The idempotency key of a job: its callback's `hash`, else the sha256 of the whole URL, hex."""
    found = _HASH.search(url)
    return found[1] if found else hashlib.sha256(url.encode()).hexdigest()


def _prompt(category: Category, prompt: Any) -> dict[str, Any]:
    if category.spoken:
        return _recording(prompt)
    if category is Category.IMAGE:
        return _image(prompt)
    wanted = php.filled(prompt)
    if wanted is None:
        raise BadRequest("prompt: expected a text", field="prompt")
    return {"prompt": wanted}


def _recording(prompt: Any) -> dict[str, Any]:
    if not isinstance(prompt, dict):
        raise BadRequest("prompt: expected an object with `file`", field="prompt")
    fields = php.mapping(prompt.get("fields"))
    return {
        "file_url": php.http_url(prompt.get("file"), field="prompt.file"),
        "prompt": php.filled(fields.get("prompt")),
    }


def _image(prompt: Any) -> dict[str, Any]:
    if isinstance(prompt, str):
        prompt = {"prompt": prompt}
    if not isinstance(prompt, dict):
        raise BadRequest("prompt: expected an object with `prompt`", field="prompt")
    wanted = php.filled(prompt.get("prompt"))
    if wanted is None:
        raise BadRequest("prompt.prompt: expected a text", field="prompt.prompt")
    shape = (php.filled(prompt.get("format")) or "").strip().lower()
    count = php.optional_whole(prompt.get("images_number"), field="prompt.images_number")
    return {
        "prompt": wanted,
        "image_format": shape if shape in _FORMATS else None,
        "image_style": php.filled(prompt.get("style")),
        "images_number": min(max(count or 1, 1), MAX_IMAGES),
    }


def _context(value: Any) -> tuple[Message, ...]:
    messages = []
    for item in php.items(value):
        turn = php.mapping(item)
        content = turn.get("content")
        if isinstance(content, list):  # parts, as newer chat requests have them
            content = "\n".join(part for p in content if (part := php.filled(php.mapping(p).get("text"))))
        said = php.filled(content)
        role = (php.filled(turn.get("role")) or "").strip().lower()
        if said is not None:
            messages.append(Message(role=role if role in _ROLES else "user", content=said))
    return tuple(messages)


def _markers(value: Any) -> dict[str, Any]:
    """The markers, also where they come as JSON in a string; PHP's `[]` is none."""
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        with suppress(BadRequest):
            return php.read_json(value.encode("utf-8", "replace"))
    return value if isinstance(value, dict) else {}


def _language(markers: dict[str, Any]) -> str | None:
    name = php.filled(markers.get("language"))
    return iso639(name) if name else None
