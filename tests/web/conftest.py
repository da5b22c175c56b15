"""The api over a real store, and a client that speaks ASGI to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import httpx
import pytest
from starlette.applications import Starlette

from pipeline.settings.installation import Settings
from pipeline.store import Store
from pipeline.web.app import create_app

TOKEN = "t" * 10 + "-engine_token-0123456789"
API_KEY = "api-key-0123456789abcdef"
PORTAL = "https://portal.example"
APPLICATION_TOKEN = "application-token-0123456789"
WEBHOOK = "https://portal.example/rest/1/webhooksecret123/"


class Client:
    """Speaks to the app from a plain test; the app's loop runs in a thread of its own."""

    def __init__(self, app: Starlette, run: anyio.from_thread.BlockingPortal) -> None:
        self.app = app
        self._run = run

    def send(self, method: str, path: str, *, client: str = "192.0.2.1", **kwargs: Any) -> httpx.Response:
        """One request, from the address `client`."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(client, 1234))
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as session:
                return await session.request(method, path, **kwargs)

        return self._run.call(ask)

    def get(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.send("GET", path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.send("POST", path, **kwargs)

    def v1(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """With the API key."""
        headers = {"X-Api-Key": API_KEY, **kwargs.pop("headers", {})}
        return self.send(method, path, headers=headers, **kwargs)

    def engine(self, category: str, body: Any, *, token: str = TOKEN, **kwargs: Any) -> httpx.Response:
        """An engine request."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.post(f"/engines/{token}/{category}", content=content, **kwargs)


@pytest.fixture
def make_settings(valkey: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Settings of one portal over the tests' store; keyword arguments change them."""
    monkeypatch.chdir(tmp_path)  # no .env of whoever runs the tests

    def make(**changes: Any) -> Settings:
        known = {
            "redis_url": valkey,
            "data_dir": tmp_path / "var",
            "portal_url": PORTAL,
            "portal_token": TOKEN,
            "api_key": API_KEY,
        }
        return Settings(**(known | changes))

    return make


@contextmanager
def running(settings: Settings) -> Iterator[Client]:
    """The app, opened, with a client."""
    app = create_app(settings)
    with (
        anyio.from_thread.start_blocking_portal() as run,
        run.wrap_async_context_manager(app.router.lifespan_context(app)),
    ):
        yield Client(app, run)


@pytest.fixture
def client(make_settings: Callable[..., Settings]) -> Iterator[Client]:
    """The app over the usual settings."""
    with running(make_settings()) as opened:
        yield opened


@pytest.fixture
def hearing(make_settings: Callable[..., Settings]) -> Iterator[Client]:
    """An app whose portal sends events."""
    changes = {"portal_application_token": APPLICATION_TOKEN, "bitrix24_webhook": WEBHOOK}
    with running(make_settings(**changes)) as client:
        yield client


@pytest.fixture
def store(valkey: str) -> Iterator[Store]:
    """The store, to look what came of it."""
    opened = Store(valkey)
    yield opened
    opened.close()


def audio_request(**changes: Any) -> dict[str, Any]:
    """An engine request for a recording, as a portal sends it."""
    return {
        "prompt": {"file": f"{PORTAL}/download/1?token=secret-link", "fields": [], "fileExtension": "mp3"},
        "payload_raw": "",
        "payload_provider": "audio",
        "payload_markers": [],
        "context": [],
        "auth": [],
        "category": "audio",
        "ttl": 14400,
        "callbackUrl": f"{PORTAL}/ai/callback?hash=h1&rid=2",
        "errorCallbackUrl": f"{PORTAL}/ai/error?hash=h1&rid=2",
        **changes,
    }
