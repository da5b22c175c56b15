"""The compose file, without an engine: what it says, and its commands run by hand."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from pipeline.settings.installation import Settings
from pipeline.store import embedded
from tests.system.processes import environment, short_folder, until

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [
    name for name, service in SERVICES.items() if service["image"] in ("callscribe", "callscribe-sandbox")
]
TOKEN = "compose-test-token-0123456789"


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
    """Redis, api, a worker per queue; the sandbox and a Whisper only when their profiles are asked for."""
    assert list(SERVICES) == ["redis", "api", "worker-media", "worker-upstream", "sandbox", "whisper"]
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {"sandbox": ["sandbox"], "whisper": ["whisper"]}
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


def test_the_commands_serve_a_request_together() -> None:
    """Redis, api, both workers and sandbox, started by the file's own commands, bring requests home."""
    ports = {"redis": free_port(), "api": free_port(), "sandbox": free_port()}
    running: list[subprocess.Popen[bytes]] = []

    def run(name: str, command: list[str], env: dict[str, str]) -> None:
        log = (folder / f"{name}.log").open("wb")
        running.append(subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=log))
        log.close()

    def here(text: str) -> str:
        text = text.replace("redis:6379", f"127.0.0.1:{ports['redis']}").replace("/data", f"{folder}/data")
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
        env = environment(portal_token=TOKEN) | {
            name: here(value) for name, value in SERVICES["api"]["environment"].items()
        }
        portal = f"http://127.0.0.1:{ports['sandbox']}"
        env |= {
            "CALLSCRIBE_PORTAL_URL": portal,
            "CALLSCRIBE_TRUSTED_HOSTS": portal.partition("//")[2],
            "CALLSCRIBE_ROUTER_URL": f"{portal}/v1",
            "CALLSCRIBE_ROUTER_KEY": "sandbox-router-key",
        }
        try:
            redis = [embedded.binary(), *SERVICES["redis"]["command"][1:]]
            run("redis", [*redis, "--port", str(ports["redis"]), "--dir", str(folder)], dict(os.environ))
            for name in OURS:
                command = [here(word) for word in SERVICES[name]["command"]]
                run(name, [sys.executable, "-m", "pipeline", *command], env)
            api = f"http://127.0.0.1:{ports['api']}"
            until(lambda: answers(f"{api}/ready") and answers(portal), seconds=90)
            assert outcome(portal, f"{api}/engines/{TOKEN}", "text") == "success"
            assert outcome(portal, f"{api}/engines/{TOKEN}", "silence") == "error"
            for process in reversed(running):
                process.terminate()
            assert [process.wait(60) for process in reversed(running)] == [0] * len(running)
        finally:
            for process in running:
                process.kill()
                process.wait()
