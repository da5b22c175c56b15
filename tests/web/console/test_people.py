"""Who sees what: roles by key, sessions, a proxy's user; and that no other site can act for anybody."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline.domain.errors import SettingsError
from pipeline.settings.installation import Settings, load
from tests.web.conftest import API_KEY, Client, running
from tests.web.console.conftest import HTML, READ_KEY, REVIEW_KEY, Browser


@pytest.mark.parametrize(("key", "jobs"), [(API_KEY, 200), (REVIEW_KEY, 403), (READ_KEY, 403)])
def test_a_key_opens_what_its_role_may(client: Client, key: str, jobs: int) -> None:
    """By the form and by a header alike; the navigation shows what the role may see."""
    browser = Browser(client, key)
    assert browser.get("/calls").status_code == 200
    assert browser.get("/jobs").status_code == jobs
    assert ('href="/jobs"' in browser.get("/calls").text) == (jobs == 200)
    assert client.get("/jobs.json", headers={"X-Api-Key": key}).status_code == jobs
    assert client.get("/calls.json", headers={"Authorization": f"Bearer {key}"}).status_code == 200


@pytest.mark.parametrize("key", [REVIEW_KEY, READ_KEY])
def test_the_machines_routes_take_the_api_key_alone(client: Client, key: str) -> None:
    """Neither key, nor a session of theirs, opens /v1 or /metrics."""
    session = Browser(client, key).headers["Cookie"]
    for path in ("/v1/jobs", "/metrics"):
        assert client.get(path, headers={"X-Api-Key": key}).status_code == 401
        assert client.get(path, headers={"Cookie": session}).status_code == 401


def test_after_signing_in_one_is_where_one_wanted_to_be(client: Client) -> None:
    """The form stands at the address that was asked for, and leads back to it."""
    form = client.get("/calls?band=low&q=%D0%BE%D0%BA%D0%BD%D0%B0", headers=HTML)
    assert form.status_code == 401
    assert 'name="to" value="/calls?band=low&amp;q=%D0%BE%D0%BA%D0%BD%D0%B0"' in form.text
    signed = client.post("/sign-in", data={"key": READ_KEY, "to": "/calls?band=low"})
    assert signed.headers["location"] == "/calls?band=low"


@pytest.mark.parametrize(
    "to",
    ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "/\x0d\x0aX: y",
     "evil", "/" + "x" * 5000, "/\t/evil.example", ""],
)  # fmt: skip
def test_signing_in_leads_to_no_other_site(client: Client, to: str) -> None:
    """Whatever a link has put into the form."""
    body = {"key": READ_KEY, "to": to}
    answer = client.post("/sign-in", data=body)
    if answer.status_code == 303:
        assert answer.headers["location"] == "/calls"
    else:
        assert answer.status_code in (400, 413)


def test_a_proxys_user_is_believed_of_a_trusted_proxy_alone(make_settings: Callable[..., Settings]) -> None:
    """Her role is that of the settings; the same header from anybody else opens nothing."""
    proxied = make_settings(
        user_header="X-Forwarded-User",
        trusted_proxies=("10.0.0.0/8",),
        reviewers=("rita",),
        operators=("otto",),
    )
    with running(proxied) as client:

        def ask(user: str, path: str = "/calls", proxy: str = "10.1.2.3") -> int:
            return client.get(path, client=proxy, headers={**HTML, "X-Forwarded-User": user}).status_code

        assert [ask(user) for user in ("anybody", "rita", "otto")] == [200, 200, 200]
        assert [ask(user, "/jobs") for user in ("anybody", "rita", "otto")] == [403, 403, 200]
        assert ask("otto", proxy="192.0.2.7") == 401
        assert ask("") == 401
        forwarded = {**HTML, "X-Forwarded-User": "otto", "X-Forwarded-For": "10.1.2.3"}
        assert client.get("/calls", client="192.0.2.7", headers=forwarded).status_code == 401
        page = client.get("/calls", client="10.1.2.3", headers={**HTML, "X-Forwarded-User": "Ольга".encode()})
        assert "Ольга" in page.text
        assert "/sign-out" not in page.text


@pytest.mark.parametrize(
    "given",
    [
        {"api_key": "same-key", "read_key": "same-key"},
        {"review_key": "same-key", "read_key": "same-key"},
        {"user_header": "X-Forwarded-User"},
        {"user_header": "bad header"},
        {"user_role": "operate"},
    ],
)
def test_roles_that_could_not_be_told_apart_are_refused(given: dict[str, str]) -> None:
    """Equal keys, and a user header from nobody in particular."""
    with pytest.raises(SettingsError):
        load(_env_file=None, **given)


def test_names_of_people_are_text(client: Client) -> None:
    """Markup and letters that turn text around show as text, on one line."""
    page = Browser(client, READ_KEY, name="<img src=x>\u202eevil\n" + "x" * 500).get("/calls").text
    assert "&lt;img src=x&gt;evil xxx" in page
    assert "\u202e" not in page
    assert "x" * 101 not in page


def test_pages_let_nothing_else_run_or_look_in(client: Client, reader: Browser) -> None:
    """The CSP allows our files alone, nothing inline; pages are never cached nor framed."""
    for answer in (client.get("/", headers=HTML), reader.get("/calls"), reader.get("/nothing")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        for inline in ("<style", " style=", " onclick", "<script>", "javascript:"):
            assert inline not in answer.text
        assert "http://" not in answer.text
        assert "https://" not in answer.text


def test_static_files_are_ours_alone(client: Client) -> None:
    """The style sheet, the script and the icon; no other file of the machine."""
    for name, kind in (
        ("console.css", "text/css"),
        ("console.js", "text/javascript"),
        ("icon.svg", "image/svg+xml"),
    ):
        answer = client.get(f"/static/{name}")
        assert answer.headers["content-type"].startswith(kind)
        assert "immutable" in answer.headers["cache-control"]
    for name in ("..%2fview.py", "%2e%2e/ru.toml", "x.css", "console.css%00", "/etc/passwd"):
        assert client.get(f"/static/{name}").status_code == 404


def test_an_error_is_a_page_for_browsers_and_json_for_machines(reader: Browser, client: Client) -> None:
    """Both say the same, with the same status."""
    page = reader.get("/calls?band=great")
    assert page.status_code == 400
    assert "band: expected one of high, medium, low, none" in page.text
    told = client.get("/calls.json?band=great", headers={"X-Api-Key": READ_KEY})
    assert told.json()["error"]["fields"] == {"band": "band: expected one of high, medium, low, none"}
