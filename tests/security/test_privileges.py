"""What our processes give up."""

from __future__ import annotations

import resource
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.system.processes import Portal, Service, sandbox, short_folder, until

ROOT = Path(__file__).parents[2]


def alone(code: str, *args: str) -> str:
    """What a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *args], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()


def test_a_process_that_left_the_network_reaches_nobody(short_path: Path) -> None:
    """No address of this machine either, but unix sockets of files; where it is forbidden that is told."""
    code = """
import socket, sys
from pipeline.confinement.privileges import leave_network
left = leave_network()
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5)
    reached = True
except OSError:
    reached = False
socket.socket(socket.AF_UNIX).connect(sys.argv[2])
print(left, reached)
"""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as near:
        near.bind(str(short_path / "near.sock"))
        near.listen()
        told = alone(code, str(listener.getsockname()[1]), str(short_path / "near.sock"))
    assert told in ("True False", "False True")


def test_no_core_no_new_privileges_no_look_inside() -> None:
    """What is given up: core files, privileges of programs it starts, and being read by its equals."""
    code = """
import ctypes, resource
from pipeline.confinement.privileges import give_up
give_up()
libc = ctypes.CDLL(None)
print(resource.getrlimit(resource.RLIMIT_CORE)[0], libc.prctl(39, 0, 0, 0, 0), libc.prctl(3, 0, 0, 0, 0))
"""
    assert alone(code) == "0 1 0"  # PR_GET_NO_NEW_PRIVS, PR_GET_DUMPABLE


def test_every_process_of_the_service_has_given_up() -> None:
    """The supervisor, the api, both workers, the pool, and the decoders, who know nothing."""
    with sandbox() as portal, short_folder() as folder, Service(folder, portal) as service:
        check_all(portal, service)
        service.http.close()
        assert service.up.end(signal.SIGTERM) == 0


def check_all(portal: Portal, service: Service) -> None:
    token, _ = portal.call(service.engines, service.folder)
    assert portal.outcome(token)["outcome"] == "success"
    # a decoder at work has the pipes of that as well: the last thing that a call asks of one is awaited
    until(
        lambda: any(event["step"] == "keep" for event in service.job()["events"] if event["what"] == "done")
    )
    parts = service.parts()
    assert len(parts["pool"]) == len(parts["decoders"]) == 2
    ours = ("api", "media", "upstream", "pool", "decoders")
    for pid in (service.up.pid, *(pid for part in ours for pid in parts[part])):
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        assert "NoNewPrivs:\t1" in status, pid
        assert resource.prlimit(pid, resource.RLIMIT_CORE)[0] == 0, pid
    for pid in parts["decoders"]:
        of = Path(f"/proc/{pid}")
        try:
            environment = (of / "environ").read_bytes()
        except PermissionError:  # as everybody without root's powers finds it
            continue
        assert environment == b""
        # its own, and of the process that waits for the next call, which is there once it has read its code
        until(lambda of=of: open_in(of) == ["/dev/null"] * 3 + ["pipe"] * 4)  # type: ignore[misc]


def open_in(process: Path) -> list[str]:
    """What a process has open, sorted."""
    found = []
    for at in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed just now
            found.append(str(at.readlink()).partition(":")[0])
    return sorted(found)
