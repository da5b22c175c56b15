"""The engine's address."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from pipeline.domain.job import JobId, Source
from pipeline.domain.kinds import UPSTREAM
from pipeline.settings.installation import Settings
from pipeline.store import Store, job_id
from tests.web.conftest import PORTAL, TOKEN, Client, audio_request, running


def test_get_is_200_for_what_is_served(client: Client) -> None:
    """A known token and a served category answer exactly 200."""
    for category in ("audio", "call", "text"):
        assert client.get(f"/engines/{TOKEN}/{category}").status_code == 200


@pytest.mark.parametrize(
    "path", [f"/engines/{'x' * 30}/audio", f"/engines/{TOKEN}/image", f"/engines/{TOKEN}/vision"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_is_404(client: Client, path: str, method: str) -> None:
    """A wrong token and a category that is not served are 404, in our shape of errors."""
    answer = client.send(method, path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_a_request_is_durable_when_it_is_accepted(client: Client, store: Store) -> None:
    """202 {"result": "OK"} comes with a record that holds what was asked for, and a due fetch."""
    answer = client.engine("audio", audio_request(ttl="3600"))
    assert (answer.status_code, answer.json()) == (202, {"result": "OK"})
    job = store.load(job_id("portal", "h1"))
    assert job.source is Source.ENGINE
    assert job.request.file_url == f"{PORTAL}/download/1?token=secret-link"
    assert job.ttl == pytest.approx(3600)
    claim = store.claim(UPSTREAM, "test", lease_seconds=5)
    assert claim is not None
    assert (claim.job, claim.step) == (job.id, "fetch")


def test_the_same_request_again_is_the_same_job(client: Client, store: Store) -> None:
    """The callback's hash makes it the same job: 202 again, and still one record."""
    for _ in range(3):
        assert client.engine("audio", audio_request()).status_code == 202
    assert len(store.page()) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"prompt": "text"}, "prompt"),
        ({"prompt": {"file": "ftp://x/y"}}, "prompt.file"),
        ({"callbackUrl": None}, "callbackUrl"),
        ({"callbackUrl": "https://evil.example/?hash=1"}, "callbackUrl"),
        ({"callbackUrl": "http://portal.example/?hash=1"}, "callbackUrl"),
        ({"errorCallbackUrl": "https://evil.example/?hash=1"}, "errorCallbackUrl"),
        ({"category": "text"}, "category"),
        ({"callbackUrl": "soon"}, "callbackUrl"),
    ],
)
def test_what_can_never_be_served_is_a_400(
    client: Client, store: Store, changes: dict[str, Any], field: str
) -> None:
    """A request that can never be served is refused with the field's name, and leaves no record."""
    answer = client.engine("audio", audio_request(**changes))
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == [field]
    assert "evil" not in answer.text
    assert store.page() == []


def test_hosts_of_callbacks(make_settings: Callable[..., Settings]) -> None:
    """A trusted host takes callbacks, also by plain http; without PORTAL_URL only such a host does."""
    with running(make_settings(portal_url=None, trusted_hosts=("127.0.0.1",))) as client:
        trusted = audio_request(callbackUrl="http://127.0.0.1:8080/cb?hash=1", errorCallbackUrl=None)
        assert client.engine("audio", trusted).status_code == 202
        refused = client.engine("audio", audio_request())
        assert refused.status_code == 400
        assert "CALLSCRIBE_PORTAL_URL" in refused.json()["error"]["message"]


def test_too_large_is_413(make_settings: Callable[..., Settings]) -> None:
    """A body beyond MAX_REQUEST_BYTES is refused, with and without an announced length."""
    with running(make_settings(max_request_bytes=2000)) as client:
        assert client.engine("text", b"x" * 2001).status_code == 413

        async def parts() -> AsyncIterator[bytes]:
            for _ in range(30):
                yield b"x" * 100

        answer = client.post(f"/engines/{TOKEN}/text", content=parts())
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "too_large"


def test_a_full_queue_is_503(make_settings: Callable[..., Settings]) -> None:
    """Beyond the portal's QUEUE_LIMIT: 503 with Retry-After; what is known already stays 202."""
    with running(make_settings(queue_limit=1)) as client:
        assert client.engine("audio", audio_request()).status_code == 202
        other = audio_request(callbackUrl=f"{PORTAL}/ai/callback?hash=h2")
        answer = client.engine("audio", other)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["error"]["code"] == "queue_full"
        assert client.engine("audio", audio_request()).status_code == 202


def test_text_and_images(make_settings: Callable[..., Settings], store: Store) -> None:
    """Text needs a prompt; images are served where an image model is named."""
    with running(make_settings(image_model="draw-1")) as client:
        text = audio_request(category="text", prompt="Say hello")
        assert client.engine("text", text).status_code == 202
        image = audio_request(
            category="image", prompt={"prompt": "A cat"}, callbackUrl=f"{PORTAL}/ai/callback?hash=h3"
        )
        assert client.engine("image", image).status_code == 202
    assert store.load(JobId(job_id("portal", "h3"))).request.prompt == "A cat"
