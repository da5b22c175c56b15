"""The examples of nginx and Caddy, run before a real service."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.system.processes import KEY, TOKEN, Portal, Process, environment, sandbox, short_folder, until
from tests.test_compose import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
TLS = Path(__file__).parents[1] / "transport" / "tls"
SIGNED = "signature-that-nobody-has-to-see"
NAME = "callscribe.example.com"


@pytest.fixture(scope="module")
def portal() -> Iterator[Portal]:
    with sandbox() as running:
        yield running


def named(asked: httpx.Request) -> None:
    """Asks for the certificate of the name, though there is only an address."""
    asked.extensions["sni_hostname"] = NAME


class Fronted:
    """A service behind a proxy on free ports, as its example says."""

    def __init__(self, folder: Path, portal: Portal) -> None:
        self.folder, self.port, self.plain_port = folder, free_port(), free_port()
        settings = {
            "portal_token": TOKEN, "api_key": KEY, "data_dir": str(folder / "data"),
            "trusted_proxies": "127.0.0.1", "trusted_hosts": "127.0.0.1",
        }  # fmt: skip
        self.up = Process("up", "--port", "0", env=environment(**(portal.settings | settings)), cwd=folder)
        self.api = self.up.line("callscribe is ready at").split("ready at ")[1].strip()
        self.engines = f"https://127.0.0.1:{self.port}/engines/{TOKEN}"
        trust = ssl.create_default_context(cafile=str(folder / "own.pem"))
        trust.check_hostname = False
        self.http = httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}", verify=trust, timeout=30, trust_env=False,
            headers={"host": f"{NAME}:{self.port}"}, event_hooks={"request": [named]},
        )  # fmt: skip

    def serves(self) -> bool:
        try:
            return self.http.get("/ready").status_code == 200
        except httpx.HTTPError:
            return False


def certificate(folder: Path) -> None:
    """One of its own, for the name of the examples."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "own.pem")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def nginx(fronted: Fronted) -> list[str]:
    """The example with other ports, certificate and places, within the smallest frame that nginx takes."""
    text = (DEPLOY / "nginx" / "callscribe.conf").read_text()
    for here, there in (
        ("127.0.0.1:8000", fronted.api.removeprefix("http://")),
        ("listen 80;", f"listen 127.0.0.1:{fronted.plain_port};"),
        ("listen 443 ssl", f"listen 127.0.0.1:{fronted.port} ssl"),
        ("/etc/ssl/callscribe/fullchain.pem", str(fronted.folder / "own.pem")),
        ("/etc/ssl/callscribe/privkey.pem", str(fronted.folder / "key.pem")),
        ("/var/log/nginx/", f"{fronted.folder}/proxy-"),
    ):
        assert here in text, here
        text = text.replace(here, there)
    (fronted.folder / "callscribe.conf").write_text(text)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {fronted.folder}/{kind};" for kind in kinds)
    (fronted.folder / "nginx.conf").write_text(
        f"daemon off; pid {fronted.folder}/nginx.pid; error_log stderr; user root; worker_processes 1;\n"
        f"events {{}}\nhttp {{ {places} include {fronted.folder}/callscribe.conf; }}\n"
    )
    command = [str(shutil.which("nginx")), "-c", f"{fronted.folder}/nginx.conf", "-p", str(fronted.folder)]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
    return command


def caddy(fronted: Fronted) -> list[str]:
    """The example with other ports, certificate and places."""
    folder, ours = fronted.folder, f"\nhttps://{NAME}:{fronted.port} {{\n\tbind 127.0.0.1\n"
    text = (DEPLOY / "caddy" / "Caddyfile").read_text()
    for here, there in (
        ("127.0.0.1:8000", fronted.api.removeprefix("http://")),
        (f"\n{NAME} {{\n", f"{ours}\ttls {folder}/own.pem {folder}/key.pem\n"),
        ("/var/log/caddy/", f"{folder}/proxy-"),
    ):
        assert here in text, here
        text = text.replace(here, there)
    ports = f"http_port {fronted.plain_port}\n\thttps_port {fronted.port}"
    options = f"\n{{\n\tadmin off\n\tauto_https disable_certs\n\t{ports}\n"
    assert "\n{\n" in text
    (folder / "Caddyfile").write_text(text.replace("\n{\n", options, 1))
    program = str(shutil.which("caddy"))
    taken = ["--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"]
    checked = subprocess.run(
        [program, "validate", *taken], capture_output=True, text=True, timeout=60, env=at_home(fronted)
    )
    assert checked.returncode == 0, checked.stderr
    return [program, "run", *taken]


def at_home(fronted: Fronted) -> dict[str, str]:
    """Nothing of whoever runs the tests, and all that is written in the folder."""
    return {"HOME": str(fronted.folder), "PATH": "/usr/bin", "XDG_DATA_HOME": str(fronted.folder)}


PROXIES = [
    pytest.param(name, marks=pytest.mark.skipif(not shutil.which(name), reason=f"apt install {name}"))
    for name in ("nginx", "caddy")
]


