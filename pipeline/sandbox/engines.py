"""`ai.engine.register`, `.list`, `.unregister`: the engines that the sandbox portal knows."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx

from pipeline.sandbox.crm import Unfit
from pipeline.sandbox.listing import matches

CATEGORIES = ("text", "image", "audio", "call")
DEFAULTS = {"code_alias": "ChatGPT", "model_context_type": "token", "model_context_limit": 15666}
CHECK_SECONDS = 5.0


class Engines:
    """State and methods; `boxed` portals have no such REST."""

    def __init__(
        self, *, boxed: bool = False, answers: Callable[[str], Awaitable[bool]] | None = None
    ) -> None:
        """answers: whether a completions URL answers as it has to; by default it is asked."""
        self.boxed = boxed
        self._answers = answers or _answers
        self.registered: list[dict[str, Any]] = []

    def url(self, category: str) -> str | None:
        """Where requests of a category go: the engine registered last."""
        urls = [engine["completions_url"] for engine in self.registered if engine["category"] == category]
        return urls[-1] if urls else None

    async def call(self, method: str, params: Mapping[str, Any]) -> Any:
        """The result of one `ai.engine.*` method; raises Unfit."""
        if not self.boxed:
            match method:
                case "ai.engine.register":
                    return await self._register(params)
                case "ai.engine.list":
                    return self._list(params)
                case "ai.engine.unregister":
                    return self._unregister(params)
        raise Unfit("ERROR_METHOD_NOT_FOUND", "Method not found!", 404)

    async def _register(self, params: Mapping[str, Any]) -> int:
        prefix = "ENGINE_REGISTER_ERROR"
        name, code = params.get("name"), params.get("code")
        category, url = params.get("category"), params.get("completions_url")
        settings = params.get("settings") or {}
        if not isinstance(name, str) or not name:
            raise Unfit(f"{prefix}_NAME", "The key `name` with a string value is required.")
        if not isinstance(code, str) or not code:
            raise Unfit(f"{prefix}_CODE", "The key `code` with a string value is required.")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", code):
            raise Unfit(f"{prefix}_CODE_FORMAT", "The key `code` may contain only `A-Za-z0-9-_`.")
        if not category:
            raise Unfit(f"{prefix}_CATEGORY", "The key `category` is required.")
        if category not in CATEGORIES:
            allowed = ", ".join(CATEGORIES)
            raise Unfit(f"{prefix}_CATEGORY_FORMAT", f"The key `category` has to be one of: {allowed}.")
        if any(engine["code"] == code for engine in self.registered):
            raise Unfit(f"{prefix}_CODE_UNIQUE", "A record with this `code` already exists.")
        if not isinstance(url, str) or not url:
            raise Unfit(f"{prefix}_COMPLETIONS_URL", "The key `completions_url` is required.")
        if not await self._answers(url):
            raise Unfit(
                f"{prefix}_COMPLETIONS_URL_FAIL",
                "The value of `completions_url` has to be a valid URL that answers with status 200.",
            )
        if not isinstance(settings, Mapping):
            raise Unfit(f"{prefix}_SETTINGS_FORMAT", "The value of `settings` has to be an array.")
        number = max((engine["id"] for engine in self.registered), default=0) + 1
        self.registered.append(
            {
                "id": number,
                "app_code": None,
                "name": name,
                "code": code,
                "category": category,
                "completions_url": url,
                "settings": {**DEFAULTS, **settings},
                "date_create": int(time.time()),
            }
        )
        return number

    def _list(self, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        conditions = params.get("filter") or {}
        limit = int(params.get("limit") or 0) or None
        found = [
            engine
            for engine in self.registered
            if matches({key.upper(): value for key, value in engine.items()}, conditions)
        ]
        return found[:limit]

    def _unregister(self, params: Mapping[str, Any]) -> bool:
        code = params.get("code")
        if not code:
            raise Unfit("ENGINE_UNREGISTER_ERROR_CODE", "The key `code` is required.")
        known = len(self.registered)
        self.registered = [engine for engine in self.registered if engine["code"] != code]
        return len(self.registered) < known


@cache
def tls() -> ssl.SSLContext:
    """One context for all: a client of its own would read the authorities for 60 ms each time."""
    return httpx.create_ssl_context()


async def _answers(url: str) -> bool:
    """Whether a GET answers with exactly 200."""
    if urlsplit(url).scheme not in ("http", "https"):
        return False
    try:
        async with httpx.AsyncClient(timeout=CHECK_SECONDS, trust_env=False, verify=tls()) as client:
            return (await client.get(url)).status_code == 200
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
