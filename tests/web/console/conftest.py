"""The console over a real store and a real archive, and people who are signed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from pipeline.archive.archive import Archive
from pipeline.settings.installation import Settings
from tests.web.conftest import API_KEY, Client, running

REVIEW_KEY = "review-key-0123456789abcdef"
READ_KEY = "read-key-0123456789abcdef"
HTML = {"Accept": "text/html,application/xhtml+xml"}


class Browser:
    """A session of somebody, whose cookies it keeps."""

    def __init__(self, client: Client, key: str, *, name: str = "Olga", language: str = "en") -> None:
        self._client = client
        signed = client.post("/sign-in", data={"key": key, "name": name})
        assert signed.status_code == 303, signed.text
        self.headers = {
            **HTML,
            "Cookie": signed.headers["set-cookie"].partition(";")[0],
            "Accept-Language": language,
        }

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self._client.get(path, headers=self.headers | headers)

    def post(self, path: str, page: str, **fields: Any) -> httpx.Response:
        """Sends a form of `page`, with the token that stands there."""
        _, _, rest = self.get(page).text.partition('name="token" value="')
        token = rest.partition('"')[0]
        return self._client.post(path, data={"token": token, **fields}, headers=self.headers)


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    """Settings with a key for each role."""
    return make_settings(review_key=REVIEW_KEY, read_key=READ_KEY)


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    """The app with the console."""
    with running(settings) as opened:
        yield opened


@pytest.fixture
def archive(client: Client) -> Archive:
    """The archive that the console shows."""
    found: Archive = client.app.state.service.tools.archive
    return found


@pytest.fixture
def reader(client: Client) -> Browser:
    """Somebody with READ_KEY."""
    return Browser(client, READ_KEY)


@pytest.fixture
def reviewer(client: Client) -> Browser:
    """Somebody with REVIEW_KEY."""
    return Browser(client, REVIEW_KEY)


@pytest.fixture
def operator(client: Client) -> Browser:
    """Somebody with API_KEY."""
    return Browser(client, API_KEY)