@pytest.fixture(scope="module", params=PROXIES)
def fronted(request: pytest.FixtureRequest, portal: Portal) -> Iterator[Fronted]:
    """The proxy of an example before a service."""
    with short_folder() as folder:
        certificate(folder)
        made = Fronted(folder, portal)
        command = {"nginx": nginx, "caddy": caddy}[request.param](made)
        log = (folder / "proxy.out").open("wb")
        running = subprocess.Popen(command, stdout=log, stderr=log, env=at_home(made), cwd=folder)
        try:
            until(made.serves, tell=lambda: (folder / "proxy.out").read_text()[-3000:])
            yield made
        finally:
            running.terminate()
            running.wait(30)
            log.close()
            made.http.close()
            assert made.up.end() == 0


def test_a_call_goes_through_and_no_secret_into_a_log(fronted: Fronted, portal: Portal) -> None:
    """A portal's request and an upload are served by TLS; the access log has neither token nor signature."""
    body = {
        "prompt": {"file": f"{portal.url}/disk/downloadFile/x?token={SIGNED}", "fields": []},
        "category": "audio",
        "ttl": 60,
        "callbackUrl": f"{portal.url}/_callback?hash=h1",
        "errorCallbackUrl": f"{portal.url}/_error?hash=h1",
    }
    answer = fronted.http.post(f"/engines/{TOKEN}/audio?sign={SIGNED}", json=body)
    assert (answer.status_code, answer.json()) == (202, {"result": "OK"})
    assert answer.headers["strict-transport-security"]
    assert not re.search(r"\d", answer.headers.get("server", ""))  # no version
    assert fronted.http.get(f"/images/{SIGNED}").status_code == 404
    key = {"x-api-key": KEY}
    listed = fronted.http.get("/v1/jobs", headers=key, params={"limit": 1}).json()["jobs"]
    assert listed[0]["category"] == "audio"
    log = until(lambda: logged(fronted) if "/v1/jobs" in logged(fronted) else "")
    assert "/engines/***/audio" in log
    assert not [word for word in (TOKEN, SIGNED, KEY) if word in log]
    assert not [word for word in (TOKEN, SIGNED, KEY) if word in (fronted.folder / "proxy.out").read_text()]


def logged(fronted: Fronted) -> str:
    """All that the proxy wrote of requests and their errors."""
    return "".join(path.read_text() for path in fronted.folder.glob("proxy-*"))


def test_bodies_are_bounded_as_they_should_be(fronted: Fronted) -> None:
    """An engine request of 3 MB is 413; an upload of 12 MB passes to callscribe."""
    assert fronted.http.post(f"/engines/{TOKEN}/audio", content=b"x" * 3_000_000).status_code == 413
    answer = fronted.http.post(
        "/v1/calls", headers={"x-api-key": KEY}, files={"file": ("call.wav", b"RIFF" + b"\0" * 12_000_000)}
    )
    assert answer.status_code == 202, answer.text


def test_the_client_is_who_it_is(fronted: Fronted) -> None:
    """callscribe sees https and the client's own address; what a client claims of them counts for nothing."""
    forged = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "http", "accept": "text/html"}
    signed = fronted.http.post("/sign-in", data={"key": KEY}, headers=forged)
    assert signed.status_code == 303
    assert "secure" in signed.headers["set-cookie"].lower()
    fronted.http.cookies.clear()
    for number in range(40):  # wrong keys, each as somebody else: it is one client all the same
        claims = {"x-forwarded-for": f"203.0.113.{number}", "x-api-key": "wrong"}
        last = fronted.http.get("/v1/jobs", headers=claims)
    assert last.status_code == 429


def test_metrics_stay_inside_and_plain_http_is_sent_on(fronted: Fronted) -> None:
    """/metrics is not served to the world, key or not; http leads to https."""
    assert fronted.http.get("/metrics", headers={"x-api-key": KEY}).status_code == 404
    plain = httpx.get(f"http://127.0.0.1:{fronted.plain_port}/ready", headers={"host": NAME}, trust_env=False)
    assert plain.status_code in (301, 308)
    assert re.match(rf"https://{re.escape(NAME)}", plain.headers["location"])


def test_a_service_that_is_away_puts_no_secret_into_a_log(fronted: Fronted) -> None:
    """Also what the proxy says of requests that it could not pass on has none, and they are 502."""
    assert fronted.up.end() == 0
    assert fronted.http.post(f"/engines/{TOKEN}/audio?sign={SIGNED}", json={}).status_code == 502
    log = until(lambda: logged(fronted) if "502" in logged(fronted) else "")
    said = log + (fronted.folder / "proxy.out").read_text()
    assert not [word for word in (TOKEN, SIGNED, KEY) if word in said]


def test_each_example_names_the_two_ways_to_grow() -> None:
    """More processes on one machine, more machines on one Redis and one S3."""
    for path in sorted(DEPLOY.rglob("*")):
        if path.is_file() and path.parent.name not in ("prometheus", "grafana"):
            text = path.read_text()
            assert "To grow" in text, path
            assert "this machine" in text.partition("To grow")[2], path
            assert "S3" in text.partition("To grow")[2], path
            assert "Redis" in text.partition("To grow")[2], path
