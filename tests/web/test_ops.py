"""What operators ask, and who may."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest

from pipeline.domain.kinds import UPSTREAM
from pipeline.settings.installation import Settings
from pipeline.store import Governor
from pipeline.web import auth
from pipeline.web.app import ROUTES
from pipeline.web.openapi import described
from tests.web.conftest import API_KEY, PORTAL, TOKEN, Client, audio_request, running

OPEN = {"/health", "/ready", "/version", "/openapi.json"}
# the address itself is the secret
SECRET = {"/engines/{token}/{category}", "/events/{token}", "/images/{name}"}


def test_open_answers(client: Client) -> None:
    """/health, /ready and /version answer anybody, and say nothing of any job."""
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready"}
    assert set(client.get("/version").json()) == {"name", "version"}


def test_nothing_else_is_open(client: Client) -> None:
    """Every other route is 401 without the key, whatever its method."""
    for path in {route.path for route in ROUTES} - OPEN - SECRET:
        for route in ROUTES:
            if route.path != path:
                continue
            for method in route.methods or ():
                there = path.replace("{id}", "job_x").replace("{format}", "txt")
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


def test_the_list_remembers_the_key(client: Client) -> None:
    """`/?key=` sets a cookie that is not the key, which opens the list and reading, and nothing else."""
    client.engine("audio", audio_request())
    signed = client.get(f"/?key={API_KEY}")
    assert (signed.status_code, signed.headers["location"]) == (303, "/")
    cookie = signed.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert API_KEY not in cookie
    session = {"Cookie": cookie.partition(";")[0]}
    page = client.get("/", headers=session)
    assert page.status_code == 200
    assert "job_" in page.text
    assert client.get("/v1/jobs", headers=session).status_code == 200
    assert client.post("/v1/calls", json={}, headers=session).status_code == 401
    assert client.get("/?key=wrong").status_code == 401
    assert client.get("/", headers={"Accept": "text/html"}).status_code == 401


def test_metrics(client: Client, store: Governor) -> None:
    """Accepted and refused requests, and what the store counts, are in the metrics; no secret is."""
    client.engine("audio", audio_request())
    client.engine("audio", b"{}")
    store.count(client.app.state.service.portals["portal"].id, {"paid_calls": 2})
    text = client.v1("GET", "/metrics").text
    assert 'callscribe_jobs_accepted_total{category="audio",portal="portal",source="engine"}' in text
    assert 'callscribe_requests_refused_total{slug="bad_request"}' in text
    assert 'callscribe_jobs_unfinished{portal="portal"} 1.0' in text
    assert f'callscribe_steps_ready{{queue="{UPSTREAM}"}} 1.0' in text
    assert 'callscribe_usage_today{portal="portal",what="paid_calls"} 2.0' in text
    assert TOKEN not in text
    assert "secret" not in text


def test_the_document_describes_the_routes() -> None:
    """/openapi.json names each route and method, and no other."""
    methods = ("get", "post", "delete", "put", "patch")
    told = {(path, m.upper()) for path, item in described()["paths"].items() for m in item if m in methods}
    real = {(route.path, m) for route in ROUTES for m in route.methods or () if m != "HEAD"}
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
