"""What an api has loaded when it says that it is ready: all that requests of portals take, and no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from pipeline.settings.installation import Settings
from pipeline.web import app
from pipeline.web.console import view
from pipeline.web.later import Later
from pipeline.web.routes import ROUTES
from tests.web.conftest import PORTAL, TOKEN, audio_request, running

# an api of its own process, asked over ASGI: what it has loaded when it is ready, and what for each request
ASKED = """
import asyncio, json, sys
import httpx
tools = set(sys.modules)
from pipeline.web import app
app.WARM_AFTER_SECONDS = 3600

async def asked():
    made, told = app.create_app(), []
    async with (
        made.router.lifespan_context(made),
        httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://api") as client,
    ):
        for method, path, body in [("GET", "/ready", None), *json.load(sys.stdin)]:
            answer = await client.request(method, path, json=body)
            told.append([path, answer.status_code, sorted(set(sys.modules) - tools)])
    return told

print(json.dumps(asyncio.run(asked())))
"""
HEAVY = {"celery", "kombu", "jinja2", "sqlalchemy", "alembic", "prometheus_client", "av", "numpy"}
HEAVY |= {"pipeline.web.console.view", "pipeline.web.openapi", "pipeline.clients.transport"}


def loaded(valkey: str, folder: Path, *asked: tuple[str, str, Any]) -> list[tuple[str, int, set[str]]]:
    """Path, status and modules by then of /ready and of each request that is asked after it."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CALLSCRIBE_")} | {
        "CALLSCRIBE_REDIS_URL": valkey,
        "CALLSCRIBE_DATA_DIR": str(folder / "data"),
        "CALLSCRIBE_PORTAL_URL": PORTAL,
        "CALLSCRIBE_PORTAL_TOKEN": TOKEN,
        "CALLSCRIBE_IMAGE_MODEL": "draw-1",
        "CALLSCRIBE_PUBLIC_URL": "https://callscribe.example",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-c", ASKED], input=json.dumps(asked), env=env, cwd=folder, timeout=60,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [(path, status, set(names)) for path, status, names in json.loads(done.stdout.splitlines()[-1])]


def test_an_api_that_is_ready_has_loaded_what_portals_ask_and_no_more(valkey: str, tmp_path: Path) -> None:
    """No request of theirs waits for code of ours; libraries that their answers do not take come later."""
    requests = []
    for number, (category, prompt) in enumerate(
        [("audio", None), ("call", None), ("text", "Say hello"), ("image", {"prompt": "A cat"})]
    ):
        changes = {"prompt": prompt} if prompt else {}
        own = f"{PORTAL}/ai/callback?hash=own{number}"
        body = audio_request(category=category, callbackUrl=own, payload_provider=category, **changes)
        requests.append(("POST", f"/engines/{TOKEN}/{category}", body))
    ready, *accepted = loaded(valkey, tmp_path, *requests)
    assert ready[1] == 200
    assert not HEAVY & ready[2]
    assert [status for _, status, _ in accepted] == [202] * 4
    assert {name for name in accepted[-1][2] - ready[2] if name.partition(".")[0] == "pipeline"} == set()


def test_the_first_who_asks_for_a_page_has_it_loaded(valkey: str, tmp_path: Path) -> None:
    """Before there was time for it: the page, its error and a path that is none are answered as later."""
    pages = (("GET", "/v1/jobs"), ("GET", "/nothing"), ("PUT", "/v1/jobs"), ("GET", "/calls/"))
    ready, jobs, none, wrong, slash = loaded(valkey, tmp_path, *((*page, None) for page in pages))
    assert [each[1] for each in (ready, jobs, none, wrong, slash)] == [200, 401, 404, 405, 307]
    assert "pipeline.web.routes" not in ready[2]
    assert "pipeline.web.routes" in jobs[2]


def test_a_browser_sees_errors_as_pages_from_the_first(make_settings: Callable[..., Settings]) -> None:
    """An engine's address that is none, opened in a browser, is a page; to a machine it is JSON."""
    with running(make_settings()) as client:
        for accept, kind in (("text/html", "text/html"), ("*/*", "application/json")):
            answer = client.get(f"/engines/{TOKEN}/nothing", headers={"accept": accept})
            assert answer.status_code == 404
            assert answer.headers["content-type"].startswith(kind)


def test_routes_come_once_however_many_ask_first(make_settings: Callable[..., Settings]) -> None:
    """Requests that meet while the routes are loaded are all answered by the same ones."""
    with running(make_settings()) as client:
        before = len(client.app.routes)
        assert isinstance(client.app.router.default, Later)

        async def asked() -> list[int]:
            transport = httpx.ASGITransport(client.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as session:
                async with anyio.create_task_group() as group:
                    answers: list[int] = []

                    async def one(path: str) -> None:
                        answers.append((await session.get(path)).status_code)

                    for path in ("/v1/jobs", "/metrics", "/openapi.json", "/nothing"):
                        group.start_soon(one, path)
                return sorted(answers)

        assert client._run.call(asked) == [200, 401, 401, 404]
        assert len(client.app.routes) == before + len(ROUTES)


def test_what_cannot_be_loaded_now_is_loaded_later(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file can be opened, say: the next try brings it all."""
    tried, done = [], threading.Event()

    async def fails_once(later: Later) -> None:
        tried.append(later)
        if len(tried) == 1:
            raise OSError(24, "Too many open files")
        await load(later)

    load = Later.load
    monkeypatch.setattr(Later, "load", fails_once)
    monkeypatch.setattr(app, "WARM_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(app, "WARM_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(view, "warm", lambda service: done.set())
    with running(make_settings()) as client:
        assert done.wait(30)
        assert len(tried) == 2
        assert client.get("/v1/jobs").status_code == 401
