"""The units of systemd: valid, hardened, and a service that says how it is."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import click
import pytest

from pipeline.cli import callscribe
from pipeline.settings.installation import Settings
from tests.system.processes import KEY, TOKEN, Process, environment, short_folder

UNITS = sorted((Path(__file__).parents[2] / "deploy" / "systemd").glob("*.service"))
MOST_EXPOSED = 20  # tenths, by systemd's own judgement: "OK" ends at 4.9, 9.6 is a unit without any of it
analyze = shutil.which("systemd-analyze")
with_systemd = pytest.mark.skipif(analyze is None, reason="systemd-analyze: apt install systemd")


def read(unit: Path) -> configparser.ConfigParser:
    """A unit, the last of options that come several times."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit.read_text())
    return parser


@with_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_are_valid_and_hardened(unit: Path) -> None:
    """systemd takes each, and finds it less exposed than MOST_EXPOSED."""
    verified = subprocess.run([str(analyze), "verify", unit], capture_output=True, text=True, timeout=60)
    complaints = [line for line in verified.stderr.splitlines() if unit.name in line]
    assert all("/opt/callscribe/bin/callscribe is not executable" in line for line in complaints), complaints
    judged = subprocess.run(
        [str(analyze), "security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}", unit],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert judged.returncode == 0, judged.stdout[-300:]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_run_commands_that_there_are(unit: Path) -> None:
    """The command takes its options, variables are settings, and a drain fits into the time to stop."""
    service = read(unit)["Service"]
    program, name, *args = shlex.split(service["ExecStart"])
    assert program == "/opt/callscribe/bin/callscribe"
    command = callscribe.get_command(click.Context(callscribe), name)
    assert command
    command.make_context(name, args).close()
    for variable in re.findall(r"CALLSCRIBE_([A-Z_]+)", unit.read_text()):
        assert variable.lower() in Settings.model_fields, variable
    drain = Settings.model_fields["drain_seconds"].default if name != "api" else 5
    assert int(service["TimeoutStopSec"]) >= drain + 10
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) >= 10


def test_up_tells_systemd_how_it_is() -> None:
    """Ready when it serves, alive again and again, leaving when it leaves; the supervisor alone says so."""
    with short_folder() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(folder / "notify"))
        told.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        told.settimeout(90)

        def heard() -> tuple[str, int]:
            data, [(_, _, credentials), *_], _, _ = told.recvmsg(256, 64)
            return data.decode(), int.from_bytes(credentials[:4], "little")

        env = environment(portal_token=TOKEN, api_key=KEY, data_dir=str(folder / "data"))
        up = Process("up", "--port", "0", env=env | {"NOTIFY_SOCKET": str(folder / "notify")}, cwd=folder)
        try:
            assert heard() == ("READY=1", up.pid)
            assert "callscribe is ready at" in up.output
            assert [heard(), heard()] == [("WATCHDOG=1", up.pid)] * 2
        finally:
            assert up.end(signal.SIGTERM) == 0
        said = heard()
        while said[0] == "WATCHDOG=1":
            said = heard()
        assert said == ("STOPPING=1", up.pid)


def test_a_worker_of_one_queue_tells_too() -> None:
    """Also without a store: it is there, and waits for it."""
    with short_folder() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(folder / "notify"))
        told.settimeout(90)
        env = environment(
            portal_token=TOKEN, data_dir=str(folder / "data"), redis_url="redis://127.0.0.1:1/0"
        )
        env |= {"NOTIFY_SOCKET": str(folder / "notify")}
        worker = Process("worker", "--queue", "upstream", env=env, cwd=folder)
        try:
            assert told.recv(64) == b"READY=1"
            assert told.recv(64) == b"WATCHDOG=1"
        finally:
            worker.end(signal.SIGKILL)
