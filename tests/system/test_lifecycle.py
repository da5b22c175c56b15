"""How the service starts, stops, and is found when it runs already."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.system.processes import (
    TOKEN,
    Portal,
    Process,
    Service,
    alive,
    command,
    descendants,
    environment,
    short_folder,
    until,
)


def test_stop_in_the_middle_start_again_and_kill(portal: Portal) -> None:
    """SIGTERM amid a job exits 0, the next start ends the job once, a killed supervisor leaves no child."""
    with short_folder() as folder, Service(folder, portal, drain_seconds="0.5") as service:
        first = descendants(service.up.pid)
        portal.script(path="/disk/downloadFile/*", drip_seconds=20, times=1)
        token, _ = portal.call(service.engines, folder)
        until(lambda: portal.asked("/disk/downloadFile/*"))

        assert service.up.end(signal.SIGTERM, seconds=15) == 0
        assert not [pid for pid in first if alive(pid)]
        assert portal.job(token)["outcome"] is None

        service.start()
        again = subprocess.run(
            command("up", "--port", "0"),
            env=service.env,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert again.returncode == 3
        assert "another callscribe" in again.stderr
        assert portal.outcome(token)["outcome"] == "success"
        until(lambda: service.job()["status"] == "done")
        assert len(portal.job(token)["callbacks"]) == 1

        second = descendants(service.up.pid)
        assert len(second) >= 5
        assert service.up.end(signal.SIGKILL) == -signal.SIGKILL
        until(lambda: not [pid for pid in second if alive(pid)], seconds=5)
        service.http.close()


def test_all_processes_are_in_the_metrics(calm: Portal, service: Service) -> None:
    """What the api, the upstream worker and the children of media count can be scraped at the api."""
    token, _ = calm.call(service.engines, service.folder)
    assert calm.outcome(token, tell=service.report)["outcome"] == "success"

    def told() -> str:
        return service.http.get("/metrics").text

    for line in (
        'callscribe_steps_total{outcome="done",reason="",step="split"}',
        'callscribe_steps_total{outcome="done",reason="",step="transcribe"}',
        'callscribe_provider_answers_total{path="/audio/transcriptions",provider="127.0.0.1",status="200"}',
        'callscribe_deliveries_total{portal="portal",status="200",taken="yes"}',
        'callscribe_paid_calls_total{model="",portal="portal"}',
        'callscribe_outcome_seconds_count{category="audio"}',
        'callscribe_processes{role="api"} 1.0',
        'callscribe_processes{role="upstream"} 1.0',
        'callscribe_processes{role="media"} 2.0',
    ):
        until(lambda line=line: line in told(), tell=told)  # type: ignore[misc]


def test_a_port_that_is_taken_is_told(portal: Portal) -> None:
    """`up` on a port where something listens exits 3 and names it."""
    port = str(httpx.URL(portal.url).port)
    with short_folder() as folder:
        env = environment(data_dir=str(folder / "data"))
        done = subprocess.run(
            command("up", "--port", port), env=env, cwd=folder, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 3
        assert port in done.stderr


def test_what_the_sandbox_prints_is_all_that_it_takes(portal: Portal) -> None:
    """Its settings as `.env`: the service starts, registers its engines there and is called by them."""
    with short_folder() as folder, socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
        probe.close()
        printed = [f"CALLSCRIBE_{name.upper()}={value}" for name, value in portal.settings.items()]
        (folder / ".env").write_text("\n".join(printed).replace("127.0.0.1:8000", f"127.0.0.1:{port}"))
        up = Process("up", "--port", port, env=environment(data_dir=str(folder / "data")), cwd=folder)
        try:
            up.line("callscribe is ready at")
            for args in (("engines", "register"), ("engines", "list")):
                done = subprocess.run(
                    command(*args), env=environment(), cwd=folder, capture_output=True, text=True, timeout=60
                )
                assert done.returncode == 0, done.stdout + done.stderr
            assert done.stdout.count(f"http://127.0.0.1:{port}/engines/") == 4
            assert portal.settings["portal_token"] not in done.stdout
            engines = f"http://127.0.0.1:{port}/engines/{portal.settings['portal_token']}"
            portal.forget()
            assert portal.outcome(portal.send("text", engines))["outcome"] == "success"
        finally:
            up.end(signal.SIGTERM)


def test_several_processes_of_the_api_share_a_socket(portal: Portal) -> None:
    """Each request is answered while one of them is killed, and it is started again."""
    with short_folder() as folder:
        up = Process(
            "up", "--port", "0", "--workers", "2", env=environment(data_dir=str(folder / "data")), cwd=folder
        )
        try:
            address = re.search(r"ready at (\S+)", up.line("callscribe is ready at"))[1]  # type: ignore[index]

            def apis() -> list[int]:
                return [pid for pid in descendants(up.pid) if "api --fd" in command_line(pid)]

            first = apis()
            assert len(first) == 2
            os.kill(first[0], signal.SIGKILL)
            until(lambda: not alive(first[0]))
            for _ in range(20):  # a connection each
                assert httpx.get(f"{address}/health", trust_env=False, timeout=10).status_code == 200
            until(lambda: len(apis()) == 2 and first[0] not in apis())
            assert up.end(signal.SIGTERM) == 0
        finally:
            up.end(signal.SIGKILL)


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def test_every_line_is_json_and_a_call_can_be_followed(calm: Portal) -> None:
    """Whatever dies or ends, nothing plain is among the log lines, and those of a call name its job."""
    with short_folder() as folder:
        env = environment(**(calm.settings | {"portal_token": TOKEN, "data_dir": str(folder / "data")}))
        errors = (folder / "errors").open("wb")
        up = subprocess.Popen(
            command("up", "--port", "0"), env=env, cwd=folder, stdout=subprocess.PIPE, stderr=errors
        )
        try:
            assert up.stdout
            url = up.stdout.readline().decode().split("ready at ")[1].strip()
            calm.script(path="/disk/downloadFile/*", drip_seconds=0.1)
            token, _ = calm.call(f"{url}/engines/{TOKEN}", folder)
            assert calm.outcome(token)["outcome"] == "success"
            found = sorted(descendants(up.pid).items())
            media = next(pid for pid, line in found if "--queues media" in line)
            # a decoder that begins just now has its worker's command line, too, until it has one of its own
            pool = [int(pid) for pid in Path(f"/proc/{media}/task/{media}/children").read_text().split()]
            for pid in pool:
                os.kill(pid, signal.SIGABRT)
            until(lambda: (folder / "errors").read_text().count("exited with") >= len(pool))
            os.kill(media, signal.SIGKILL)
            for words, number in (
                ("--queues upstream", signal.SIGSEGV),
                ("pipeline api", signal.SIGKILL),
                ("valkey", signal.SIGKILL),
            ):
                (pid,) = [pid for pid, line in found if words in line]
                os.kill(pid, number)

            def again() -> bool:
                with suppress(httpx.HTTPError):
                    return httpx.get(f"{url}/ready", trust_env=False).status_code == 200
                return False

            until(again)
            until(lambda: (folder / "errors").read_text().count("worker_begins") >= 4)
        finally:
            up.terminate()
            code = up.wait(60)
            errors.close()
            if up.stdout:
                up.stdout.close()
        assert code == 0
        lines = [json.loads(line) for line in (folder / "errors").read_text().splitlines()]
        assert all({"event", "level", "timestamp"} <= set(line) for line in lines)
        (job,) = {line["job"] for line in lines if line["event"] == "job_accepted"}
        steps = [line["step"] for line in lines if line.get("job") == job and line["event"] == "step_done"]
        assert steps[:3] == ["fetch", "sniff", "split"]
        assert "callback" in steps
        assert {"transcribe:0", "merge", "classify", "callback"} <= set(steps)


@pytest.mark.parametrize("how", ["raise ValueError('https://x.example/?token=abc')", "warnings.warn('old')"])
def test_what_python_would_print_is_a_line(how: str) -> None:
    """Traces of what dies, in the main thread, in others and in finalizers, and warnings, without secrets."""
    thread = f"threading.Thread(target=lambda: exec({how!r})).start()"
    for code in (how, thread, _IN_A_FINALIZER.format(how=how)):
        python = [sys.executable, "-W", "always", "-c", _PROCESS + code]
        ran = subprocess.run(python, capture_output=True, text=True, timeout=60)
        (line,) = ran.stderr.splitlines()
        told = json.loads(line)
        assert told["level"] in ("critical", "error", "warning")
        assert "token=abc" not in line
        assert "?***" in line or "old" in told["event"]


_PROCESS = (
    "import threading, warnings; from pipeline.telemetry.logs import configure, take_over\n"
    "configure('json'); take_over()\n"
)
_IN_A_FINALIZER = "class A:\n    def __del__(self): exec({how!r})\na = A()\ndel a\n"
