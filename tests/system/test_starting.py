"""`callscribe up` until it is ready: the api's process is there before anything was checked."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import attached
from tests.system.processes import (
    ROOT,
    TOKEN,
    command,
    descendants,
    environment,
    heeds_interrupts,
    short_folder,
    until,
)


def ended(folder: Path, **settings: str) -> tuple[int, str]:
    """Exit code and stderr of `up`, once no process that it started holds its stderr any more."""
    done = subprocess.run(
        command("up", "--port", "0"),
        env=environment(data_dir=str(folder / "data"), **settings),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert not done.stdout
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", ["chunk_seconds", "provider_proxy", "portals_file", "storage_url"])
def test_a_wrong_setting_is_told_once(name: str) -> None:
    """In one sentence with exit code 2; the api that was begun ahead says nothing, and is gone."""
    with short_folder() as folder:
        code, told = ended(folder, **{name: "nonsense"})
        assert code == 2
        assert told.count(f"CALLSCRIBE_{name.upper()}") == 1, told
        assert not list(folder.iterdir())


def test_wrong_settings_are_told_before_a_wrong_address() -> None:
    """Which of two mistakes is told first is the same however the start is arranged."""
    with short_folder() as folder:
        env = environment(data_dir=str(folder / "data"), chunk_seconds="wrong")
        for host, code, words in (("no.host.invalid", 2, "CHUNK_SECONDS"), ("127.0.0.1", 2, "CHUNK_SECONDS")):
            done = subprocess.run(
                command("up", "--host", host), env=env, cwd=folder, capture_output=True, text=True, timeout=60
            )
            assert (done.returncode, words in done.stderr) == (code, True), done.stderr
        env = environment(data_dir=str(folder / "data"))
        done = subprocess.run(
            command("up", "--host", "no.host.invalid"),
            env=env, cwd=folder, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 3
        assert "cannot listen on no.host.invalid:8000" in done.stderr


def test_a_folder_in_use_stays_the_other_services() -> None:
    """Exit code 3 names the process that holds it, and nothing is left behind."""
    with short_folder() as folder, attached.locked(folder / "data"):
        code, told = ended(folder, portal_token=TOKEN)
        assert code == 3
        assert told.count("another callscribe") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_during_the_start_leaves_nothing_behind(number: signal.Signals) -> None:
    """However early it comes: the api that was begun ahead ends with its supervisor."""
    with short_folder() as folder:
        env = environment(data_dir=str(folder / "data"), portal_token=TOKEN)
        with subprocess.Popen(
            command("up", "--port", "0"), env=env, cwd=folder, stderr=subprocess.PIPE, text=True,
            preexec_fn=heeds_interrupts,
        ) as up:  # fmt: skip
            until(lambda: descendants(up.pid))
            up.send_signal(number)
            _, told = up.communicate(timeout=60)  # ends once nobody holds its stderr
        assert "Traceback" not in told
        assert up.returncode != 0


def test_a_worker_loads_none_of_celerys_other_commands() -> None:
    """Nor their toolkit for terminals; its own code is loaded, and collected garbage is looked for again."""
    code = (
        "import atexit, gc, sys\n"
        "names = ('prompt_toolkit', 'celery.bin.celery', 'workers.lifecycle', 'workers.tasks')\n"
        "atexit.register(lambda: print('loaded', *(name for name in names if name in sys.modules),\n"
        "                              gc.isenabled(), gc.get_freeze_count() > 50_000))\n"
        "from workers.__main__ import main\n"
        "sys.argv[1:] = ['--help']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert "--queues" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded workers.lifecycle workers.tasks True True", done.stderr
