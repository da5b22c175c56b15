"""What the api notices while it runs: PORTALS_FILE, a disk or a memory that fills."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from pipeline.settings.installation import Settings
from pipeline.storage.blobs import FileBlobs
from pipeline.web import room, storage_watch
from tests.conftest import embedded_store
from tests.web.conftest import PORTAL, Client, audio_request, running

ONE, TWO = "1" * 30, "2" * 30


def portals(path: Path, **tokens: str) -> None:
    lines = [f'[{name}]\nurl = "{PORTAL}"\ntokens = ["{token}"]\n' for name, token in tokens.items()]
    path.write_text("".join(lines))


def becomes(client: Client, path: str, status: int) -> bool:
    for number in range(100):
        if client.get(path, client=f"198.51.100.{number}").status_code == status:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr("pipeline.settings.portals.LOOK_SECONDS", 0.02)


def test_portals_are_read_again(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    """A changed PORTALS_FILE is in force without a restart; a broken one keeps the portals before."""
    path = tmp_path / "portals.toml"
    portals(path, first=ONE)
    with running(make_settings(portals_file=path, portal_url=None, portal_token=None)) as client:
        assert client.get(f"/engines/{ONE}/audio").status_code == 200
        portals(path, first=ONE, second=TWO)
        assert becomes(client, f"/engines/{TWO}/audio", 200)
        answer = client.v1("POST", "/v1/calls", json={"url": "https://files.example/a"})
        assert list(answer.json()["error"]["fields"]) == ["portal"]
        named = {"url": "https://files.example/a", "portal": "second"}
        assert client.v1("POST", "/v1/calls", json=named).status_code == 202
        path.write_text("not toml [")
        time.sleep(0.2)
        assert client.get(f"/engines/{ONE}/audio").status_code == 200
        portals(path, second=TWO)
        assert becomes(client, f"/engines/{ONE}/audio", 404)


ENTRY = f'url = "{PORTAL}"\ntokens = ["{TWO}"]\n'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not toml [",
        f'["a b"]\n{ENTRY}'.encode(),
        f'[first]\n{ENTRY}hosts = ["https://x"]\n'.encode(),
        f'[first]\n{ENTRY}glossary = ["Привет"]\n'.encode("cp1251"),
        f'[first]\n{ENTRY}rubric = "nowhere.toml"\n'.encode(),
        None,
    ],
)
def test_a_broken_file_of_portals_changes_nothing(
    make_settings: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes | None,
) -> None:
    """Whatever is wrong with it, or if it is gone, requests are answered by the portals before."""
    path = tmp_path / "portals.toml"
    portals(path, first=ONE)
    with running(make_settings(portals_file=path, portal_url=None, portal_token=None)) as client:
        live = client.app.state.service
        before = live.portals
        path.unlink() if content is None else path.write_bytes(content)
        monkeypatch.setattr("pipeline.settings.portals.LOOK_SECONDS", 0.0)
        assert client.engine("audio", audio_request(), token=ONE).status_code == 202
        assert client.get(f"/engines/{TWO}/audio").status_code == 404
        assert live.portals is before
        portals(path, first=ONE, second=TWO)
        assert becomes(client, f"/engines/{TWO}/audio", 200)


def test_a_full_disk_refuses(make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    """With no room left a job is a 503 before it is half written, and taken again once there is room."""

    class Usage(NamedTuple):
        total: int
        used: int
        free: int

    free = [10 << 20]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10 << 30, 0, free[0]))
    with running(make_settings()) as client:
        answer = client.engine("audio", audio_request())
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
        assert "retry-after" in answer.headers
        assert client.get("/ready").status_code == 503
        free[0] = 10 << 30
        assert becomes(client, "/ready", 200)
        assert client.engine("audio", audio_request()).status_code == 202


def test_a_full_memory_refuses(make_settings: Callable[..., Settings], short_path: Path) -> None:
    """What is left of the store's memory is for jobs under way: 503 before writes fail."""
    with embedded_store(short_path) as (_, url), running(make_settings(redis_url=url)) as client:
        assert client.engine("audio", audio_request()).status_code == 202
        with redis.Redis.from_url(url) as server:
            for number in range(40):
                server.set(f"large:{number}", b"x" * (1 << 20))
            used = server.info("memory")["used_memory"]
            server.config_set("maxmemory", int(used / 0.95))
            assert becomes(client, "/ready", 503)
            answer = client.engine("audio", audio_request())
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
            assert server.set("still", "written")
            server.config_set("maxmemory", used * 10)
        assert becomes(client, "/ready", 200)


def test_a_storage_that_fails_refuses_uploads_alone(
    make_settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While audio cannot be kept, uploads and /ready are 503; a call that names a link waits."""
    monkeypatch.setattr(storage_watch, "AGAIN_SECONDS", 0.02)
    place = tmp_path / "audio"
    place.write_text("a file where a folder should be")
    with running(make_settings(storage_url=place.as_uri())) as client:
        answers = [
            client.get("/ready"),
            client.v1("POST", "/v1/calls", files={"file": b"RIFF"}),
        ]
        assert [answer.status_code for answer in answers] == [503] * 2
        assert {answer.json()["error"]["code"] for answer in answers} == {"store_unavailable"}
        assert client.engine("audio", audio_request()).status_code == 202
        assert client.v1("POST", "/v1/calls", json={"url": f"{PORTAL}/a"}).status_code == 202
        place.unlink()
        assert becomes(client, "/ready", 200)
        assert client.v1("POST", "/v1/calls", files={"file": b"RIFF"}).status_code == 202


def test_a_storage_that_hangs_holds_nothing_up(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a look hangs, calls are taken, an upload is refused at once, and the api can be closed."""
    hangs = threading.Event()
    monkeypatch.setattr(FileBlobs, "usable", lambda self: hangs.wait() and None)
    monkeypatch.setattr(room, "STORAGE_SECONDS", 0.05)
    with running(make_settings()) as client:
        assert client.engine("audio", audio_request()).status_code == 202
        assert client.v1("POST", "/v1/calls", files={"file": b"RIFF"}).status_code == 503
        assert client.get("/ready").status_code == 503
        hangs.set()
        assert becomes(client, "/ready", 200)
        hangs.clear()
