"""What operators ask, and who may."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import httpx
import pytest

from pipeline.settings.installation import Settings
from pipeline.web import auth
from pipeline.web.app import FIRST
from pipeline.web.openapi import described
from pipeline.web.routes import API, ROUTES
from tests.web.conftest import API_KEY, PORTAL, Client, audio_request, running

EVERY = [*FIRST, *ROUTES]
OPEN = {"/health", "/ready", "/version", "/openapi.json"}
OPEN |= {"/sign-in", "/sign-out"}  # a form's way to show the key, and to forget it
OPEN |= {"/static/{name}"}  # the style sheet and the script, which tell of nobody
# the address itself is the secret
SECRET = {"/engines/{token}/{category}", "/events/{token}", "/images/{name}"}


def test_open_answers(client: Client) -> None:
    """/health, /ready and /version answer anybody, and say nothing of any job."""
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready"}
    assert set(client.get("/version").json()) == {"name", "version"}


def test_nothing_else_is_open(client: Client) -> None:
    """Every other route is 401 without the key, whatever its method."""
    for path in {route.path for route in EVERY} - OPEN - SECRET:
        for route in EVERY:
            if route.path != path:
                continue
            for method in route.methods or ():
                there = path.replace("{id}", "job_x").replace("{format}", "txt").replace("{name}", "x")
                answer = client.send(method, there, client=f"192.0.2.{crc32((path + method).encode()) % 250}")
                assert answer.status_code == 401, (method, path)


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": f"Bearer {API_KEY}"}, {"Authorization": f"bearer  {API_KEY}"}, {"X-Api-Key": API_KEY}],
)
def test_the_key_by_either_header(client: Client, headers: dict[str, str]) -> None:
    """Bearer or X-Api-Key."""
    assert client.get("/v1/jobs", headers=headers).status_code == 200


def test_wrong_methods_and_pages(client: Client) -> None:
    """404 and 405 have our shape of errors too."""
    assert client.get("/nothing").json()["error"]["code"] == "not_found"
    answer = client.send("PUT", "/v1/jobs")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert client.send("PUT", "/v1/jobs/job_x").headers["allow"] == "DELETE, GET, HEAD"


def sign_in(client: Client, key: str, **kwargs: Any) -> httpx.Response:
    return client.post("/sign-in", data={"key": key}, **kwargs)


def test_a_browser_signs_in_by_a_form(client: Client) -> None:
    """The form's key opens a session; its cookie is not the key and is good for reading only."""
    client.engine("audio", audio_request())
    form = client.get("/", headers={"Accept": "text/html"})
    assert form.status_code == 401
    assert 'name="key"' in form.text
    signed = sign_in(client, API_KEY)
    assert (signed.status_code, signed.headers["location"]) == (303, "/calls")
    cookie = signed.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert API_KEY not in cookie
    session = {"Cookie": cookie.partition(";")[0]}
    assert client.get("/", headers=session).headers["location"] == "/calls"
    page = client.get("/jobs", headers=session)
    assert page.status_code == 200
    assert "job_" in page.text
    assert client.get("/v1/jobs", headers=session).status_code == 200
    assert client.post("/v1/calls", json={}, headers=session).status_code == 401
    assert sign_in(client, "wrong").status_code == 401
    assert client.get(f"/?key={API_KEY}").status_code == 401, "a key in a URL opens nothing"


def test_a_session_can_be_ended(client: Client) -> None:
    """After POST /sign-out its cookie opens nothing, wherever it is; other sessions go on."""
    first, second = (
        {"Cookie": sign_in(client, API_KEY).headers["set-cookie"].partition(";")[0]} for _ in range(2)
    )
    assert client.post("/sign-out", headers=first).status_code == 303
    assert client.get("/v1/jobs", headers=first).status_code == 401
    assert client.get("/v1/jobs", headers=second).status_code == 200
    assert client.post("/sign-out").status_code == 303


def test_a_changed_key_ends_all_sessions(make_settings: Callable[..., Settings]) -> None:
    """What one key has opened another does not keep open."""
    with running(make_settings()) as client:
        session = {"Cookie": sign_in(client, API_KEY).headers["set-cookie"].partition(";")[0]}
        assert client.get("/v1/jobs", headers=session).status_code == 200
    with running(make_settings(api_key="another-key-0123456789abc")) as client:
        assert client.get("/v1/jobs", headers=session).status_code == 401


def test_forwarded_addresses_count_from_trusted_proxies_alone(make_settings: Callable[..., Settings]) -> None:
    """Without TRUSTED_PROXIES X-Forwarded-For says nothing; a proxy that is named tells its client."""

    def tries(client: Client, proxy: str) -> int:
        """How many of forty tries with wrong keys, each for another client, are stopped."""
        answers = [
            client.get("/v1/jobs", client=proxy, headers={"X-Forwarded-For": f"198.51.100.{number}"})
            for number in range(40)
        ]
        return [answer.status_code for answer in answers].count(429)

    with running(make_settings()) as client:
        assert tries(client, "127.0.0.1") >= 15
    with running(make_settings(trusted_proxies=("10.0.0.0/8",))) as client:
        assert tries(client, "10.1.2.3") == 0
        assert tries(client, "192.0.2.7") >= 15


def test_the_document_describes_the_routes() -> None:
    """/openapi.json names each route for machines and its methods, the console's lists as data among them."""
    methods = ("get", "post", "delete", "put", "patch")
    told = {(path, m.upper()) for path, item in described()["paths"].items() for m in item if m in methods}
    machines = [route for route in EVERY if route in (*FIRST, *API) or route.path.endswith((".json", ".csv"))]
    real = {(route.path, m) for route in machines for m in route.methods or () if m != "HEAD"}
    assert told == real


def test_who_tries_too_often_must_wait(client: Client) -> None:
    """Wrong tokens and wrong keys end in 429 with Retry-After for their sender, and for nobody else."""
    for path in (f"/engines/{'x' * 30}/audio", "/v1/jobs"):
        statuses = [client.get(path, client="198.51.100.7").status_code for _ in range(40)]
        assert statuses.count(429) >= 15
        assert int(client.get(path, client="198.51.100.7").headers["retry-after"]) >= 1
        assert client.get(path, client="198.51.100.8").status_code in (401, 404)


def test_valid_engine_requests_are_never_limited(client: Client) -> None:
    """Not even from an address whose wrong tokens are refused already."""
    for _ in range(40):
        client.get(f"/engines/{'x' * 30}/audio", client="198.51.100.7")
    for number in range(60):
        body = audio_request(callbackUrl=f"{PORTAL}/cb?hash=n{number}")
        assert client.engine("audio", body, client="198.51.100.7").status_code == 202


def test_a_made_key_is_kept(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    """Without CALLSCRIBE_API_KEY a key is made once, readable by its owner only."""
    settings = make_settings(api_key=None)
    assert auth.find_key(settings) is None
    made = auth.find_key(settings, make=True)
    assert made is not None
    assert len(made) >= 40
    assert auth.find_key(settings, make=True) == made
    assert auth.key_file(settings).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "var").iterdir()] == ["api-key"]
    with running(settings) as client:
        assert client.get("/v1/jobs", headers={"X-Api-Key": made}).status_code == 200


def test_without_any_key_all_is_closed(make_settings: Callable[..., Settings]) -> None:
    """No key set means that no key fits, the empty one included."""
    with running(make_settings(api_key=None)) as client:
        for headers in ({}, {"X-Api-Key": ""}, {"Authorization": "Bearer "}, {"Cookie": "callscribe="}):
            assert client.get("/v1/jobs", headers=headers).status_code == 401
