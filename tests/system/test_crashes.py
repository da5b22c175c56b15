"""Whatever process is killed in the middle of a job, it ends in exactly one correct callback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess

import pytest

from tests.system.processes import KEY, TOKEN, Portal, Service, command, environment, until

DOWNLOAD, RECOGNITION = "/disk/downloadFile/*", "/v1/audio/transcriptions"
TIMELINE = "/v1/timeline-logs"


def under_way(portal: Portal, path: str) -> bool:
    return any(request["finished_at"] is None for request in portal.asked(path))


def one_success(portal: Portal, service: Service, sent: tuple[str, str]) -> None:
    """One callback with the words, one timeline entry."""
    token, words = sent
    job = portal.outcome(token, tell=service.report)
    assert job["outcome"] == "success", job
    until(lambda: service.job()["timeline"]["state"] != "waiting", tell=service.report)
    assert service.job()["timeline"]["state"] == "written", service.job()
    job = portal.job(token)
    assert [callback["kind"] for callback in job["callbacks"]] == ["success"]
    assert words in job["result"][0]
    assert len(portal.asked(TIMELINE)) == 1


@pytest.mark.parametrize("part", ["upstream", "media", "pool", "decoders", "api", "store"])
def test_killed_while_the_recording_is_fetched(calm: Portal, service: Service, part: str) -> None:
    """Killed during the download: another process fetches it again at once, long before the lease ends."""
    calm.script(path=DOWNLOAD, drip_seconds=1.5, times=1)
    sent = calm.call(service.engines, service.folder)
    until(lambda: under_way(calm, DOWNLOAD))
    for pid in service.parts()[part]:
        os.kill(pid, signal.SIGKILL)
    one_success(calm, service, sent)
    assert len(calm.asked(RECOGNITION)) == 1


def test_killed_while_the_recogniser_is_asked(calm: Portal, service: Service) -> None:
    """The upstream worker is killed during a paid call: that call alone is made again."""
    sent = calm.call(service.engines, service.folder, heard_after_seconds=1.0)
    until(lambda: under_way(calm, RECOGNITION))
    os.kill(service.parts()["upstream"][0], signal.SIGKILL)
    one_success(calm, service, sent)
    assert len(calm.asked(RECOGNITION)) == 2


def test_killed_while_the_callback_is_sent(calm: Portal, service: Service) -> None:
    """Killed before the portal's answer is known: the callback comes again; nothing is paid again."""
    calm.script(path="/callback", delay_seconds=1.0, times=1)
    token, words = calm.call(service.engines, service.folder)
    until(lambda: under_way(calm, "/callback"))
    os.kill(service.parts()["upstream"][0], signal.SIGKILL)
    job = calm.outcome(token, tell=service.report)
    assert job["outcome"] == "success"
    assert words in job["result"][0]
    until(lambda: service.job()["timeline"]["state"] == "written", tell=service.report)
    assert len(calm.asked(RECOGNITION)) == 1
    assert len(calm.asked(TIMELINE)) == 1


def test_a_refused_recording_gives_one_error_callback(calm: Portal, service: Service) -> None:
    """A link that leads nowhere ends in one error callback with a number and a sentence."""
    token = calm.send("missing-file", service.engines)
    job = calm.outcome(token, tell=service.report)
    assert [callback["kind"] for callback in job["callbacks"]] == ["error"]
    assert job["error"]["code"] == 404
    assert job["error"]["api_request_completed"] is False
    assert len(job["error"]["message"]) > 10
    until(lambda: service.job()["status"] == "failed")


def test_the_same_request_again_makes_no_second_job(calm: Portal, service: Service) -> None:
    """A portal that asks twice gets 202 twice and one outcome."""
    sent = calm.call(service.engines, service.folder)
    again = calm.http.post("/_send", json={"fixture": "weak-lead", "hash": sent[0]}).json()
    assert again["accepted"]
    one_success(calm, service, sent)
    assert len(calm.asked(RECOGNITION)) == 1


def test_replay_to_a_service_that_runs_elsewhere(service: Service) -> None:
    """`replay --to` brings a portal of its own, and shows stage times where the key is known."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    done = subprocess.run(
        command("replay", "text", "silence", "--to", service.engines, "--listen", f"127.0.0.1:{port}"),
        env=environment(api_key=KEY),
        cwd=service.folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert {row[0] for row in rows} == {"text", "silence"}
    assert "sniff" in done.stdout
    assert TOKEN not in done.stdout + done.stderr


def test_all_parts_were_started_again(service: Service) -> None:
    """After all of this every part runs, the pool too."""
    until(lambda: all(service.parts().values()))
    assert service.http.get("/ready").status_code == 200
