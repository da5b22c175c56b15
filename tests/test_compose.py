"""The compose file, without an engine: what it says, and its commands run by hand."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from pipeline.cli.sandbox import settings_for
from pipeline.settings.installation import Settings
from pipeline.store import embedded
from pipeline.store.durability import judge
from tests.system.processes import environment, short_folder, until

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [
    name for name, service in SERVICES.items() if service["image"] in ("callscribe", "callscribe-sandbox")
]


def read_env(name: str) -> dict[str, str]:
    """The variables of a file of them."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def plain(text: str) -> str:
    """As compose fills it in where nothing is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def outcome(portal: str, engines: str, fixture: str) -> str | None:
    """What comes of a request of fixtures/requests."""
    category = "text" if fixture == "text" else "audio"
    with httpx.Client(base_url=portal, timeout=90, trust_env=False) as http:
        sent = http.post("/_send", json={"fixture": fixture, "to": f"{engines}/{category}"}).json()
        assert sent["accepted"], sent
        got: str | None = http.get(f"/_jobs/{sent['hash']}", params={"wait": 60}).json()["outcome"]
        return got


def test_the_parts_are_there() -> None:
    """Api and a worker per queue; stores, an S3, sandbox and Whisper when their profiles are asked for."""
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    ours: dict[str, list[str]] = {name: [] for name in ("api", "worker-media", "worker-upstream")}
    assert profiles == {name: [name] for name in ("redis", "valkey", "s3", "sandbox", "whisper")} | ours
    used = {place.partition(":")[0] for service in SERVICES.values() for place in service.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])


def test_either_store_is_found_and_keeps_what_it_was_given() -> None:
    """Redis and Valkey answer by one name, with the same settings, which lose nothing; neither has to be."""
    redis, valkey = SERVICES["redis"], SERVICES["valkey"]
    assert redis["networks"] == valkey["networks"] == {"default": {"aliases": ["store"]}}
    assert redis["command"][1:] == valkey["command"][1:]
    options = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))
    config = {name.removeprefix("--"): value for name, value in options.items()}
    assert judge(config).is_safe
    for name in ("api", "worker-media", "worker-upstream"):
        waits = SERVICES[name]["depends_on"]
        assert set(waits) == {"redis", "valkey", "s3"}
        assert all(wait["required"] is False for wait in waits.values())


def test_the_sandbox_has_the_settings_that_it_takes() -> None:
    """Its file holds what `callscribe sandbox` says, for the names of compose, and a portal's token."""
    given = read_env("deploy/compose/sandbox.env")
    assert settings_for("http://sandbox:8100").items() <= given.items()
    assert set(given) <= {f"CALLSCRIBE_{name.upper()}" for name in Settings.model_fields}
    assert SERVICES["sandbox"]["command"][-1] == "http://sandbox:8100"
    assert len(given["CALLSCRIBE_PORTAL_TOKEN"]) >= 22
    assert SERVICES["worker-media"]["command"] == ["worker", "--queue", "media"]
    assert SERVICES["worker-upstream"]["command"] == ["worker", "--queue", "upstream"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_hardened(name: str) -> None:
    """Init, a read-only root, no capability, no new privilege, no root, nothing of the host but loopback."""
    service = SERVICES[name]
    assert service["init"] is True
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    if name != "s3":  # whose volume is root's, and which has no capability
        assert str(service["user"]).split(":")[0] not in ("", "0", "root")
    assert not {"privileged", "network_mode", "pid", "cap_add"} & set(service)
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_settings_and_times_fit() -> None:
    """Every variable is a setting, parts share their storage, and draining fits into the grace period."""
    known = {f"CALLSCRIBE_{name.upper()}" for name in Settings.model_fields}
    for name in OURS:
        assert set(SERVICES[name]["environment"]) <= known
        assert SERVICES[name]["environment"] == SERVICES["api"]["environment"]
        assert "data:/data" in SERVICES[name]["volumes"]
    grace = int(SERVICES["worker-upstream"]["stop_grace_period"].removesuffix("s"))
    assert grace >= Settings.model_fields["drain_seconds"].default + 10


def test_the_image_is_locked_and_runs_as_nobody() -> None:
    """Everything installed comes from the locks by hash, and the last user is not root."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert lines.count("--require-hashes -r") == lines.count("pip install") - 1 == 4
    last = lines.rpartition("FROM ")[2]
    assert "USER 10001:10001" in last
    assert 'ENTRYPOINT ["callscribe"]' in last
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[0] == "*"  # a list of what goes in, so that no `.env` ever does
    assert "!.env" not in ignored


@pytest.mark.parametrize("store", ["redis", "valkey"])
def test_the_commands_serve_a_request_together(store: str) -> None:
    """Store, api, both workers and sandbox, started by the file's own commands, bring requests home."""
    ports = {"store": free_port(), "api": free_port(), "sandbox": free_port()}
    running: list[subprocess.Popen[bytes]] = []

    def run(name: str, command: list[str], env: dict[str, str]) -> None:
        log = (folder / f"{name}.log").open("wb")
        running.append(subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=log))
        log.close()

    def here(text: str) -> str:
        text = plain(text).replace("store:6379", f"127.0.0.1:{ports['store']}")
        text = text.replace("/data", f"{folder}/data").replace("api:8000", f"127.0.0.1:{ports['api']}")
        text = text.replace("sandbox:8100", f"127.0.0.1:{ports['sandbox']}")
        return {"0.0.0.0": "127.0.0.1", "8000": str(ports["api"]), "8100": str(ports["sandbox"])}.get(
            text, text
        )

    def answers(url: str) -> bool:
        try:
            return httpx.get(url, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    with short_folder() as folder:
        (folder / "data").mkdir()
        given = {**read_env("deploy/compose/sandbox.env"), **SERVICES["api"]["environment"]}
        env = environment() | {name: here(value) for name, value in given.items()}
        portal, token = f"http://127.0.0.1:{ports['sandbox']}", env["CALLSCRIBE_PORTAL_TOKEN"]
        try:
            server = [embedded.binary(), *SERVICES[store]["command"][1:]]
            run("store", [*server, "--port", str(ports["store"]), "--dir", str(folder)], dict(os.environ))
            for name in OURS:
                command = [here(word) for word in SERVICES[name]["command"]]
                run(name, [sys.executable, "-m", "pipeline", *command], env)
            api = f"http://127.0.0.1:{ports['api']}"
            until(lambda: answers(f"{api}/ready") and answers(portal), seconds=90)
            assert outcome(portal, f"{api}/engines/{token}", "text") == "success"
            assert outcome(portal, f"{api}/engines/{token}", "silence") == "error"
            for process in reversed(running):
                process.terminate()
            assert [process.wait(60) for process in reversed(running)] == [0] * len(running)
        finally:
            for process in running:
                process.kill()
                process.wait()
