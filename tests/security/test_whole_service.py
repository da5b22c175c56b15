"""The running service under attack: nothing leaks, no worker is lost, honest calls are served meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from tests.security.hostile import flac_silence, never_recordings, wav
from tests.system.processes import KEY, ROOT, TOKEN, Portal, Service, command, sandbox, short_folder, until

WORDS = "we would like forty licences of the marmalade edition for the zanzibar office"
SETTINGS = {
    "portal_application_token": "application-token-of-this-test",
    "webhook_secret": "whsec_d2ViaG9vay1zZWNyZXQtb2YtdGhpcy10ZXN0",
}


@pytest.fixture(scope="module")
def portal() -> Iterator[Portal]:
    with sandbox() as running:
        yield running


def send(portal: Portal, service: Service, recording: Path, *, number: int, **body: Any) -> str:
    """Sends that file as a call recording; the portal's hash of the job."""
    fixture = json.loads((ROOT / "fixtures" / "requests" / "weak-lead.json").read_text())
    fixture |= {"name": recording.name, "recording": str(recording), "expect": None}
    fixture["crm"] = {"owner": ["deal", 7000 + number]}
    fixture["body"] |= body
    sent = portal.http.post("/_send", json={"fixture": fixture, "to": f"{service.engines}/audio"}).json()
    assert sent["accepted"], sent
    return str(sent["hash"])


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def captured_outcomes(folder: Path) -> list[str]:
    """The kinds of callbacks among the captured requests."""
    return sorted(
        json.loads(fixture).get("callback", {}).get("kind", "none") for fixture in files_of(folder).values()
    )


def test_secrets_stay_secret(portal: Portal) -> None:
    """No token, key, signed query or word of a call in a log or capture; what is erased leaves the disk."""
    portal.forget()
    with (
        short_folder() as folder,
        Service(folder, portal, capture_dir=str(folder / "captured"), **SETTINGS) as service,
    ):
        portal.script(path="/v1/audio/transcriptions", text=WORDS)
        (folder / "call").write_bytes((ROOT / "fixtures" / "audio" / "weak-lead").read_bytes())
        done = send(portal, service, folder / "call", number=1)
        assert portal.outcome(done)["outcome"] == "success"
        until(lambda: service.job()["timeline"]["state"] == "written")
        job = service.job()
        gone = portal.send("missing-file", service.engines)
        assert portal.outcome(gone)["outcome"] == "error"
        for path in ("/engines/wrong-token-0123456789012/audio", "/v1/jobs", "/metrics", "/"):
            stranger = httpx.get(service.url + path, trust_env=False)
            assert stranger.status_code in (401, 404), path
            assert WORDS not in stranger.text
        told = "".join(
            service.http.get(path).text for path in ("/metrics", "/v1/jobs", f"/v1/jobs/{job['id']}")
        )
        config = subprocess.run(
            command("config"),
            env=service.env,
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        queries = [dict(parse_qsl(request["query"])) for request in portal.asked("/*")]
        signed = {value for query in queries for value in query.values() if len(value) >= 12}
        assert {done, gone} <= signed
        keys = {
            TOKEN, KEY, portal.settings["router_key"], *SETTINGS.values(),
            portal.settings["bitrix24_webhook"].rstrip("/").rpartition("/")[2],
        }  # fmt: skip
        assert all(len(key) > 8 for key in keys)

        data = folder / "data"
        audio = files_of(data / "audio")
        logs = {name: held for name, held in files_of(folder).items() if name.endswith((".log", ".err"))}
        assert any(job["id"].encode() in log for log in logs.values())  # the logs are where we look
        for where, text in {"config": config.stdout, "answers": told, "errors": config.stderr}.items():
            logs[where] = text.encode()
        until(lambda: captured_outcomes(folder / "captured") == ["error", "success"])
        logs |= files_of(folder / "captured")
        for name, log in logs.items():
            found = {secret for secret in keys | signed if secret.encode() in log}
            assert not found, (name, found)
        for name, log in logs.items():
            if name != "answers":
                assert WORDS.encode() not in log, name
        kept = {name for name in audio if name.startswith("kept/")}  # to be heard, for some days
        assert kept == audio.keys() == {f"kept/{job['id']}.mp3"}, "recordings go with success, but for that"

        stored = b"".join(files_of(data).values())
        assert not {key for key in keys if key.encode() in stored}
        assert service.http.delete(f"/v1/jobs/{job['id']}").status_code in (200, 202, 204)

        def forgotten() -> bool:
            held = b"".join(files_of(data).values())
            return WORDS.encode() not in held and done.encode() not in held

        until(forgotten, seconds=20)
        service.http.close()
        assert service.up.end(signal.SIGTERM) == 0
        assert not {key for key in keys | signed if key in service.up.output}


def test_hostile_recordings_hold_nobody_up(portal: Portal) -> None:
    """Hostile files at once: a clear error callback each, no worker lost, an honest call served meanwhile."""
    portal.forget()
    with short_folder() as folder, Service(folder, portal, max_audio_seconds="600") as service:
        elsewhere = folder / "secret.wav"
        elsewhere.write_bytes(wav(data=bytes(range(256)) * 300))
        bombs = [*list(never_recordings(elsewhere))[::3], ("day", flac_silence(24))]
        workers = until(lambda: parts if len((parts := service.parts())["decoders"]) == 2 else None)
        files = folder / "hostile"
        files.mkdir()
        sent = {}
        for number, (name, content) in enumerate(bombs):
            (files / name).write_bytes(content)
            sent[name] = send(portal, service, files / name, number=number)
            if number == len(bombs) // 2:
                assert httpx.get(service.url + "/health", trust_env=False).status_code == 200
                honest, words = portal.call(service.engines, folder)
        job = portal.outcome(honest)
        assert job["outcome"] == "success"
        assert words in job["result"][0]
        for name, token in sent.items():
            job = portal.outcome(token)
            assert job["outcome"] == "error", name
            assert [callback["kind"] for callback in job["callbacks"]] == ["error"], name
            assert 400 <= job["error"]["code"] < 500, (name, job["error"])
            assert len(job["error"]["message"]) > 10, name
        assert service.parts() == workers
        service.http.close()
        assert service.up.end(signal.SIGTERM) == 0
